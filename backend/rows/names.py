"""Which columns hold what, and how a column is found by its name."""

import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

TEXT, ID, LABEL = "text", "id", "label"
FORMAT_SIGNS = "Cf"  # Unicode's category of signs without a shape: zero-width blanks, marks of direction


@dataclass(frozen=True, slots=True)
class Names:
    """Which columns hold what; empty takes the usual name."""

    text: str = ""  # else the key that the label config reads, else "text"
    id: str = ""  # else "id", where there is one
    label: str = ""  # else "label", where there is one
    no_id: bool = False  # the column `id` tells no rows apart: their texts do
    id_prefix: str = ""  # put before every id of a file whose ids begin anew


def column_named(columns: Collection[str], name: str) -> str | None:
    """The column of a name: spelled so, or else the only one that looks alike; None where there is none."""
    if name in columns:
        return name
    alike = [column for column in columns if _looks(str(column)) == _looks(name)]
    return alike[0] if len(alike) == 1 else None


@lru_cache(maxsize=4096)
def _looks(name: str) -> str:
    """A name without what nobody sees or means: case, blanks around it, invisible signs."""
    composed = unicodedata.normalize("NFKC", name)
    seen = "".join(sign for sign in composed if unicodedata.category(sign) != FORMAT_SIGNS)
    return " ".join(seen.split()).casefold()


def differ(found: str, name: str) -> bool:
    """Whether two names look alike, and are not; nobody wonders at a capital."""
    return found.casefold() != name.casefold() and column_named([found], name) is not None


def listed(columns: Iterable[str]) -> str:
    """The names of columns, for a message."""
    return ", ".join(map(str, columns)) or "none"

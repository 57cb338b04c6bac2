"""Columns of a file and keys of task data: how a column is found, and under which name it goes in and comes out.

Two things may want the same name: a column that an export adds, and the key that the label config reads its text from.
The user's column is then kept as `imported_<name>`, and comes back under its own.
"""

import unicodedata
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from backend.labelstudio.schema import COLUMN_KEY

LABEL = "label"
SPLIT = "export_split"
ADDED = (
    "task_id", LABEL, "annotator_id", "created_at", "updated_at", "lead_time_s", "predicted_label", "confidence",
    "model_version", "changed", "how_accepted", "agreement",
)  # fmt: skip
ORIGINAL = "imported_"
TAKEN = (*ADDED, SPLIT)  # names that an export needs for itself
FORMAT_SIGNS = "Cf"  # Unicode's category of signs without a shape: zero-width blanks, marks of direction


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


def is_export(columns: Mapping[str, Any]) -> bool:
    """Whether a row was written by an export: it has every added column."""
    return all(name in columns for name in ADDED)


def with_added(data: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row of an export: the data's first."""
    return {**{_set_aside(name, TAKEN): value for name, value in data.items()}, **added}


def without_added(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a row of an export."""
    own = {name: value for name, value in columns.items() if name not in TAKEN}
    return {_taken_back(name, TAKEN): value for name, value in own.items()}


def as_data(columns: Mapping[str, Any], text: str, key: str) -> dict[str, Any]:
    """Columns as task data: the text under the key that the label config reads, and its column's name beside it."""
    if text == key:
        return dict(columns)
    named = {key if name == text else _set_aside(name, (key,)): value for name, value in columns.items()}
    return {**named, COLUMN_KEY: text}


def as_columns(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Task data as columns: the text under its column's name again, which COLUMN_KEY keeps telling."""
    text = data.get(COLUMN_KEY)
    if not isinstance(text, str) or text == key:
        return dict(data)
    return {text if name == key else _taken_back(name, (key,)): value for name, value in data.items()}


def set_aside(columns: Collection[str], text: str, key: str) -> dict[str, str]:
    """Columns that `as_data` keeps under another name, and that name."""
    others = {} if text == key else {name: _set_aside(name, (key,)) for name in columns if name != text}
    return {name: kept for name, kept in others.items() if kept != name}


def _set_aside(name: str, taken: Collection[str]) -> str:
    return f"{ORIGINAL}{name}" if _clashes(name, taken) else name


def _taken_back(name: str, taken: Collection[str]) -> str:
    return name.removeprefix(ORIGINAL) if _clashes(name, taken) else name


def _clashes(name: str, taken: Collection[str]) -> bool:
    """Whether a column bears a name that is taken, or that of one that was set aside before."""
    while name.startswith(ORIGINAL):
        name = name.removeprefix(ORIGINAL)
    return name in taken

"""How the labels of a source are written: which are one label, and which only look like one.

Tells it in words for the person who gave the source; `backend.core.labels` has the rule.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import regex

from backend.core.labels import key, spelled

# Letters of Cyrillic and Greek, each above the Latin one that it is drawn like.
DRAWN_LIKE = str.maketrans(
    "АВЕЅІЈКМНОРСТУХԌԚԜаеѕіјоԛрсухһԁԝѵѡΑΒΕΖΗΙΚΜΝΟΡΤΥΧοανικρυχϳ",
    "ABESIJKMHOPCTYXGQWaesijoqpcyxhdwvwABEZHIKMNOPTYXoavikpuxj",
)
SIGNS = str.maketrans(
    {
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("‘’‚‛`´′", "'"),
        **dict.fromkeys("“”„«»″", '"'),
    }
)
UNSEEN = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{M}\p{Cc}\p{Z}--[ ]]", regex.V1)
IGNORED = regex.compile(r"\p{Default_Ignorable_Code_Point}")
MOST_TOLD = 5  # labels that are listed of one kind


@dataclass
class Spellings:
    """Counts how labels are written, by the row."""

    rows: defaultdict[str, Counter[str]] = field(  # by key, then as given
        default_factory=lambda: defaultdict(Counter)
    )

    def add(self, given: object) -> str:
        """Count one row; its label as it reads, empty for none.

        Raises:
            BadInputError: it is a list or an object.
        """
        read = spelled(given)
        if read:
            self.rows[key(given)][given if isinstance(given, str) else read] += 1
        return read

    def chosen(self) -> dict[str, str]:
        """One spelling for each label, by its key: the one of most rows."""
        return {common: _most_frequent(written) for common, written in self.rows.items()}

    def notes(self) -> list[str]:
        """What a person should know: labels written in several ways, and labels that look alike."""
        return [
            *self.merged(),
            *look_alike({common: written.total() for common, written in self.rows.items()}),
        ]

    def merged(self) -> list[str]:
        """Labels that were written in more than one way and are one, most rows first."""
        several = {common: written for common, written in self.rows.items() if len(written) > 1}
        told = [
            f"one label is written in {len(written)} ways, read as {shown(_most_frequent(written))}: "
            + _listed(dict(written.most_common(MOST_TOLD)))
            for written in sorted(several.values(), key=lambda written: -written.total())
        ]
        return _first(told)


def look_alike(rows: Mapping[str, int]) -> list[str]:
    """Labels that a person may take for one another, with their rows; they stay apart.

    Args:
        rows: by label as it reads.
    """
    groups = [_listed({label: rows[label] for label in group}) for group in alike(rows)]
    return _first([f"labels look alike and are different ones: {group}" for group in groups])


def alike(labels: Iterable[str]) -> Iterator[list[str]]:
    """Groups of labels that differ in case, dashes, quotes, or letters that are drawn alike."""
    known = list(dict.fromkeys(labels))
    told: set[frozenset[str]] = set()
    for drawn in (_folded, _skeleton):
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for label in known:
            groups[drawn(label)].append(label)
        for group in groups.values():
            if len(group) > 1 and frozenset(group) not in told:
                told.add(frozenset(group))
                yield group


def shown(text: str) -> str:
    """A label in quotes: what the eye does not see is written out, a foreign alphabet named."""
    quoted = UNSEEN.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)
    drawn = quoted.translate(DRAWN_LIKE)
    mixed = any(one != other for one, other in zip(quoted, drawn, strict=True)) and drawn.isascii()
    return f'"{quoted}"' + (f" in {_alphabets(text)} letters" if mixed else "")


def _alphabets(text: str) -> str:
    names = (unicodedata.name(sign, "OTHER").split()[0] for sign in text if sign.isalpha())
    return " and ".join(dict.fromkeys(name.title() for name in names))


def _folded(label: str) -> str:
    return _compatible(label).casefold()


def _skeleton(label: str) -> str:
    return _compatible(label).translate(DRAWN_LIKE)


def _compatible(label: str) -> str:
    return unicodedata.normalize("NFKC", IGNORED.sub("", label).translate(SIGNS))


def _most_frequent(written: Counter[str]) -> str:
    return spelled(min(written, key=lambda one: (-written[one], one)))


def _listed(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{shown(one)} ({n} row{'' if n == 1 else 's'})" for one, n in rows.items())


def _first(told: list[str]) -> list[str]:
    more = len(told) - MOST_TOLD
    return told if more <= 0 else [*told[:MOST_TOLD], f"and {more} more of the kind"]

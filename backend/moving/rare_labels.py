"""Labels of few rows that are nearly a label of many: typing errors, for the most part.

They are told, never changed: which of two is meant, a person knows.
"""

from collections.abc import Mapping
from difflib import get_close_matches

import regex

from backend.core.spellings import shown

RARE = 3  # rows: a slip of the hand is seldom made more often
TIMES = 3  # as many rows or more has the label that was meant
LIKENESS = 0.8  # of 1, by difflib: one letter in five is wrong, or two in ten
TOLD = 10
DIGITS = regex.compile(r"\d+")


def rare_labels(rows: Mapping[str, int]) -> list[str]:
    """A line for each label that may be a typing error.

    Args:
        rows: by label, how many rows have it.
    """
    found = [(label, meant) for label in sorted(rows) if (meant := _meant(label, rows))]
    told = [f"{_counted(label, rows)} is nearly {_counted(meant, rows)}" for label, meant in found[:TOLD]]
    return [f"{line}: correct the rows if it is a typing error" for line in told]


def _meant(label: str, rows: Mapping[str, int]) -> str:
    """The frequent label that a rare one is nearly; empty for none."""
    if rows[label] > RARE:
        return ""
    frequent = [other for other, n in rows.items() if n >= TIMES * rows[label]]
    others = [other for other in frequent if other != label and not _numbered(other, label)]
    return next(iter(get_close_matches(label, others, n=1, cutoff=LIKENESS)), "")


def _numbered(one: str, other: str) -> bool:
    """Whether two labels differ in numbers alone, as those of a series do."""
    return DIGITS.sub("0", one) == DIGITS.sub("0", other)


def _counted(label: str, rows: Mapping[str, int]) -> str:
    return f"{shown(label)} ({rows[label]} row{'' if rows[label] == 1 else 's'})"

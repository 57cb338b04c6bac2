"""Columns that prelabel adds to those of a file: one of the file that bears such a name is kept under another.

It is written as `imported_<name>`, and where that is an own column, too, as `imported_imported_<name>`.
"""

from collections.abc import Collection, Mapping
from typing import Any

ORIGINAL = "imported_"


def with_added(own: Mapping[str, Any], added: Mapping[str, Any], names: Collection[str] = ()) -> dict[str, Any]:
    """The columns of a file, then those that are added.

    Args:
        names: of columns that are added elsewhere, and count like those of `added`.
    """
    clashing = {*added, *names}
    return {**{written(name, clashing): value for name, value in own.items()}, **added}


def written(name: str, clashing: Collection[str]) -> str:
    """How a column of the file is called beside added ones."""
    return f"{ORIGINAL}{name}" if _clashes(name, clashing) else name


def read_back(name: str, clashing: Collection[str]) -> str:
    """What it was called before."""
    return name.removeprefix(ORIGINAL) if _clashes(name, clashing) else name


def _clashes(name: str, clashing: Collection[str]) -> bool:
    """Whether a column bears the name of an added one, or of one that was renamed before."""
    while name.startswith(ORIGINAL):
        name = name.removeprefix(ORIGINAL)
    return name in clashing

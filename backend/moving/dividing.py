"""Splits of a data set: equal and near-equal texts stay together, and each label has its share in every part.

What is needed of each row lies in a temporary file, so that memory does not grow with them.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from backend.core.errors import BadInputError
from training.splits import group_of

PARTS = {2: ("train", "test"), 3: ("train", "validation", "test")}
ROUNDING = 1e-6
TABLES = """
PRAGMA temp_store = FILE;
CREATE TEMP TABLE items (number INTEGER PRIMARY KEY, said TEXT NOT NULL);
CREATE TEMP TABLE chosen (said TEXT PRIMARY KEY, part TEXT NOT NULL) WITHOUT ROWID;
CREATE TEMP TABLE groups (said TEXT PRIMARY KEY, label TEXT NOT NULL, n INTEGER NOT NULL) WITHOUT ROWID;
"""


def shares_of(text: str) -> dict[str, float]:
    """Parts by name from `0.8/0.1/0.1` or `0.8/0.2`.

    Raises:
        BadInputError: not two or three positive numbers that sum to 1.
    """
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        numbers = []
    if len(numbers) not in PARTS or min(numbers) <= 0 or abs(sum(numbers) - 1) > ROUNDING:
        raise BadInputError(f"--split must be two or three shares that sum to 1, as in 0.8/0.1/0.1, was {text!r}")
    return dict(zip(PARTS[len(numbers)], numbers, strict=True))


@dataclass(frozen=True, slots=True)
class Division:
    """Which part each row belongs to."""

    connection: sqlite3.Connection

    def add(self, text: str, label: str) -> None:
        """Enter the next row; a group has the label of its first one."""
        said = group_of(text)
        self.connection.execute("INSERT INTO items (said) VALUES (?)", (said,))
        query = "INSERT INTO groups VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET n = n + 1"
        self.connection.execute(query, (said, label))

    def divide(self, shares: Mapping[str, float]) -> None:
        """Give each group to the part that lacks most of its label, large groups first."""
        totals = dict(self.connection.execute("SELECT label, sum(n) FROM groups GROUP BY label"))
        groups = self.connection.execute("SELECT said, label, n FROM groups ORDER BY label, n DESC, said")
        given: dict[tuple[str, str], int] = {}
        for said, label, n in groups:
            part = max(shares, key=lambda name: shares[name] * totals[label] - given.get((label, name), 0))
            given[label, part] = given.get((label, part), 0) + n
            self.connection.execute("INSERT INTO chosen VALUES (?, ?)", (said, part))

    def parts(self) -> Iterator[str]:
        """The part of each row, in the order in which they were entered."""
        query = "SELECT part FROM items JOIN chosen USING (said) ORDER BY number"
        return (row[0] for row in self.connection.execute(query))


@contextmanager
def division() -> Iterator[Division]:
    connection = sqlite3.connect("")
    connection.executescript(TABLES)
    try:
        yield Division(connection)
    finally:
        connection.close()

"""A row of a file as it came, whatever its format."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.rows.cells import plain
from backend.rows.limits import MAX_COLUMNS, UnreadableRowError

Columns = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """A row as it came. Its values are what JSON carries."""

    number: int  # of the row, from 1; a table's header is none
    columns: Columns
    problem: str = ""  # why it cannot be read; then it has no columns
    label: Any = None  # what Label Studio's export says apart from the columns; None: a column holds it
    about: Columns = field(default_factory=dict)  # what such an export says of the label: when, how long
    retold: bool = False  # such an export put columns of its own over some of the data's


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that is left out."""

    number: int
    reason: str  # holds neither text nor label of the row
    id: str = ""  # as the row has it
    unknown_label: str = ""  # which the label config lacks; for the terminal alone


def record_of(number: int, value: object) -> Record:
    """A record of a JSON value; one with a problem where it is no object."""
    if not isinstance(value, Mapping):
        return Record(number, {}, f"must be a JSON object, was of type {type(value).__name__}")
    if len(value) > MAX_COLUMNS:
        return Record(number, {}, f"must have at most {MAX_COLUMNS} columns, has {len(value)}; leave some out")
    try:
        return Record(number, plain(value))
    except UnreadableRowError as err:
        return Record(number, {}, str(err))


@dataclass(frozen=True, slots=True)
class RowsSource:
    """Rows that a script has already."""

    rows: Iterable[Columns]
    name: str = "rows"
    share: None = None

    def records(self) -> Iterator[Record]:
        return (record_of(number, columns) for number, columns in enumerate(self.rows, start=1))

"""Rows as texts with labels, to train, predict and evaluate.

Columns: id (optional), text, label (optional), and any others, which are kept. A row that is no text is left out and
told, and stops no other.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from backend.core.errors import BadInputError
from backend.core.labels import key, spelled
from backend.core.spellings import Spellings
from backend.core.types import Example
from backend.files import read_text
from backend.labelstudio.schema import COLUMN_KEY, ID_KEY
from backend.rows.cells import as_cell
from backend.rows.identity import identity_of, text_problem
from backend.rows.names import ID, LABEL, TEXT, Names, column_named, differ, listed
from backend.rows.opening import Report
from backend.rows.reading import FORMATS, FileOptions, FileSource
from backend.rows.records import Columns, Record, Reject


@dataclass(frozen=True, slots=True)
class Row:
    """One text of a file."""

    id: str  # the id column; without one, a hash of the text and how often it stood in the file before
    text: str
    label: str  # as it reads (backend.core.labels); empty where there is none
    given: Any  # the label as it stands there
    columns: Columns  # all of the row's columns as they came


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on one column."""

    column: str
    value: str

    @classmethod
    def parse(cls, text: str) -> "Where":
        """From `column=value`.

        Raises:
            BadInputError: it has no equals sign or no column.
        """
        column, equals, value = text.partition("=")
        if not column or not equals:
            raise BadInputError(f"--where must be column=value, was {text!r}")
        return cls(column, value)

    def holds(self, columns: Columns) -> bool:
        return as_cell(columns.get(self.column)) == self.value


@dataclass(frozen=True, slots=True)
class Reading:
    """Which rows of a file are read, and from which columns."""

    where: str = ""  # `column=value`, to take only some of them; empty takes all
    names: Names = field(default_factory=Names)
    file: FileOptions = field(default_factory=FileOptions)


def refuse(reject: Reject) -> None:
    """Raises BadInputError: for files that must be right as a whole."""
    raise BadInputError(f"row {reject.number}: {reject.reason}")


def say_nothing(_: str) -> None:
    """What is to be told is told to nobody."""


@dataclass
class TextFile:
    """The texts of a file.

    Args:
        labelled: whether the column of the label must be there.
        reject: takes the rows that are left out; as it stands it ends the reading.
    """

    path: Path
    reading: Reading = field(default_factory=Reading)
    labelled: bool = False
    reject: Callable[[Reject], None] = refuse
    report: Report = say_nothing
    source: FileSource = field(init=False)
    _told: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.source = FileSource(self.path, self.reading.file, self.report)

    def rows(self) -> Iterator[Row]:
        """The texts, in order, without holding more than one.

        Raises:
            BadInputError: not a file of rows, a column is missing, or there is no row.
        """
        condition = Where.parse(self.reading.where) if self.reading.where else None
        seen: Counter[str] = Counter()

        def occurrence(digest: str) -> int:
            seen[digest] += 1
            return seen[digest]

        number = 0
        checked = False
        for record in self.source.records():
            number = record.number
            if not record.problem and not checked:
                checked = True
                self._require_columns(record, condition)
            row = self._row(record, occurrence)
            if condition is not None and not record.problem and not condition.holds(record.columns):
                continue
            if isinstance(row, Reject):
                self.reject(row)
            else:
                yield row
        if not number:
            raise BadInputError(f"{self.path} must hold at least one row, but holds none")

    def _row(self, record: Record, occurrence: Callable[[str], int]) -> Row | Reject:
        if record.problem:
            return Reject(record.number, record.problem)
        columns = record.columns
        column = self._column(record, self._text_name(record))
        if not column:
            return Reject(record.number, f"must have the column {self._text_name(record)!r}; add it")
        problem = text_problem(columns, columns[column])
        if problem:
            return Reject(record.number, problem)
        text = as_cell(columns[column])
        identity = identity_of(self._given_id(record), text, occurrence)
        given = self._label(record)
        try:
            label = spelled(given)
        except BadInputError as err:
            return Reject(record.number, str(err))
        return Row(identity, text, label, given, {**record.about, **columns})

    def _text_name(self, record: Record) -> str:
        """The column that was named; else the one that an export of a project says, or `text`."""
        told = record.columns.get(COLUMN_KEY)
        own = told if isinstance(told, str) and told in record.columns else TEXT
        return self.reading.names.text or own

    def _given_id(self, record: Record) -> Any:
        kept = "" if self.reading.names.id else record.columns.get(ID_KEY)
        return kept or record.columns.get(self._column(record, self.reading.names.id or ID))

    def _label(self, record: Record) -> Any:
        if record.label is not None:
            return record.label
        return record.columns.get(self._column(record, self.reading.names.label or LABEL))

    def _column(self, record: Record, wanted: str) -> str:
        """The column of a name; empty where there is none."""
        found = column_named(record.columns, wanted) or ""
        if found and found not in self._told and differ(found, wanted):
            self._told.add(found)
            self.report(f"the column {found!r} is taken for {wanted!r}")
        return found

    def _require_columns(self, record: Record, condition: Where | None) -> None:
        """Look at the first row that can be read.

        Raises:
            BadInputError: it lacks a column.
        """
        names = self.reading.names
        needed = [self._text_name(record), names.id, condition.column if condition else ""]
        if record.label is None:
            needed += [names.label or (LABEL if self.labelled else "")]
        for name in filter(None, needed):
            if not self._column(record, name):
                found = listed(record.columns)
                raise BadInputError(
                    f"the rows of {self.path} must have the column {name!r}, have {found}; name it (--text, --id, "
                    "--label), or add it"
                )


def read_rows(path: Path, *, where: str = "", labelled: bool = False) -> Iterator[Row]:
    """The rows of a file that must be right as a whole. Raises as `TextFile.rows`, also for a row that is no text."""
    return TextFile(path, Reading(where), labelled).rows()


def read_labelled(path: Path, *, where: str = "", report: Report = say_nothing) -> list[Example]:
    """Labelled rows of such a file as examples; see `labelled_rows`."""
    rows = labelled_rows(path, where=where, report=report)
    return [Example(row.id, row.text, row.label) for row in rows]


def labelled_rows(
    path: Path, *, where: str = "", report: Report = say_nothing, reject: Callable[[Reject], None] = refuse
) -> list[Row]:
    """The rows of a file that have a label, each label in one spelling.

    Args:
        reject: as it stands, the file must be right as a whole.
        report: is told of labels that were written in several ways, or only look alike.

    Raises:
        BadInputError: as `read_rows`, or no row has a label.
    """
    file = TextFile(path, Reading(where), labelled=True, reject=reject, report=report)
    labelled = [row for row in file.rows() if row.label]
    return spelled_alike(labelled, file)


def spelled_alike(rows: Sequence[Row], file: TextFile) -> list[Row]:
    """Labelled rows of a file, each label in the spelling that most of them have.

    Raises:
        BadInputError: there is none.
    """
    if not rows:
        condition = f" and {file.reading.where}" if file.reading.where else ""
        raise BadInputError(f"{file.path} must hold a row with a label{condition}, but holds none")
    spellings = Spellings()
    for row in rows:
        spellings.add(row.given)
    for note in spellings.notes():
        file.report(f"{file.source.name}: {note}")
    chosen = spellings.chosen()
    return [replace(row, label=chosen[key(row.label)]) for row in rows]


def read_list(path: Path, column: str) -> Iterator[tuple[str, Columns]]:
    """The rows of a small list, each with its place for messages; a file of another suffix has one value a line.

    Raises:
        BadInputError: not a file, not UTF-8, a row lacks the column, or a line that others follow is empty.
    """
    if path.suffix.lower().removeprefix(".") in FORMATS:
        for record in FileSource(path).records():
            if record.problem:
                refuse(Reject(record.number, record.problem))
            found = column_named(record.columns, column)
            if not found:
                has = listed(record.columns)
                raise BadInputError(f"{path} row {record.number} must have the column {column!r}, has {has}; add it")
            yield f"{path} row {record.number}", {**record.columns, column: record.columns[found]}
        return
    lines = read_text(path).rstrip().splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise BadInputError(f"{path} line {number} must hold a {column}, is empty; remove it")
        yield f"{path} line {number}", {column: line}

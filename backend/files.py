"""Row files: texts and labels as CSV, TSV or JSON lines, read and written one row at a time.

Columns: id (optional), text, label (optional), and any others, which are kept.
"""

import csv
import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from backend.core.disk import hand_over, users_folder, writing
from backend.core.errors import BadInputError
from backend.core.labels import key, spelled
from backend.core.spellings import Spellings
from backend.core.types import Example

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*DELIMITERS, ".jsonl")
MAX_FIELD = 64 * 2**20  # characters; csv's own limit of 128 KiB is less than a long text
HALF = "backslashreplace"  # half a character (a lone surrogate) has no UTF-8; in JSON this writes its escape
Columns = Mapping[str, Any]
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file."""

    id: str  # the id column; without one, a hash of the text and how often it stood in the file before
    text: str
    label: str  # as it reads; empty where there is none
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
        return str(columns.get(self.column, "")) == self.value


def read_rows(path: Path, *, where: str = "", labelled: bool = False) -> Iterator[Row]:
    """The rows of a file, in order, without holding more than one.

    Args:
        where: `column=value`, to take only some of them; empty takes all.
        labelled: whether the column `label` must be there.

    Raises:
        BadInputError: not a file of rows, not UTF-8, a column is missing, or no row is left.
    """
    condition = Where.parse(where) if where else None
    seen: Counter[str] = Counter()
    number = 0
    for number, columns in enumerate(_records(path), start=1):
        _check(
            columns,
            path,
            number,
            ["text", *(["label"] if labelled else []), *([condition.column] if condition else [])],
        )
        text = _text(columns["text"], path, number)
        identity = _identity(columns.get("id"), text, seen)
        if condition is None or condition.holds(columns):
            yield Row(identity, text, _label(columns.get("label"), path, number), columns)
    if not number:
        raise BadInputError(f"{path} must hold at least one row, but holds none")


def read_labelled(path: Path, *, where: str = "", report: Report = lambda _: None) -> list[Example]:
    """Labelled rows as examples; see `labelled_rows`."""
    rows = labelled_rows(path, where=where, report=report)
    return [Example(row.id, row.text, row.label) for row in rows]


def labelled_rows(path: Path, *, where: str = "", report: Report = lambda _: None) -> list[Row]:
    """The rows that have a label, each label in one spelling.

    Args:
        report: is told of labels that were written in several ways, or only look alike.

    Raises:
        BadInputError: as `read_rows`, or no row has a label.
    """
    rows = [row for row in read_rows(path, where=where, labelled=True) if row.label]
    if not rows:
        condition = f" and {where}" if where else ""
        raise BadInputError(f"{path} must hold a row with a label{condition}, but holds none")
    spellings = Spellings()
    for row in rows:
        spellings.add(row.columns["label"])
    for note in spellings.notes():
        report(f"{path.name}: {note}")
    chosen = spellings.chosen()
    return [replace(row, label=chosen[key(row.label)]) for row in rows]


def read_list(path: Path, column: str) -> Iterator[tuple[str, Columns]]:
    """The rows of a small list, each with its place for messages; a file of another suffix has one value a line.

    Raises:
        BadInputError: not a file, not UTF-8, a row lacks the column, or a line that others follow is empty.
    """
    if path.suffix.lower() in SUFFIXES:
        for number, columns in enumerate(_records(path), start=1):
            _check(columns, path, number, [column])
            yield f"{path} row {number}", columns
        return
    lines = read_text(path).rstrip().splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise BadInputError(f"{path} line {number} must hold a {column}, is empty; remove it")
        yield f"{path} line {number}", {column: line}


def read_text(path: Path) -> str:
    """A small file of text, whole.

    Raises:
        BadInputError: not a file, not UTF-8, or not readable.
    """
    if not path.is_file():
        raise BadInputError(f"{path} must be a file, but is not; check the path")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as err:
        raise BadInputError(f"{path} must be UTF-8, but is not at byte {err.start}; convert it with iconv") from err
    except OSError as err:
        raise BadInputError(f"{path} must be readable, but is not: {err.strerror}") from err


@contextmanager
def writing_rows(path: Path) -> Iterator[Callable[[Columns], None]]:
    """A function that writes a row; the file appears when all are written, and not at all otherwise.

    Raises:
        BadInputError: the name does not end in a known suffix, or a later row has columns that a table lacks.
        StateError: there is no room, or no right to write.
    """
    suffix = checked_suffix(path)
    with appearing(path) as hidden, hidden.open("w", encoding="utf-8", errors=HALF, newline="") as file:
        yield _json_writer(file) if suffix == ".jsonl" else _table_writer(file, DELIMITERS[suffix], path)


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A hidden file beside `path` that becomes it when the block ends, and vanishes where it fails.

    Raises:
        StateError: there is no room, or no right to write.
    """
    with writing(path):
        users_folder(path.parent)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        os.close(handle)
        try:
            yield Path(name)
            hand_over(Path(name))
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)


def _records(path: Path) -> Iterator[Columns]:
    suffix = checked_suffix(path)
    if not path.is_file():
        raise BadInputError(f"{path} must be a file, but is not; check the path")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from (
                _json_records(file, path) if suffix == ".jsonl" else _table_records(file, DELIMITERS[suffix], path)
            )
    except UnicodeDecodeError as err:
        raise BadInputError(f"{path} must be UTF-8, but is not at byte {err.start}; convert it with iconv") from err
    except OSError as err:
        raise BadInputError(f"{path} must be readable, but is not: {err.strerror}") from err


def _json_records(file: IO[str], path: Path) -> Iterator[Columns]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as err:
            raise BadInputError(f"{path} line {number} must be a JSON object, but is no JSON") from err
        if not isinstance(record, dict):
            raise BadInputError(f"{path} line {number} must be a JSON object, was of type {type(record).__name__}")
        yield record


def _table_records(file: IO[str], delimiter: str, path: Path) -> Iterator[Columns]:
    csv.field_size_limit(MAX_FIELD)
    reader = csv.DictReader(file, delimiter=delimiter, strict=True)
    try:
        for record in reader:
            if None in record:
                raise BadInputError(f"{path} line {reader.line_num} must have as many fields as the header, has more")
            yield record
    except csv.Error as err:
        raise BadInputError(f"{path} line {reader.line_num} must be a well-formed table row: {err}") from err


def _check(columns: Columns, path: Path, number: int, needed: Sequence[str]) -> None:
    for name in needed:
        if name not in columns:
            found = ", ".join(map(str, columns)) or "none"
            raise BadInputError(f"{path} row {number} must have the column {name!r}, has {found}; rename or add it")


def _text(value: Any, path: Path, number: int) -> str:
    if not isinstance(value, str):
        raise BadInputError(f"{path} row {number}: text must be a string, was of type {type(value).__name__}")
    return value


def _label(value: Any, path: Path, number: int) -> str:
    try:
        return spelled(value)
    except BadInputError as err:
        raise BadInputError(f"{path} row {number}: {err}") from err


def _identity(given: Any, text: str, seen: Counter[str]) -> str:
    if given not in (None, ""):
        return str(given)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    seen[digest] += 1
    return f"{digest}-{seen[digest]}"


def checked_suffix(path: Path) -> str:
    """The format of a row file by its name.

    Raises:
        BadInputError: the name does not end in a known suffix.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise BadInputError(f"{path} must end in {', '.join(SUFFIXES)}; rename or convert it")
    return path.suffix.lower()


def _json_writer(file: IO[str]) -> Callable[[Columns], None]:
    def write(columns: Columns) -> None:
        file.write(json.dumps(columns, ensure_ascii=False) + "\n")

    return write


def _table_writer(file: IO[str], delimiter: str, path: Path) -> Callable[[Columns], None]:
    writers: list[csv.DictWriter[str]] = []

    def write(columns: Columns) -> None:
        if not writers:
            writers.append(csv.DictWriter(file, list(columns), delimiter=delimiter, lineterminator="\n"))
            writers[0].writeheader()
        if not columns.keys() <= set(writers[0].fieldnames):
            raise BadInputError(
                f"rows of {path} must have the first row's columns, one has more; write to .jsonl instead"
            )
        writers[0].writerow(columns)

    return write

"""Text to rows, whatever format: one at a time, and a row that cannot be read stops no other.

Rows are told apart by their number; what a row means is decided in backend.moving.rows.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import ijson

from backend.core.errors import BadInputError, MissingExtraError
from backend.files import DELIMITERS, MAX_FIELD
from backend.moving.opening import STDIN, Opened, Report, opening

FORMATS = ("csv", "tsv", "jsonl", "json", "parquet")
PARQUET_ROWS = 1000  # read at once

Columns = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """A row as it came."""

    number: int  # of the row, from 1; a table's header is none
    columns: Columns
    problem: str = ""  # why it cannot be read; then it has no columns


@dataclass
class FileSource:
    """The rows of a file or of standard input."""

    path: Path
    format: str = ""  # one of FORMATS; empty: by the name
    encoding: str = ""  # empty: UTF-8 or UTF-16, by the first bytes
    report: Report = lambda _: None
    _opened: Opened | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return "standard input" if self.path == STDIN else self.path.name

    @property
    def is_stream(self) -> bool:
        """Whether it can be read once only."""
        return self.path == STDIN

    @property
    def share(self) -> float | None:
        """How much was read, 0-1; None where nobody knows."""
        return self._opened.share if self._opened else None

    def records(self) -> Iterator[Record]:
        """All rows, in order.

        Raises:
            BadInputError: it is no file of rows, or damaged.
            MissingExtraError: it is Parquet, and pyarrow is not installed.
        """
        kind = self.format or format_of(self.path)
        if kind == "parquet":
            yield from _parquet(self.path)
            return
        with opening(self.path) as opened:
            self._opened = opened
            if kind == "json":
                yield from _array(opened)
                return
            file = opened.text(self.encoding, self.report)
            yield from _lines(file) if kind == "jsonl" else _table(file, DELIMITERS[f".{kind}"], opened.name)


@dataclass(frozen=True, slots=True)
class RowsSource:
    """Rows that a script has already."""

    rows: Iterable[Columns]
    name: str = "rows"
    share: None = None

    def records(self) -> Iterator[Record]:
        return (Record(number, columns) for number, columns in enumerate(self.rows, start=1))


def format_of(path: Path) -> str:
    """The format that a name tells; `.gz` at its end is looked through.

    Raises:
        BadInputError: it tells none.
    """
    name = path.name.lower().removesuffix(".gz")
    found = name.rpartition(".")[2]
    if path == STDIN or found not in FORMATS:
        shown = "standard input" if path == STDIN else path
        raise BadInputError(f"{shown} must be of a known format; say --format {', '.join(FORMATS)}")
    return found


def _table(file: IO[str], delimiter: str, name: str) -> Iterator[Record]:
    csv.field_size_limit(MAX_FIELD)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    header = _header(reader, name)
    for number, fields in enumerate(_rows_of(reader), start=1):
        if isinstance(fields, str):
            yield Record(number, {}, fields)
        elif len(fields) != len(header):
            yield Record(number, {}, f"must have {len(header)} fields like the header, has {len(fields)}")
        else:
            yield Record(number, dict(zip(header, fields, strict=True)))


def _header(reader: Iterator[list[str]], name: str) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error as err:
        raise BadInputError(f"{name} must begin with a row of column names: {err}") from err
    if len(set(header)) < len(header):
        raise BadInputError(f"the columns of {name} must differ, some stand twice; rename them")
    return header


def _rows_of(reader: Any) -> Iterator[list[str] | str]:
    """Fields of each row that is not blank, or why it cannot be read."""
    while True:
        begin = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as err:
            yield f"must be a well-formed table row: lines {begin} to {reader.line_num}: {err}"
            continue
        if fields:
            yield fields


def _lines(file: IO[str]) -> Iterator[Record]:
    number = 0
    for line in file:
        if not line.strip():
            continue
        number += 1
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, RecursionError):
            yield Record(number, {}, "must be a JSON object, but is no JSON")
            continue
        yield _object(number, value)


def _array(opened: Opened) -> Iterator[Record]:
    try:
        for number, value in enumerate(ijson.items(opened.stream, "item", use_float=True), start=1):
            yield _object(number, value)
    except (ijson.JSONError, UnicodeDecodeError) as err:
        problem = f"{opened.name} must be a JSON list of objects in UTF-8, but is broken or cut off"
        raise BadInputError(f"{problem}; correct it, or write one object a line (.jsonl)") from err


def _object(number: int, value: object) -> Record:
    if isinstance(value, dict):
        return Record(number, value)
    return Record(number, {}, f"must be a JSON object, was of type {type(value).__name__}")


def _parquet(path: Path) -> Iterator[Record]:
    if path == STDIN:
        raise BadInputError("Parquet must be read from a file, not from standard input; name the file")
    if not path.is_file():
        raise BadInputError(f"{path} must be a file, but is not; check the path")
    arrow, parquet = pyarrow()
    try:
        with parquet.ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=PARQUET_ROWS)
            rows = (row for batch in batches for row in batch.to_pylist())
            yield from (Record(number, row) for number, row in enumerate(rows, start=1))
    except (arrow.ArrowException, OSError) as err:
        raise BadInputError(f"{path} must be a whole Parquet file, but is cut off or damaged; fetch it again") from err


def pyarrow() -> tuple[Any, Any]:
    """The library for Parquet, and its module of that name.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as err:
        raise MissingExtraError("Parquet needs pyarrow; run: pip install 'prelabel[parquet]'") from err
    return arrow, parquet

"""Rows to a file of any format: the one writer of all commands. What it writes, backend.rows.reading reads back.

For a spreadsheet a table begins with a mark, by which Excel knows UTF-8, and cells that it would compute as formulas
are text: they begin with an apostrophe. Such a file is for people's eyes; it is not read back equal.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from backend.core.errors import BadInputError
from backend.files import HALF, appearing
from backend.rows.cells import as_cell
from backend.rows.limits import MAX_COLUMNS
from backend.rows.parquet import pyarrow
from backend.rows.tables import ESCAPED, MARK

TABLES = (".csv", ".tsv")
SUFFIXES = (*TABLES, ".jsonl", ".parquet")
GROUP_ROWS = 5000  # of one row group of Parquet
EXACT = 2**53  # whole numbers below it are the same as floats
FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # what spreadsheets compute, in their wide forms, too
NEEDS_QUOTES = re.compile(r"[\"\r\n,;\t|]|^sep=|^\ufeff", re.IGNORECASE)  # also what a reader may take for a delimiter
ESCAPES = str.maketrans({sign: f"\\{letter}" for letter, sign in ESCAPED.items()})

Kind = Literal["none", "bool", "int", "long", "float", "text"]
Row = Mapping[str, Any]
Write = Callable[[dict[str, Any]], None]


def checked_target(path: Path, *, for_spreadsheet: bool = False) -> str:
    """The format of a file to write, by its name.

    Raises:
        BadInputError: the name does not end in a known suffix, or no spreadsheet reads it.
        MissingExtraError: it is Parquet, and pyarrow is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInputError(f"{path} must end in {', '.join(SUFFIXES)}; rename it")
    if for_spreadsheet and suffix not in TABLES:
        raise BadInputError(f"--for-spreadsheet must go with a name that ends in .csv or .tsv, was {path.name!r}")
    if suffix == ".parquet":
        pyarrow()
    return suffix


def kind_of(value: object, before: Kind = "none") -> Kind:
    """The narrowest kind that holds a value and what was there before."""
    found: Kind = (
        "none" if value is None
        else "bool" if isinstance(value, bool)
        else "int" if isinstance(value, int) and abs(value) <= EXACT
        else "long" if isinstance(value, int) and abs(value) < 2**63
        else "float" if isinstance(value, float)
        else "text"
    )  # fmt: skip
    if found == before or found == "none":
        return before
    if before == "none":
        return found
    both = {before, found}
    return "float" if both == {"int", "float"} else "long" if both == {"int", "long"} else "text"


@contextmanager
def writing_table(path: Path, columns: Mapping[str, Kind], *, for_spreadsheet: bool = False) -> Iterator[Write]:
    """A function that writes a row; the file appears when all are written, and not at all otherwise.

    Raises:
        StateError: there is no room, or no right to write.
    """
    suffix = checked_target(path, for_spreadsheet=for_spreadsheet)
    with appearing(path) as hidden:
        if suffix == ".parquet":
            with _parquet(hidden, columns) as write:
                yield write
            return
        with hidden.open("w", encoding="utf-8", errors=HALF, newline="") as file:
            yield _lines(file) if suffix == ".jsonl" else _table(file, suffix, list(columns), for_spreadsheet)


@contextmanager
def writing_rows(path: Path, *, for_spreadsheet: bool = False) -> Iterator[Write]:
    """The same where the columns are not known before: they are those of all rows, in the order of their first one.

    Rows wait in a temporary file beside, which nobody else may read.

    Raises:
        BadInputError: the name does not end in a known suffix, or rows have more than MAX_COLUMNS columns.
        StateError: there is no room, or no right to write.
    """
    if checked_target(path, for_spreadsheet=for_spreadsheet) == ".jsonl":
        with writing_table(path, {}) as write:
            yield write
        return
    columns: dict[str, Kind] = {}
    with writing_spool(path) as spool:
        write_line = _lines(spool)

        def add(row: Row) -> None:
            columns.update({name: kind_of(value, columns.get(name, "none")) for name, value in row.items()})
            if len(columns) > MAX_COLUMNS:
                raise BadInputError(f"a table must have at most {MAX_COLUMNS} columns, {path} has more; write .jsonl")
            write_line(dict(row))

        yield add
        spool.seek(0)
        with writing_table(path, columns, for_spreadsheet=for_spreadsheet) as write:
            for line in spool:
                write(json.loads(line))


@contextmanager
def writing_spool(path: Path) -> Iterator[IO[str]]:
    """A file for what waits to be written to `path`: on the same disk, for this user alone, gone afterwards."""
    with appearing(path, keep=False) as hidden, hidden.open("w+", encoding="utf-8", errors=HALF, newline="\n") as file:
        yield file


def _lines(file: IO[str]) -> Write:
    def write(row: Row) -> None:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")

    return write


def _table(file: IO[str], suffix: str, columns: Sequence[str], for_spreadsheet: bool) -> Write:
    """CSV or TSV, the header written; a blank name of a column is written as it will be read."""
    header = [name if name.strip() else f"column_{place}" for place, name in enumerate(columns, start=1)]
    written = _csv_line if suffix == ".csv" else _tsv_line
    if for_spreadsheet or (header and header[0].startswith(MARK)):
        file.write(MARK)

    def line(cells: Sequence[object]) -> None:
        told = [_text_cell(cell, suffix) if for_spreadsheet else as_cell(cell) for cell in cells]
        file.write(written(told) + "\n")

    line(header)
    return lambda row: line([row.get(name) for name in columns])


def _csv_line(cells: Sequence[str]) -> str:
    if len(cells) == 1 and not cells[0]:
        return '""'
    # the csv module of Python before 3.11.9 leaves a lone CR unquoted, so that one row is read back as two
    return ",".join('"' + cell.replace('"', '""') + '"' if NEEDS_QUOTES.search(cell) else cell for cell in cells)


def _tsv_line(cells: Sequence[str]) -> str:
    return "\t".join(cell.translate(ESCAPES) for cell in cells)


def _text_cell(value: object, suffix: str) -> str:
    """A cell that no spreadsheet computes; in TSV none that it takes for quoted, either."""
    cell = as_cell(value)
    live = isinstance(value, str) and cell.startswith((*FORMULA, '"') if suffix == ".tsv" else FORMULA)
    return f"'{cell}" if live else cell


@contextmanager
def _parquet(path: Path, columns: Mapping[str, Kind]) -> Iterator[Write]:
    arrow, parquet = pyarrow()
    types = {"bool": arrow.bool_(), "int": arrow.int64(), "long": arrow.int64(), "float": arrow.float64()}
    schema = arrow.schema([(name, types.get(kind, arrow.string())) for name, kind in columns.items()])
    rows: list[dict[str, Any]] = []

    def flush() -> None:
        if rows:
            file.write_table(arrow.Table.from_pylist(rows, schema=schema))
            rows.clear()

    def write(row: Row) -> None:
        rows.append({name: _typed(row.get(name), kind) for name, kind in columns.items()})
        if len(rows) == GROUP_ROWS:
            flush()

    with parquet.ParquetWriter(path, schema) as file:
        yield write
        flush()


def _typed(value: Any, kind: Kind) -> Any:
    return as_cell(value) if kind == "text" and value is not None else value

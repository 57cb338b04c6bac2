"""Rows to a file of any format. The columns are known before the first row is written."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from backend.core.errors import BadInputError
from backend.files import DELIMITERS, HALF, appearing
from backend.labelstudio.records import Json
from backend.moving.cells import as_cell
from backend.moving.reading import pyarrow

SUFFIXES = (*DELIMITERS, ".jsonl", ".parquet")
GROUP_ROWS = 5000  # of one row group of Parquet

Kind = Literal["none", "bool", "int", "float", "text"]
Write = Callable[[Json], None]


def checked_target(path: Path) -> str:
    """The format of a file to write, by its name.

    Raises:
        BadInputError: the name does not end in a known suffix.
        MissingExtraError: it is Parquet, and pyarrow is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInputError(f"{path} must end in {', '.join(SUFFIXES)}; rename it")
    if suffix == ".parquet":
        pyarrow()
    return suffix


def kind_of(value: object, before: Kind = "none") -> Kind:
    """The narrowest kind that holds a value and what was there before."""
    found: Kind = (
        "none" if value is None
        else "bool" if isinstance(value, bool)
        else "int" if isinstance(value, int) and abs(value) < 2**63
        else "float" if isinstance(value, float)
        else "text"
    )  # fmt: skip
    if found == before or found == "none":
        return before
    if before == "none":
        return found
    return "float" if {before, found} == {"int", "float"} else "text"


@contextmanager
def writing_table(path: Path, columns: Mapping[str, Kind]) -> Iterator[Write]:
    """A function that writes a row; the file appears when all are written, and not at all otherwise.

    Raises:
        StateError: there is no room, or no right to write.
    """
    suffix = checked_target(path)
    with appearing(path) as hidden:
        if suffix == ".parquet":
            with _parquet(hidden, columns) as write:
                yield write
            return
        with hidden.open("w", encoding="utf-8", errors=HALF, newline="") as file:
            if suffix == ".jsonl":
                yield lambda row: (file.write(json.dumps(row, ensure_ascii=False) + "\n"), None)[1]
                return
            writer = csv.writer(file, delimiter=DELIMITERS[suffix], lineterminator="\n")
            writer.writerow(columns)
            yield lambda row: (writer.writerow([as_cell(row.get(name)) for name in columns]), None)[1]


@contextmanager
def _parquet(path: Path, columns: Mapping[str, Kind]) -> Iterator[Write]:
    arrow, parquet = pyarrow()
    types = {"bool": arrow.bool_(), "int": arrow.int64(), "float": arrow.float64()}
    schema = arrow.schema([(name, types.get(kind, arrow.string())) for name, kind in columns.items()])
    rows: list[Json] = []

    def flush() -> None:
        if rows:
            file.write_table(arrow.Table.from_pylist(rows, schema=schema))
            rows.clear()

    def write(row: Json) -> None:
        rows.append({name: _typed(row.get(name), kind) for name, kind in columns.items()})
        if len(rows) == GROUP_ROWS:
            flush()

    with parquet.ParquetWriter(path, schema) as file:
        yield write
        flush()


def _typed(value: Any, kind: Kind) -> Any:
    return as_cell(value) if kind == "text" and value is not None else value

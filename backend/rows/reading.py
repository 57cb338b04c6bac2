"""Files of rows, whatever format: one row at a time, and a row that cannot be read stops no other.

The one reader of all commands. Rows are told apart by their number; what a row means is decided in backend.rows.texts
(to train, predict, evaluate) and backend.moving.rows (to import).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from backend.core.errors import BadInputError
from backend.rows.json_rows import json_records, line_records
from backend.rows.label_studio import Exports
from backend.rows.opening import STDIN, Opened, Report, opening
from backend.rows.parquet import parquet_records
from backend.rows.records import Record
from backend.rows.tables import NAMED, csv_records, tsv_records

FORMATS = ("csv", "tsv", "jsonl", "json", "parquet")


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How a file is read where the file does not tell."""

    format: str = ""  # one of FORMATS; empty: by the name
    encoding: str = ""  # empty: one of Unicode's, by the first bytes
    delimiter: str = ""  # of CSV; a sign, or "tab"; empty: by the first rows
    label: str = ""  # the control of Label Studio's export, or the column, that holds the label

    def __post_init__(self) -> None:
        if self.format and self.format not in FORMATS:
            raise BadInputError(f"--format must be one of {', '.join(FORMATS)}, was {self.format!r}")
        if self.delimiter and (len(self.sign) != 1 or self.sign in '"\r\n'):
            raise BadInputError(f"--delimiter must be one sign, or tab, was {self.delimiter!r}")

    @property
    def sign(self) -> str:
        """The delimiter itself."""
        signs = {name: sign for sign, name in NAMED.items()} | {"\\t": "\t"}
        return signs.get(self.delimiter, self.delimiter)


@dataclass
class FileSource:
    """The rows of a file or of standard input."""

    path: Path
    options: FileOptions = field(default_factory=FileOptions)
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
        """All rows, in order; of Label Studio's exports one a task.

        Raises:
            BadInputError: it is no file of rows, or damaged.
            MissingExtraError: it is Parquet, and pyarrow is not installed.
        """
        return Exports(self.options.label, self.report).records(self._records())

    def _records(self) -> Iterator[Record]:
        kind = self.options.format or format_of(self.path)
        if kind == "parquet":
            yield from parquet_records(self.path)
            return
        with opening(self.path) as opened:
            self._opened = opened
            yield from self._of_text(opened, kind)

    def _of_text(self, opened: Opened, kind: str) -> Iterator[Record]:
        encoding = opened.encoding(self.options.encoding, self.report)
        beginning = opened.beginning(encoding)
        is_list = beginning.lstrip("\ufeff \t\r\n")[:1] == "["
        if kind == "json" or (kind == "jsonl" and is_list):
            return json_records(opened.text(encoding), opened.name)
        if kind == "jsonl":
            return line_records(opened.text(encoding, "\n"))
        if kind == "csv" or self.options.delimiter:
            file = opened.text(encoding)
            return csv_records(file, beginning, self.options.sign, opened.name, self.report)
        ends = "\r" if "\r" in beginning and "\n" not in beginning else "\n"
        return tsv_records(opened.text(encoding, ends), beginning, opened.name, self.report)


def format_of(path: Path) -> str:
    """The format that a name tells; `.gz` at its end is looked through.

    Raises:
        BadInputError: it tells none.
    """
    found = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    found = {"ndjson": "jsonl", "tab": "tsv"}.get(found, found)
    if path == STDIN or found not in FORMATS:
        shown = "standard input" if path == STDIN else path
        raise BadInputError(f"{shown} must be of a known format; say --format {', '.join(FORMATS)}")
    return found

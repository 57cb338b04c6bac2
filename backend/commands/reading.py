"""How commands read files of texts: the options that all of them have, progress, and rows that are left out."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from backend.commands.printing import Printer
from backend.rows.names import Names
from backend.rows.reading import FORMATS, FileOptions, FileSource
from backend.rows.records import Reject
from backend.rows.rejects import Rejects
from backend.rows.texts import Reading, Row
from backend.rows.writing import checked_target

TEXTS_FILE = "CSV, TSV, JSONL, JSON, Parquet, gzip of these, with the column text; - is standard input."
LEFT_OUT = 1  # the exit code where rows were left out
TOLD = 5  # of these are told one by one
TOLD_EVERY = 100  # rows, of progress
STEADY_S = 1.0  # before it a speed says nothing

TextColumn = Annotated[str, typer.Option("--text", help="The column of the text; else `text`.")]
LabelColumn = Annotated[
    str, typer.Option("--label", help="The column of the label, or the control in Label Studio's export; else `label`.")
]
IdColumn = Annotated[str, typer.Option("--id", help="The column that tells rows apart; else `id`, or the text.")]
WhereOption = Annotated[str, typer.Option("--where", help="Take only the rows with column=value.")]
Format = Annotated[str, typer.Option("--format", help=f"Where the name does not tell: {', '.join(FORMATS)}.")]
Encoding = Annotated[str, typer.Option(help="Where it is not UTF-8 or UTF-16: cp1251, for example.")]
Delimiter = Annotated[
    str, typer.Option(help="Of CSV, where it is no comma and the first rows do not show it: a sign, or tab.")
]
RejectsFile = Annotated[Path | None, typer.Option(help="A file for the rows that are left out: number and reason.")]
ForSpreadsheet = Annotated[
    bool,
    typer.Option("--for-spreadsheet", help="For Excel: with a mark, and no cell that it would compute as a formula."),
]


def reading_of(
    where: str = "", text: str = "", label: str = "", id_column: str = "", kind: str = "", encoding: str = "",
    delimiter: str = "",
) -> Reading:  # fmt: skip
    """The options of a command as what a reader of rows takes."""
    return Reading(where, Names(text, id_column, label), FileOptions(kind, encoding, delimiter, label))


@dataclass
class LeftOut:
    """Rows that are no texts: all are counted, the first ones are told."""

    printer: Printer
    rejects: Rejects
    n: int = 0

    def add(self, reject: Reject) -> None:
        self.n += 1
        self.rejects.add(reject)
        if self.n <= TOLD:
            self.printer.step(f"row {reject.number} is left out: {reject.reason}")

    def tell(self) -> None:
        """Say how many there were."""
        if self.n > TOLD:
            self.printer.step(f"{self.n} rows were left out")

    @property
    def figures(self) -> dict[str, int | str]:
        """What a command's result says of them."""
        file = {"rejects": str(self.rejects.path)} if self.n and self.rejects.path else {}
        return {"n_rejected": self.n, **file}


@contextmanager
def leaving_out(printer: Printer, file: Path | None) -> Iterator[LeftOut]:
    """Takes the rows that a command leaves out; ends it with LEFT_OUT where there are any."""
    if file is not None:
        checked_target(file)
    with Rejects(file) as rejects:
        left_out = LeftOut(printer, rejects)
        yield left_out
        left_out.tell()
    if left_out.n:
        raise typer.Exit(LEFT_OUT)


def counted(rows: Iterator[Row], source: FileSource, advance: Callable[[str, float | None], None]) -> Iterator[Row]:
    """The rows as they come; tells how many there were, how fast, and what share of the file."""
    started = time.monotonic()
    for n, row in enumerate(rows, start=1):
        yield row
        if n % TOLD_EVERY == 0:
            seconds = time.monotonic() - started
            speed = f", {n / seconds:.0f} a second" if seconds >= STEADY_S else ""
            advance(f"{n} rows{speed}", source.share)

"""How commands speak: results on standard output, progress on standard error; JSON where it was asked for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

FILE_WIDTH = 10_000  # characters a line where nobody looks on


def counting() -> Progress:
    """Counts on standard error, and leaves nothing there."""
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Printer:
    """Prints for people, or one JSON object for programs."""

    as_json: bool = False

    def step(self, message: str) -> None:
        Console(stderr=True).print(f"[dim]·[/dim] {message}", highlight=False)

    def result(self, values: Mapping[str, Any]) -> None:
        """One object: as JSON, or a line an entry."""
        if self.as_json:
            Console(soft_wrap=True).out(json.dumps(values, ensure_ascii=False), highlight=False)
            return
        for name, value in values.items():
            Console(soft_wrap=True).out(f"{name}: {value}", highlight=False)

    def text(self, lines: str) -> None:
        """Lines for people, as they are."""
        Console(soft_wrap=True).out(lines, highlight=False)

    def rows(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table, nothing of it cut; as JSON a list of objects under "rows"."""
        if self.as_json:
            self.result({"rows": [dict(zip(columns, row, strict=True)) for row in rows]})
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*row)
        console = Console()
        # a program that reads a table wants a row a line
        console.print(table, width=None if console.is_terminal else FILE_WIDTH, crop=console.is_terminal)

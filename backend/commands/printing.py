"""How commands speak: results on standard output, progress on standard error; JSON where it was asked for.

Decides how wide a line is and when a table becomes blocks; knows nothing of what is printed.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import regex
from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from backend.core.clock import duration

DIGITS = 4  # after the point, of what people read; JSON has them all
NOTHING = "none"  # where an entry has no value
COLUMNS = 80  # of what is piped to a program or a file
GAP = "  "  # between two columns, and before the lines of a block
CONTROLS = regex.compile(r"[\p{Cc}--[\n\t]]|\p{Cs}", regex.V1)  # what would move a terminal's cursor, or has no bytes


class Count(ProgressColumn):
    """How many are done, and of how many where that is known; nothing before the first."""

    def render(self, task: Task) -> Text:
        done = f"{task.completed:,.0f}" if task.completed else ""
        return Text(f"{done or 0} of {task.total:,.0f}" if task.total else done, style="green")


class TimeLeft(ProgressColumn):
    """How long it still takes, where that is known."""

    def render(self, task: Task) -> Text:
        left = task.time_remaining
        return Text("" if left is None or task.finished else f"{duration(left)} left", style="cyan")


def counting() -> Progress:
    """Progress on standard error, which leaves nothing there: a count and, where the end is known, the time left."""
    return _progress(SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), Count())


@contextmanager
def bar(what: str) -> Iterator[Callable[[str, float | None], None]]:
    """A bar on standard error, and what moves it: a few words, and a share of 1; with the time left."""
    told_words = TextColumn("{task.fields[told]}")
    with _progress(TextColumn("{task.description}"), BarColumn(), told_words) as progress:
        task: TaskID = progress.add_task(what, total=None, told="")

        def advance(words: str, share: float | None) -> None:
            total = None if share is None else 1.0
            progress.update(task, told=words, total=total, completed=share or 0.0)

        yield advance


@contextmanager
def bar_of_tasks(what: str) -> Iterator[Callable[[int, int], None]]:
    """The same of tasks; what moves it takes how many are done, and of how many."""
    with bar(what) as advance:
        yield lambda n, of: advance(f"{n} of {of} tasks", n / max(1, of))


def _progress(*columns: ProgressColumn) -> Progress:
    """Columns before the times; nothing at all where standard error is no terminal."""
    console = Console(stderr=True)
    times = (TimeElapsedColumn(), TimeLeft())
    return Progress(*columns, *times, console=console, transient=True, disable=not console.is_terminal)


@dataclass(frozen=True, slots=True)
class Printer:
    """Prints for people, or one JSON object for programs."""

    as_json: bool = False

    @property
    def columns(self) -> int:
        """Of the terminal; COLUMNS where standard output is none."""
        console = Console()
        return console.width if console.is_terminal else COLUMNS

    def step(self, message: str) -> None:
        """Say on standard error what is being done."""
        line = Text.assemble(("· ", "dim"), visible(message))
        Console(stderr=True).print(line, highlight=False, soft_wrap=True)

    def result(self, values: Mapping[str, Any]) -> None:
        """Print one object: as JSON, or a line an entry."""
        if self.as_json:
            self._out(json_of(values))
            return
        for name, value in values.items():
            self.text(f"{name}: {told(value) or NOTHING}")

    def text(self, lines: str) -> None:
        """Print lines for people, between whose words a terminal that is narrower breaks them."""
        console = Console()
        parts = visible(lines).split("\n")
        if console.is_terminal:
            parts = [part for line in parts for part in fitted(line, console.width)]
        self._out("\n".join(parts))

    def document(self, lines: str) -> None:
        """Print what is a file by its nature, as it is."""
        self._out(lines)

    def rows(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, nothing: str = "") -> None:
        """Print a table, nothing of it cut; as JSON a list of objects under "rows".

        In a terminal that is too narrow for it each row becomes a block of lines, an entry each. Programs are given a
        row a line, as wide as it is.

        Args:
            nothing: what people see of a cell without a value; a block leaves it out where this is empty.
        """
        if self.as_json:
            self.result({"rows": [dict(zip(columns, row, strict=True)) for row in rows]})
            return
        cells = [[visible(told(value) or nothing).replace("\n", " ") for value in row] for row in rows]
        console = Console()
        lines = table_lines(columns, cells)
        if console.is_terminal and max(map(cell_len, lines)) > console.width:
            lines = list(block_lines(columns, cells, console.width))
        self._out("\n".join(lines))

    def _out(self, lines: str) -> None:
        Console(soft_wrap=True).out(lines, highlight=False)


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A line a row under a line of names, each column as wide as its widest cell."""
    widths = [max(cell_len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
    return [GAP.join(map(_padded, row, widths)).rstrip() for row in (columns, *rows)]


def block_lines(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Each row as lines of name and value, what is empty left out; an empty line between two rows.

    Words are never broken: one that is longer than the line, such as a path, is left to the terminal.
    """
    name_width = max(map(cell_len, columns))
    for number, row in enumerate(rows):
        if number:
            yield ""
        for name, cell in zip(columns, row, strict=True):
            if cell:
                yield from entry_lines(_padded(name, name_width), cell, width)


def entry_lines(name: str, value: str, width: int) -> Iterator[str]:
    """A name and its value, wrapped between words, further lines under the value."""
    head = f"{name}{GAP}"
    for part in wrapped(value, width - cell_len(head)):
        yield f"{head}{part}".rstrip()
        head = " " * cell_len(head)


def fitted(line: str, width: int) -> list[str]:
    """A line, or where it is longer than `width` its parts, the further ones set in."""
    if cell_len(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip(" "))]
    first, *others = wrapped(line.lstrip(" "), width - len(indent) - len(GAP))
    return [indent + first, *(indent + GAP + other for other in others)]


def wrapped(text: str, width: int) -> list[str]:
    """Text in lines of at most `width` columns of a terminal; a longer word stays whole on a line of its own."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and cell_len(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def told(value: object) -> str:
    """A value as people read it; nothing for None and for what is no number."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return "" if math.isnan(value) else str(round(value, DIGITS))
        case Mapping():
            return ", ".join(f"{name}: {told(each)}" for name, each in value.items())
        case list() | tuple():
            return ", ".join(map(told, value))
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S %Z}".rstrip()
        case _:
            return str(value)


def json_of(values: Mapping[str, Any]) -> str:
    """A JSON object on one line: what is empty or no number is null, times are ISO 8601."""
    text = json.dumps(_plain(values), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")  # half a character becomes JSON's own escape


def visible(text: str) -> str:
    """Text without signs that steer a terminal: these are shown by their codes."""
    return str(CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text))


def _plain(value: object) -> object:
    match value:
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case datetime():
            return value.isoformat(timespec="seconds")
        case float() if not math.isfinite(value):
            return None
        case "":
            return None
        case Path():
            return str(value)
        case _:
            return value


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - cell_len(cell))


def once(say: Callable[[str], None]) -> Callable[[str], None]:
    """Say each line once: a file may be read twice, first for its labels."""
    said: set[str] = set()

    def say_once(line: str) -> None:
        if line not in said:
            said.add(line)
            say(line)

    return say_once

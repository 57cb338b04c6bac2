"""`prelabel doctor`: what it found, as lines that can be read at 80 columns, faults with their remedies below them."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from backend.commands.printing import GAP, Printer, visible, wrapped
from backend.connection.doctor.check import Result
from backend.connection.doctor.examination import desk_of_doctor, examine_all, examine_and_mend
from backend.core.projects import ProjectKey
from backend.core.settings import load_state_settings

MARK_WIDTH = 7
FILE_WIDTH = 80  # where nobody looks on, lines are as long as in a usual terminal
NAME_WIDTH = 16  # the longest name's, so that the tables of all projects stand below each other


def doctor(
    project: Annotated[int, typer.Option("--project", help="Examine this project; all where left out.")] = 0,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended safely, and look again.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Look at every link between Label Studio and this backend; say ok, or what to do."""
    printer = Printer(json)
    with desk_of_doctor(load_state_settings()) as desk:
        results = examine_and_mend(desk, printer.step, project) if fix else examine_all(desk, project)
    faulty = [result for result in results if not result.ok]
    if json:
        printer.result({"ok": not faulty, "rows": [result.as_json() for result in results]})
    else:
        console = Console()
        width = console.width if console.is_terminal else FILE_WIDTH
        for key, group in groupby(results, key=lambda result: result.project):
            console.print(
                f"project {ProjectKey.parse(key).id}" if key else "this backend", style="bold", highlight=False
            )
            for result in group:
                for line in result_lines(result, width):
                    console.print(line, highlight=False, soft_wrap=True)
        console.print(_sum(faulty), highlight=False)
    if faulty:
        raise typer.Exit(1)


def result_lines(result: Result, width: int) -> Iterator[Text]:
    """The lines of a check: mark, name and finding, then what was mended and what to do."""
    if result.waits_for:
        yield from _entry("?", result.name, f"not looked at: {result.remedy}", "dim", "dim", width)
        return
    mark, style = ("ok", "green") if result.ok else ("FAULT", "bold red")
    yield from _entry(mark, result.name, result.finding, style, "", width)
    if result.fixed:
        yield from _entry("", f"{'mended':>{NAME_WIDTH}}", result.fixed, "", "cyan", width)
    if result.remedy:
        yield from _entry("", f"{'->':>{NAME_WIDTH}}", result.remedy, "", "yellow", width)


def _entry(mark: str, name: str, told: str, mark_style: str, style: str, width: int) -> Iterator[Text]:
    """Three columns, the last of them wrapped between words; a path stays whole, so that it can be copied."""
    head = f"{name:<{NAME_WIDTH}}{GAP}"
    for line in wrapped(visible(told), width - MARK_WIDTH - len(head)):
        yield Text.assemble((f"{mark:<{MARK_WIDTH}}", mark_style), head, (line, style))
        mark, head = "", " " * len(head)


def _sum(faulty: Iterable[Result]) -> str:
    own = [result for result in faulty if not result.waits_for]
    if not own:
        return "[green]everything is ok[/green]"
    n_queued = sum(bool(result.fixed) for result in own)
    n_fixable = sum(result.mend is not None and not result.fixed for result in own)
    parts = [f"[bold red]{len(own)} fault{'' if len(own) == 1 else 's'}[/bold red]"]
    parts += [f"{n_queued} of them mended as soon as a worker is at it"] if n_queued else []
    parts += [f"`prelabel doctor --fix` mends {n_fixable} of them"] if n_fixable else []
    return "; ".join(parts)

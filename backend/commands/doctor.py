"""`prelabel doctor`: what it found, as lines that can be read at 80 columns, faults with their remedies below them."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backend.commands.printing import Printer
from backend.connection.doctor.check import Result
from backend.connection.doctor.examination import desk_of_doctor, examine_all, examine_and_mend
from backend.core.projects import ProjectKey
from backend.core.settings import load_state_settings

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
        for key, group in groupby(results, key=lambda result: result.project):
            console.print(
                f"project {ProjectKey.parse(key).id}" if key else "this backend", style="bold", highlight=False
            )
            console.print(_lines(list(group)))
        console.print(_sum(faulty), highlight=False)
    if faulty:
        raise typer.Exit(1)


def _lines(results: Sequence[Result]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=5)
    table.add_column(no_wrap=True, min_width=NAME_WIDTH)
    table.add_column(overflow="fold")
    for result in results:
        if result.waits_for:
            table.add_row(Text("?", "dim"), Text(result.name, "dim"), Text(f"not looked at: {result.remedy}", "dim"))
            continue
        mark, style = ("ok", "green") if result.ok else ("FAULT", "bold red")
        table.add_row(Text(mark, style), result.name, Text(result.finding))
        if result.fixed:
            table.add_row("", Text("mended", "cyan", justify="right"), Text(result.fixed, "cyan"))
        if result.remedy:
            table.add_row("", Text("->", "yellow", justify="right"), Text(result.remedy, "yellow"))
    return table


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

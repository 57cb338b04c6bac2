"""The command explain: why a text gets the label that it gets."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.commands.printing import Printer
from backend.core.errors import BadInputError
from backend.core.settings import load_settings, load_state_settings

if TYPE_CHECKING:
    from backend.core.explanation import Explanation


def explain(
    task: Annotated[int, typer.Option("--task", help="A task in Label Studio, as it was shown last.")] = 0,
    text: Annotated[str, typer.Option(help="A text; needs --model, or a connected project.")] = "",
    project: Annotated[int, typer.Option("--project", help="Whose model; the only project where left out.")] = 0,
    model: Annotated[Path | None, typer.Option(help="A model folder in place of a project.")] = None,
    version: Annotated[str, typer.Option(help="A version of the project; see `models list`.")] = "",
    generation: Annotated[
        int | None, typer.Option(help="Of the neighbour index, as it was then; goes with --version.")
    ] = None,
    llm: Annotated[
        bool, typer.Option("--llm/--no-llm", help="Ask the language models too; --task asks whom was asked then.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Say why a text gets its label: candidates, neighbours, gate, votes, calibration, thresholds, milliseconds.

    A version and a generation give the answer that they gave then, whatever was learned since.
    """
    if bool(task) == bool(text):
        raise BadInputError("exactly one of --task and --text must be given")
    if generation is not None and not version:
        raise BadInputError("--generation must go with the --version whose index it was; add it")
    if model is not None and (task or project or version):
        raise BadInputError("--model must go with --text alone: a model folder has one version and no tasks")
    printer = Printer(as_json)
    if model is not None:
        from backend.assembly import Assembly

        told = Assembly(load_settings()).pipeline(model, llm=llm).explain(text)
        printer.result(asdict(told)) if as_json else _tell(printer, told)
        return
    from backend.connection.explained import Asked, explain_task, explain_text
    from backend.loop.desk import Desk

    asked = Asked(version, generation, llm)
    with Desk(load_state_settings()) as desk:
        found = explain_task(desk, task, asked) if task else explain_text(desk, project, text, asked)
    if as_json:
        printer.result(found.figures())
        return
    printer.text(found.heading)
    _tell(printer, found.explanation)


def _tell(printer: Printer, told: "Explanation") -> None:
    """The candidates are a table where the terminal is wide enough for one."""
    printer.text(f"{told.head}\n")
    printer.rows(*told.table)
    printer.text(told.tail)

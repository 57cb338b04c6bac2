"""The command auto-accept: what is accepted without a person, by which promise; taking it back."""

from pathlib import Path
from typing import Annotated

import typer

from backend.commands.printing import Printer
from backend.connection.versions import key_of
from backend.core.errors import BadInputError
from backend.core.settings import load_state_settings
from backend.loop import auto_accept as accepting
from backend.loop.desk import Desk
from backend.loop.gold import keep_gold
from backend.loop.promised import look_again, standing
from backend.rows.texts import read_labelled


def auto_accept(
    project: Annotated[int, typer.Option("--project", help="The project's number in Label Studio.")],
    take_back: Annotated[
        bool, typer.Option("--take-back", help="Remove all marks, and annotations that nobody changed; and stop.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Look for a promise again, from all such labels.")] = False,
    gold: Annotated[Path | None, typer.Option(help="Labelled rows that judge each version and never train.")] = None,
    no_gold: Annotated[bool, typer.Option("--no-gold", help="Forget the gold rows.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Say what is accepted without a person in a project; take it back, or go on.

    Off unless the project's settings.toml asks for a target_precision, such as 0.98. The threshold is found on gold
    rows and on the labels of blind tasks; until there are enough of them nothing is accepted.
    """
    if sum([take_back, resume, bool(gold), no_gold]) > 1:
        raise BadInputError("at most one of --take-back, --resume, --gold and --no-gold must be given")
    printer = Printer(json)
    rows = read_labelled(gold) if gold else []
    with Desk(load_state_settings()) as desk:
        key = key_of(desk, project)
        if gold or no_gold:
            keep_gold(desk.project(key), rows)
            look_again(desk.project(key).folder)
            desk.queue.enqueue("retrain", key)
            printer.step(f"{len(rows)} gold rows; a training follows")
        n_back = accepting.take_back(desk.project(key), printer.step) if take_back else 0
        if resume:
            accepting.resume(desk.project(key))
        found = standing(desk.project(key))
    result = {"project": project, "target_precision": found.target, "n_accepted": found.n_accepted}
    printer.result({**result, "n_taken_back": n_back, "state": found.message})

"""The command retrain: a training now, and its verdict."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.commands.printing import Printer, counting
from backend.core.settings import load_state_settings

if TYPE_CHECKING:
    from backend.ledger import Training

NO = 1  # the exit code for: the new version does not serve
SAID = {"queued": "waiting for a worker", "started": "training"}


def retrain(
    project: Annotated[int, typer.Option("--project", help="The project's number in Label Studio.")],
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it is done, and say the verdict.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Train a project now, on all labels that are there; a worker does it.

    A version serves from then on only where it is not worse than the one before. Exit code 1, with --wait: it is not,
    or there was nothing to train on.
    """
    from backend.connection import training
    from backend.connection.versions import key_of
    from backend.loop.desk import Desk

    printer = Printer(json)
    with Desk(load_state_settings()) as desk:
        work = desk.project(key_of(desk, project))
        job = training.ask(work)
        if not wait:
            printer.step(f"a worker trains project {project} now; prelabel status tells the verdict, or --wait")
            printer.result({"project": project, "job": job})
            return
        with counting() as progress:
            task = progress.add_task(SAID["queued"], total=None)
            found = training.follow(work, job, lambda state: progress.update(task, description=SAID[state]))
        printer.result({"project": project, "job": job, "model_version": work.folder.current(), **_verdict(found)})
    if found is None or not found.promoted:
        raise typer.Exit(NO)


def _verdict(found: "Training | None") -> dict[str, Any]:
    if found is None:
        return {"trained": None, "verdict": "nothing was trained: no label, or another training was at it"}
    return {
        "trained": found.version,
        "started_at": datetime.fromtimestamp(found.started_at, UTC),
        "seconds": round(found.seconds, 1),
        "n_labels": found.n_examples,
        "promoted": found.promoted,
        "verdict": found.reason,
    }

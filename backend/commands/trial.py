"""The command trial: what prelabel would have saved, from labels that are there already."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.commands.printing import Printer, counting
from backend.commands.reading import LeftOut
from backend.core.errors import BadInputError
from backend.core.labels import space_of
from backend.core.projects import ProjectSettings
from backend.core.settings import load_settings
from backend.core.types import LabelSpace

if TYPE_CHECKING:
    from training.trial import Labelled, Trial

SECONDS = "lead_time"  # the column of a file that says how long a label took
WORST = 10  # labels that are listed


def trial(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="A file of rows, or Label Studio's export: text, label, and lead_time in seconds where known."
        ),
    ] = None,
    project: Annotated[int, typer.Option("--project", help="A project in Label Studio in place of a file.")] = 0,
    order_by: Annotated[str, typer.Option(help="The column that says when a row was labelled; else the order.")] = "",
    where: Annotated[str, typer.Option("--where", help="Take only the rows with column=value.")] = "",
    oos_label: Annotated[str, typer.Option(help='The label that means "none of the labels".')] = "",
    language: Annotated[str, typer.Option(help="ISO 639 code, or mixed; else detected from the texts.")] = "",
    profile: Annotated[str, typer.Option(help="Which models and parameters; see profiles/.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Replay labels in the order in which people gave them, and say what prelabel would have saved, or that it is not.

    Reads only: nothing in Label Studio and nothing of a project changes. Ends with 1 where it is not worth it.
    """
    if (data is None) == (not project):
        raise BadInputError("exactly one of DATA and --project must be given")
    printer = Printer(as_json)
    history, space, own = _of_file(printer, data, where, order_by, oos_label) if data else _of_project(project)
    from backend.assembly import Assembly
    from training.run import TrainingOptions
    from training.trial import run_trial

    options = TrainingOptions(language=language or own.language, profile=profile or own.profile)
    with counting() as progress:
        task = progress.add_task(f"replaying {len(space)} labels", total=len(history))
        found = run_trial(
            history, space, options=options, assembly=Assembly(load_settings()),
            report=lambda n: progress.update(task, completed=n),
        )  # fmt: skip
    printer.result(_figures(found)) if as_json else printer.text(_told(found))
    if found.objection:
        raise typer.Exit(1)


def _of_file(
    printer: Printer, path: Path, where: str, order_by: str, oos_label: str
) -> "tuple[list[Labelled], LabelSpace, ProjectSettings]":
    from backend.rows.rejects import Rejects
    from backend.rows.texts import labelled_rows
    from training.trial import Labelled

    left_out = LeftOut(printer, Rejects(None))
    rows = labelled_rows(path, where=where, report=printer.step, reject=left_out.add)
    left_out.tell()
    if order_by:
        if any(order_by not in row.columns for row in rows):
            raise BadInputError(f"--order-by must name a column of every row, {order_by!r} is not")
        rows.sort(key=lambda row: _moment(row.columns[order_by]))
    space = space_of((row.label for row in rows), oos_label)
    history = [Labelled(row.text, row.label, _seconds(row.columns.get(SECONDS), path)) for row in rows]
    return history, space, ProjectSettings()


def _of_project(project_id: int) -> "tuple[list[Labelled], LabelSpace, ProjectSettings]":
    from backend.connection.history import history_of, settings_of
    from backend.labelstudio.client import open_client
    from backend.labelstudio.schema import usable_control

    settings = load_settings()
    client = open_client(settings)
    try:
        project = client.project(project_id)
        own = settings_of(settings, project)
        control = usable_control(project.label_config, own)
        return history_of(client, project, control), control.space, own
    finally:
        client.close()


def _moment(value: object) -> tuple[float, str]:
    """Numbers by their size, all else (ISO 8601) as it is written."""
    try:
        return float(str(value)), ""
    except ValueError:
        return 0.0, str(value)


def _seconds(value: object, path: Path) -> float | None:
    if value in (None, ""):
        return None
    try:
        return float(str(value))
    except ValueError as err:
        raise BadInputError(f"{path}: {SECONDS} must be seconds, was {value!r}") from err


def _figures(found: "Trial") -> dict[str, Any]:
    derived = ("n_corrections", "n_none", "saved_share", "saved_interval", "objection", "verdict")
    promises = [{**asdict(each), "coverage": each.coverage, "message": each.message} for each in found.promises]
    return {
        **asdict(found), "promises": promises, **{name: getattr(found, name) for name in derived},
        "worth_it": not found.objection,
    }  # fmt: skip


def _told(found: "Trial") -> str:
    from training.trial import RIGHT_SAVES, WRONG_COSTS

    right, n = found.recent
    lines = [
        found.verdict,
        "",
        f"labels replayed      {found.n}",
        f"ticked rightly       {found.n_right} ({found.n_right / found.n:.1%}), in the second half {right / n:.1%}",
        f"ticked wrongly       {found.n_wrong}",
        f"nothing ticked       {found.n_none}",
        f"corrections          {found.n_corrections} in place of {found.n}",
        f"most frequent label  {found.n_frequent / found.n:.1%} by ticking always that",
    ]
    if found.minutes is not None:
        lines.append(f"minutes              {found.saved:.0f} of {found.minutes:.0f} saved")
    lines += [f"precision {each.target:g}       {each.message}" for each in found.promises]
    lines += ["", "weakest labels of the second half: found, of how many"]
    lines += [f"  {row.label}: {row.recall:.0%} of {row.n}" for row in found.labels[:WORST]]
    return "\n".join(
        [*lines, "", f"A right tick is taken to save {RIGHT_SAVES:.0%} of a task's time, a wrong one to cost "
         f"{WRONG_COSTS:.0%}.", "Models were trained each time the labels had doubled; in service it is more often."]
    )  # fmt: skip

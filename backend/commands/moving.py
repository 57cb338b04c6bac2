"""Commands that move data: import, export, and predictions for a whole project."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.commands.printing import Printer, bar, bar_of_tasks, once
from backend.commands.reading import Delimiter, Encoding, Format, ForSpreadsheet
from backend.core.errors import BadInputError
from backend.core.settings import Settings, load_settings, load_state_settings
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.records import Project
from backend.moving.dividing import shares_of
from backend.moving.exported import WHATS, history_of
from backend.moving.exporting import ExportOptions, export_project, manifest_of
from backend.moving.importing import ImportOptions, import_rows
from backend.moving.new_config import config_of
from backend.moving.remarks import remarks_on
from backend.moving.rows import LABELS_AS, LabelsAs
from backend.moving.target import Target, open_project, open_titled, opened_ledger
from backend.rows.names import Names
from backend.rows.opening import STDIN
from backend.rows.reading import FORMATS, FileOptions, FileSource
from backend.rows.writing import checked_target

if TYPE_CHECKING:
    from backend.loop.desk import ProjectDesk
    from backend.moving.predicting import Predicting, Watch

NO = 1  # the exit code for: something was left out
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def import_data(
    data: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL, JSON, Parquet, gzip of these; - is standard input.")],
    project: Annotated[int, typer.Option(help="An existing project; or give --title.")] = 0,
    title: Annotated[str, typer.Option(help="The project of this name; created where there is none.")] = "",
    label_config: Annotated[
        Path | None, typer.Option(help="The label config of a project to create; else made of the file's labels.")
    ] = None,
    profile: Annotated[str, typer.Option(help="With --predict: models and parameters of the project.")] = "",
    text: Annotated[str, typer.Option(help="The column of the text, where it has another name.")] = "",
    id_column: Annotated[
        str, typer.Option("--id", help="The column that tells rows apart; else `id`, or the text.")
    ] = "",
    no_id: Annotated[
        bool, typer.Option("--no-id", help="The column `id` tells no rows apart: their texts do.")
    ] = False,
    id_prefix: Annotated[str, typer.Option(help="Put before each id, where this file's ids begin anew.")] = "",
    label: Annotated[str, typer.Option(help="The column of labels that exist already; else `label`.")] = "",
    labels_as: Annotated[str, typer.Option(help="What these become: predictions or annotations.")] = "predictions",
    add_labels: Annotated[
        bool, typer.Option("--add-labels", help="Give rows that came without their labels these, as predictions.")
    ] = False,
    kind: Format = "",
    encoding: Encoding = "",
    delimiter: Delimiter = "",
    rejects: Annotated[
        Path | None, typer.Option(help="The file of rejected rows; else DATA.rejects.csv in this folder.")
    ] = None,
    for_spreadsheet: ForSpreadsheet = False,
    predict: Annotated[bool, typer.Option(help="Fill in predictions; connects the project where it is not.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Say what would happen and how long it should take.")] = False,
    json: AsJson = False,
) -> None:
    """Import a file's rows into a project: each once, however often it is run.

    Stopped at any moment, the same command goes on. Exit code 1: something of the file is not in the project; it is
    told, and the rejects file has the rows.
    """
    printer = Printer(json)
    as_ = _checked(labels_as, kind, profile=profile, predict=predict)
    names = _names(text, id_column, label, no_id=no_id, id_prefix=id_prefix)
    if add_labels and as_ == "annotations":
        raise BadInputError("--add-labels must go with predictions: Label Studio takes annotations with new tasks only")
    options = ImportOptions(names, as_, dry_run, add_labels, rejects or _rejects_of(data), for_spreadsheet)
    checked_target(options.rejects, for_spreadsheet=for_spreadsheet)
    settings, reading = load_settings(), FileOptions(kind, encoding, delimiter, label)
    source = FileSource(data, reading, once(printer.step))
    new_config = partial(config_of, source, options.names, printer.step)
    with _target_of(settings, project, title, label_config, new_config, dry_run=dry_run) as (client, goal):
        with bar(f"importing {source.name}") as advance:
            done = import_rows(
                source, goal.sink, goal.project_id, goal.control, folder=goal.folder, options=options,
                report=printer.step, watch=lambda at: advance(f"{at.read} rows read, {at.new} new", at.share),
            )  # fmt: skip
        if predict and not dry_run:
            _connect(settings, client.project(goal.project_id), profile, printer)
    if predict and not dry_run:
        _predict_now(settings, goal.project_id)
    for remark in remarks_on(done, options, _language(settings, goal)):
        printer.step(remark)
    rejected = {"rejects": str(options.rejects)} if done.left_out and not dry_run else {}
    target = goal.project_id or (None if json else "new")
    printer.result({"project": target, **done.figures(), **rejected})
    if done.left_out:
        raise typer.Exit(NO)


def export(
    project: Annotated[int, typer.Option(help="The project's number in Label Studio.")],
    out: Annotated[Path, typer.Option(help="CSV, TSV, JSONL or Parquet; appears when all is there.")],
    what: Annotated[
        str, typer.Option(help="training: one row a labelled task; tasks: all; annotations; predictions.")
    ] = "training",
    split: Annotated[str, typer.Option(help="As in 0.8/0.1/0.1; like texts stay together, each label is shared.")] = "",
    own_keys: Annotated[bool, typer.Option("--own-keys", help="prelabel's own keys of the task data, too.")] = False,
    for_spreadsheet: ForSpreadsheet = False,
    json: AsJson = False,
) -> None:
    """Export a project's labels with the columns that were imported; a manifest stands beside the file.

    Importing such a file again changes nothing: the columns that were added are known and left out.
    """
    printer = Printer(json)
    kinds = [kind for kind in WHATS if kind == what]
    if not kinds:
        raise BadInputError(f"--what must be one of {', '.join(WHATS)}, was {what!r}")
    options = ExportOptions(kinds[0], shares_of(split) if split else None, own_keys, for_spreadsheet)
    settings = load_state_settings()
    with open_project(settings, project) as (client, goal), opened_ledger(settings) as ledger:
        with bar_of_tasks("exporting") as watch:
            manifest = export_project(
                client, goal, out, options, history=history_of(ledger, goal.key), report=printer.step,
                watch=watch,
            )  # fmt: skip
        if not manifest.rows and what == "training":
            printer.step("no task is labelled yet: the file is empty; --what tasks exports all")
        if manifest.rows and not all(manifest.parts.values()):
            printer.step("some parts are empty: there are too few rows, or too few different ones, for such a split")
        printer.result({"out": str(out), "manifest": str(manifest_of(out)), **asdict(manifest)})


def predict_project(project: int, *, wait: bool, as_json: bool) -> None:
    """Have every open task of a project predicted: by the workers, or here where `wait`. Exit code 1: some lack it."""
    from backend.loop.desk import Desk
    from backend.moving import predicting

    printer = Printer(as_json)
    with Desk(load_state_settings()) as desk:
        work = predicting.connected(desk, desk.client.project(project))
        before = predicting.how_far(work)
        after = _predict_here(work, before) if wait else _by_workers(work, before, printer)
        found = {"predicted": before.n_lacking - after.n_lacking, "lacking": after.n_lacking}
        printer.result({"project": project, "model_version": work.folder.current(), **found})
    if after.n_lacking:
        raise typer.Exit(NO)


@contextmanager
def _target_of(
    settings: Settings, project: int, title: str, label_config: Path | None, new_config: Callable[[], str], *,
    dry_run: bool,
) -> Iterator[tuple[LabelStudioClient, Target]]:  # fmt: skip
    if bool(project) == bool(title):
        raise BadInputError("exactly one of --project and --title must be given")
    if project and label_config is not None:
        raise BadInputError("--label-config must go with --title: a project that exists has its own; leave it out")
    titled = partial(open_titled, new_config=new_config, dry_run=dry_run)
    with open_project(settings, project) if project else titled(settings, title, label_config) as found:
        yield found


def _language(settings: Settings, goal: Target) -> str:
    from backend.core.projects import project_folder
    from backend.moving.language import language_of_project

    folder = project_folder(settings.projects_dir, goal.key) if goal.project_id else None
    return language_of_project(folder, goal.settings) if folder else ""


def _names(text: str, id_column: str, label: str, *, no_id: bool, id_prefix: str) -> Names:
    if no_id and (id_column or id_prefix):
        raise BadInputError("--no-id must go without --id and --id-prefix; leave one out")
    return Names(text, id_column, label, no_id, id_prefix)


def _checked(labels_as: str, kind: str, *, profile: str, predict: bool) -> LabelsAs:
    if kind and kind not in FORMATS:
        raise BadInputError(f"--format must be one of {', '.join(FORMATS)}, was {kind!r}")
    if profile and not predict:
        raise BadInputError("--profile must go with --predict; add it, or leave it to prelabel connect")
    for known in LABELS_AS:
        if labels_as == known:
            return known
    raise BadInputError(f"--labels-as must be one of {', '.join(LABELS_AS)}, was {labels_as!r}")


def _rejects_of(data: Path) -> Path:
    return Path("rejects.csv") if data == STDIN else Path(f"{data.name}.rejects.csv")


def _connect(settings: Settings, project: Project, profile: str, printer: Printer) -> None:
    from backend.connection.connect import ConnectOptions, connect
    from backend.loop.desk import Desk

    with Desk(settings) as desk:
        if desk.ledger.project(str(project.key)) is None:
            with bar_of_tasks("connecting") as watch:
                connect(desk, project, ConnectOptions(profile=profile or None), printer.step, watch)


def _predict_now(settings: Settings, project_id: int) -> None:
    from backend.loop.desk import Desk  # torch takes seconds, and most imports need none of it
    from backend.moving import predicting

    with Desk(settings) as desk:
        work = predicting.connected(desk, desk.client.project(project_id))
        _predict_here(work, predicting.how_far(work))


def _predict_here(work: "ProjectDesk", before: "Predicting") -> "Predicting":
    from backend.moving import predicting

    with _watching(before) as watch:
        return predicting.predict_here(work, watch)


def _by_workers(work: "ProjectDesk", before: "Predicting", printer: Printer) -> "Predicting":
    from backend.moving import predicting

    job = predicting.ask(work)
    try:
        printer.step(f"job {job} is queued; Ctrl-C leaves it to the workers")
        with _watching(before) as watch:
            return predicting.follow(work, watch)
    except KeyboardInterrupt:
        printer.step("the workers go on without this terminal; prelabel status tells how far they are")
        return predicting.how_far(work)


@contextmanager
def _watching(before: "Predicting") -> Iterator["Watch"]:
    """A bar of the tasks that were to be predicted."""
    with bar_of_tasks("predicting") as advance:

        def watch(at: "Predicting") -> None:
            left = at.n_lacking - at.n_computed
            advance(max(0, before.n_lacking - left), before.n_lacking)

        watch(before)
        yield watch

"""Commands on projects in Label Studio: connect, disconnect, models, rollback, unpin, freeze, status."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from backend.assembly import Assembly
from backend.commands.printing import NOTHING, Printer, bar_of_tasks
from backend.connection import versions
from backend.connection.connect import ConnectOptions, planned
from backend.connection.connect import connect as tie
from backend.connection.connect import disconnect as untie
from backend.connection.connect import planned_disconnect as planned_untie
from backend.connection.status import all_well, project_status, report, shared_faults
from backend.connection.ties import Change
from backend.core.errors import BadInputError
from backend.core.profiles import load_profile
from backend.core.settings import load_settings, load_state_settings
from backend.files import read_text
from backend.labelstudio.records import Project
from backend.loop.desk import Desk
from backend.models.weights import WeightStore, require_accepted

ProjectId = Annotated[int, typer.Option("--project", help="The project's number in Label Studio.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
models = typer.Typer(help="A project's versions, and the weights of a profile.", no_args_is_help=True)


def connect(
    project: Annotated[int, typer.Option("--project", help="An existing project; or give --title.")] = 0,
    title: Annotated[str, typer.Option(help="Create a project of this name.")] = "",
    label_config: Annotated[Path | None, typer.Option(help="The label config of a project to create.")] = None,
    oos_label: Annotated[
        str | None, typer.Option(help='Choice that means "none of these"; "auto" guesses, "": none.')
    ] = None,
    language: Annotated[
        str | None, typer.Option(help='Of the texts: an ISO 639 code, or mixed; "" detects it.')
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help='Models and parameters of this project; "": the backend\'s.')
    ] = None,
    order: Annotated[
        str | None, typer.Option(help="Of showing: auto, uncertain, typical or random; auto goes by the labels.")
    ] = None,
    replace: Annotated[bool, typer.Option(help="Take over from a foreign backend or version.")] = False,
    push_only: Annotated[
        bool, typer.Option("--push-only", help="For a Label Studio that may not call out: prelabel polls and pushes.")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Print every change, change nothing.")] = False,
    json: AsJson = False,
) -> None:
    """Connect a Label Studio project to this backend, predict its tasks and show the predictions."""
    printer = Printer(json)
    with Desk(load_settings()) as desk:
        options = ConnectOptions(
            replace=replace,
            oos_label=oos_label,
            language=language,
            profile=profile,
            order=order,
            push_only=push_only,
        )
        if bool(project) == bool(title):
            raise BadInputError("exactly one of --project and --title must be given")
        if dry_run and title:
            raise BadInputError("--dry-run must name an existing --project; a new one has nothing to change")
        found = desk.client.project(project) if project else create(desk, title, label_config)
        if dry_run:
            _tell_changes(printer, planned(desk.settings, desk.client, found, options))
            return
        with bar_of_tasks("connecting") as watch:
            version = tie(desk, found, options, printer.step, watch)
        printer.result({"project": found.id, "key": str(found.key), "model_version": version, "url": _url(desk, found)})


def disconnect(
    project: ProjectId,
    dry_run: Annotated[bool, typer.Option(help="Print every change, change nothing.")] = False,
    json: AsJson = False,
) -> None:
    """Restore a project's settings and remove everything of ours from it."""
    printer = Printer(json)
    with Desk(load_state_settings()) as desk:
        key = versions.key_of(desk, project)
        if dry_run:
            _tell_changes(printer, planned_untie(desk, key))
            return
        untie(desk, key, printer.step)
        printer.result({"project": project, "connected": False})


def rollback(
    project: ProjectId,
    version: Annotated[str, typer.Option(help="The version to serve again; the previous one where left out.")] = "",
    json: AsJson = False,
) -> None:
    """Serve an older version again, and stay with it until `unpin`."""
    with Desk(load_state_settings()) as desk:
        target = versions.rollback(desk.project(versions.key_of(desk, project)), version)
        Printer(json).result({"project": project, "model_version": target, "pinned": True})


def unpin(project: ProjectId, json: AsJson = False) -> None:
    """Let the next training switch versions again."""
    with Desk(load_state_settings()) as desk:
        versions.unpin(desk.project(versions.key_of(desk, project)))
        Printer(json).result({"project": project, "pinned": False})


def freeze(
    project: ProjectId,
    off: Annotated[bool, typer.Option("--off", help="Let retraining go on.")] = False,
    json: AsJson = False,
) -> None:
    """Stop retraining a project."""
    with Desk(load_state_settings()) as desk:
        versions.freeze(desk.project(versions.key_of(desk, project)), frozen=not off)
        Printer(json).result({"project": project, "frozen": not off})


def status(
    project: Annotated[int, typer.Option("--project", help="Only this project.")] = 0,
    impact: Annotated[bool, typer.Option("--impact", help="What pre-labels were worth: ticks kept, seconds.")] = False,
    html: Annotated[Path | None, typer.Option(help="With --impact: a folder for pages with pictures.")] = None,
    json: AsJson = False,
) -> None:
    """Say where each project stands. Exits with 1 where something is wrong with one, or with the workers."""
    printer = Printer(json)
    if html and not impact:
        raise BadInputError("--html must go with --impact; add it")
    with Desk(load_state_settings()) as desk:
        keys = [versions.key_of(desk, project)] if project else desk.ledger.project_keys()
        if impact:
            _tell_impact(desk, keys, printer, html)
            return
        found = [project_status(desk, key) for key in keys]
        shared = shared_faults(desk) if found else []
        if json:
            printer.result({"projects": [each.figures() for each in found], "faults": shared})
        else:
            if not found:
                printer.step(f"the state is {desk.settings.home}; another one is named with prelabel --home FOLDER")
            printer.text(report(found, shared=shared, columns=printer.columns))
        if shared or not all_well(found):
            raise typer.Exit(1)


def _tell_changes(printer: Printer, changes: Sequence[Change]) -> None:
    printer.rows(
        ("what", "before", "after"), [(item.what, item.before, item.after) for item in changes], nothing=NOTHING
    )


def _tell_impact(desk: Desk, keys: Sequence[str], printer: Printer, html: Path | None) -> None:
    """Each project's impact; with `html` a page each, in a folder of its key."""
    from backend.connection.impact import Group, impact_of, write_page

    found = []
    for key in keys:
        impact = impact_of(project_status(desk, key).name, desk.ledger.accepted(key))
        found.append(impact)
        if impact.caution:
            printer.step(f"{impact.project}: {impact.caution}")
        if html:
            write_page(html / key, impact)
            printer.step(f"{html / key / 'impact.html'} is written")
    if printer.as_json:
        printer.result({"projects": [impact.figures() for impact in found]})
        return
    for number, impact in enumerate(found):
        printer.text(impact.project if not number else f"\n{impact.project}")
        printer.rows(Group.columns(), [group.cells() for group in impact.rows])


@models.command("list")
def models_list(project: ProjectId, json: AsJson = False) -> None:
    """A project's versions, what they were trained on and how good they are."""
    printer = Printer(json)
    with Desk(load_state_settings()) as desk:
        lines = versions.list_versions(desk.project(versions.key_of(desk, project)))
        printer.rows(_VERSION_COLUMNS, [_version_cells(line) for line in lines])


@models.command("fetch")
def models_fetch(
    profile: Annotated[str, typer.Option(help="Whose weights; the settings' own where left out.")] = "",
    accept_licence: Annotated[list[str] | None, typer.Option(help="A licence whose terms you accept.")] = None,
    mirror: Annotated[str, typer.Option(help="A mirror of the model hub; the settings' own where left out.")] = "",
    json: AsJson = False,
) -> None:
    """Fetch and check the weights of a profile; what is there already is left, what broke off goes on."""
    settings, printer = load_settings(), Printer(json)
    store = WeightStore.reaching_out(settings, accepted=accept_licence or (), mirror=mirror)
    specs = load_profile(profile or settings.profile).models
    for spec in specs:  # before the first of them takes its hours
        require_accepted(spec, store.accepted_licences)
    found = {spec.uri: str(store.fetch(spec, progress=printer.step)) for spec in specs}
    for uri, there in Assembly(settings).export_graphs(profile).items():
        printer.step(f"{uri}: {'runs by ONNX Runtime' if there else 'runs in torch; no ONNX graph could be made'}")
    printer.result(found)


_VERSION_COLUMNS = (
    "version",
    "serves",
    "trained",
    "labels",
    "judged on",
    "accuracy",
    "macro F1",
    "ECE",
    "stored",
    "verdict",
    "report",
)


def _version_cells(line: versions.VersionLine) -> tuple[Any, ...]:
    manifest, training = line.manifest, line.training
    metrics = dict(manifest.metrics) if manifest else {}
    serves = " ".join(word for word, holds in (("serves", line.serves), ("shown", line.shown)) if holds)
    return (
        line.version,
        serves,
        datetime.fromtimestamp(training.started_at, UTC) if training else None,
        manifest.data.n_examples if manifest else None,
        manifest.judged_on if manifest else None,
        *map(metrics.get, ("accuracy", "macro_f1", "ece")),
        line.n_predictions,
        _verdict(line),
        line.report,
    )


def _verdict(line: versions.VersionLine) -> str:
    if line.problem:
        return line.problem
    return line.training.reason if line.training else "never trained"


def create(desk: Desk, title: str, label_config: Path | None) -> Project:
    """A project of this name, made in Label Studio.

    Raises:
        BadInputError: the label config is no file that can be read.
    """
    xml = read_text(label_config or Path("label_config.xml"))
    return desk.client.create_project(title=title, label_config=xml)


def _url(desk: Desk, project: Project) -> str:
    return f"{desk.client.api.url}/projects/{project.id}"

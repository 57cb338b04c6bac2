"""Tie a Label Studio project to this backend, and leave no trace when it is untied.

Order matters: our webhook before the backend (Label Studio then adds no second one), predictions before their version
can be shown. A push-only project has neither webhook nor backend. What a project was before stands in the ledger, so
that `disconnect` can put it back, and so can a first `connect` that fails.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from backend.connection.settings_file import change_project_settings, write_project_settings
from backend.connection.ties import (
    TITLE,
    Change,
    Report,
    foreign_ties,
    remove_foreign,
    tie,
    ties_to_make,
    ties_to_remove,
    untie,
)
from backend.core.artefacts import OWN_PREFIX
from backend.core.errors import BadInputError, LabelStudioError, OutsideError, PrelabelError
from backend.core.profiles import load_profile
from backend.core.projects import ProjectKey, checked_settings, project_folder
from backend.core.settings import Settings
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.records import Json, Project
from backend.labelstudio.schema import OWN_KEYS, TOP_KEY, knows_oos_label, usable_control
from backend.labelstudio.wire import top
from backend.loop import push
from backend.loop.clocks import watermark_of
from backend.loop.coverage import count_open
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.pacing import Pace
from backend.loop.removals import removing
from backend.loop.retrain import make_cold, read_labels, renew_cold
from backend.loop.second_annotator import carry_over
from backend.loop.tabs import TABS, make_tabs, remove_tabs, standing_tabs
from backend.loop.upkeep import refresh

UNCERTAINTY = "Uncertainty sampling"
ALONE_WAIT_S = 120.0  # a push of a large project takes half a minute
TOLD_TASKS = 500  # between two lines about what is removed
INLINE_TASKS = 2000  # a larger project is predicted by the workers

Watch = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    replace: bool = False  # take over from a foreign backend or version
    order_by_uncertainty: bool = True  # set the project's task sampling
    oos_label: str | None = None  # this and the next three are entries of the project's settings;
    language: str | None = None  # None leaves the entry as it is
    profile: str | None = None
    order: str | None = None
    push_only: bool = False  # no webhook and no backend: Label Studio need not reach us

    @property
    def settings(self) -> Mapping[str, str]:
        """The entries of the project's settings that were given."""
        given = {name: getattr(self, name) for name in ("profile", "language", "oos_label", "order")}
        return {name: value for name, value in given.items() if value is not None}


def planned(settings: Settings, client: LabelStudioClient, project: Project, options: ConnectOptions) -> list[Change]:
    """Every change that `connect` would make.

    Raises:
        BadInputError: the label config cannot be served, an option names what does not exist, or
            something foreign is in the way.
    """
    changes = _planned_settings(settings, project, options)
    changes += foreign_ties(settings, client, project, replace=options.replace)
    changes += (ties_to_remove if options.push_only else ties_to_make)(settings, client, project)
    if options.order_by_uncertainty and project.sampling != UNCERTAINTY:
        changes.append(Change("task sampling", project.sampling, UNCERTAINTY))
    if not project.model_version.startswith(OWN_PREFIX):
        changes.append(Change("shown predictions", project.model_version or "none", "prelabel's present version"))
    titles = ", ".join(tab.title for tab in TABS)
    changes.append(Change("Data Manager tabs", "none of ours", f"as there are such tasks: {titles}"))
    changes.append(Change("predictions", "none of ours", "one for each open task but the blind ones"))
    return changes


def _planned_settings(settings: Settings, project: Project, options: ConnectOptions) -> list[Change]:
    """The entries of the project's settings that the options change, each checked."""
    before = project_folder(settings.projects_dir, str(project.key)).settings()
    after = checked_settings(options.settings, before)
    load_profile(after.profile or settings.profile)
    control = usable_control(project.label_config, after)
    if not knows_oos_label(control, after):
        raise BadInputError(
            "--oos-label must be a choice of the label config, "
            f'"auto" to guess it or "" for none, was {after.oos_label!r}'
        )
    return [
        Change(f"setting {name}", getattr(before, name) or "none", value or "none")
        for name, value in options.settings.items()
        if getattr(before, name) != value
    ]


def connect(
    desk: Desk, project: Project, options: ConnectOptions, report: Report, watch: Watch = lambda _n, _of: None
) -> str:
    """Connect a project, predict it, and show the predictions; the version that serves.

    A first connect that fails leaves nothing behind; a foreign backend that was replaced does not come back.

    Args:
        watch: is told how many tasks are predicted by now, and of how many.

    Raises:
        BadInputError: the label config cannot be served, or something foreign is in the way.
        LabelStudioError: Label Studio refused, or cannot reach this backend.
        QueueError: Redis does not answer, without which nothing is pushed.
    """
    key = str(project.key)
    planned(desk.settings, desk.client, project, options)
    desk.queue.waits("live")
    with _whole_or_not_at_all(desk, project, report):
        report("first version")
        work = prepare(desk, project, options)
        work = work.update(snapshot=dict(work.row.snapshot or {}) or snapshot_of(project))
        if options.replace:
            remove_foreign(desk.settings, desk.client, project)
        untie(desk, project) if options.push_only else tie(work, report)
        work.remember(push_only=options.push_only)
        _take_over_settings(desk.project(key), options, report)
        if options.order_by_uncertainty and project.sampling != UNCERTAINTY:
            desk.client.update_project(project.id, sampling=UNCERTAINTY)
        renew_cold(desk.project(key))
        _catch_up(desk.project(key), report, watch)
        make_tabs(desk.project(key))
        desk.queue.enqueue("mark", key)
    return work.folder.current()


@contextmanager
def _whole_or_not_at_all(desk: Desk, project: Project, report: Report) -> Iterator[None]:
    """Undo a first connect that fails or is broken off.

    Where that fails, too, the project stays known, and doctor names what it has.
    """
    key = str(project.key)
    folder = desk.loader.folder(key)
    known, had_folder = desk.ledger.project(key) is not None, folder.exists
    try:
        yield
    except BaseException:
        if not known and desk.ledger.project(key) is not None:
            report("it failed: everything is put back")
            with suppress(PrelabelError):
                _part(desk, key, lambda work: _undo(work, snapshot_of(project)))
                if not had_folder:
                    shutil.rmtree(folder.root, ignore_errors=True)
        raise


def _undo(work: ProjectDesk, snapshot: Json) -> None:
    untie(work.desk, work.project)
    remove_tabs(work)
    _remove_predictions(work, lambda _: None)
    _remove_data_keys(work, lambda _: None)
    _restore(work, snapshot)


def _take_over_settings(work: ProjectDesk, options: ConnectOptions, report: Report) -> None:
    """Change the settings of a project that serves already, and make its versions anew.

    Raises:
        OutsideError: a worker is at it for long.
    """
    change_project_settings(work.folder, options.settings)
    work = work.desk.project(work.key)
    if work.row.config_hash == work.config_hash:
        return
    report("changed settings")
    with work.desk.lease("labels", work.key, wait_s=ALONE_WAIT_S) as held:
        if not held:
            raise OutsideError(
                f"the settings of project {work.id} are written, but a worker is busy with it; "
                "it takes them over by itself within minutes"
            )
        refresh(work)


def prepare(desk: Desk, project: Project, options: ConnectOptions) -> ProjectDesk:
    """Give a project its state folder, its settings and a version that serves, where it has none.

    Nothing changes in Label Studio.
    """
    key = str(project.key)
    folder = desk.loader.folder(key)
    write_project_settings(folder)
    desk.ledger.add_project(key)
    if not folder.current():
        change_project_settings(folder, options.settings)
    work = desk.project(key)
    if not work.row.watermark:  # what happens from here on is followed; what was before is read once, by `connect`
        begun = watermark_of(desk.client.clock())
        work = work.update(watermark=begun, reconciled_at=time.time())
    if not folder.current():
        work = work.update(config_hash=work.config_hash, counters=dict(project.counters))
        make_cold(work)
    return work


def disconnect(desk: Desk, key: str, report: Report) -> None:
    """Put a project back to what it was, and remove webhook, backend, own predictions and own data keys.

    Alone: a worker would see the predictions vanish, and make them again.

    Raises:
        BadInputError: the project is not connected.
        OutsideError: a worker is at it for long.
    """
    row = desk.connected_row(key)
    _part(desk, key, lambda work: _leave(work, dict(row.snapshot or {}), report))


def planned_disconnect(desk: Desk, key: str) -> list[Change]:
    """Every change that `disconnect` would make."""
    work = _still_there(desk, key)
    if work is None:
        return []
    before, now = dict(work.row.snapshot or {}), snapshot_of(work.project)
    n_ours = sum(n for version, n in desk.client.model_versions(work.id).items() if _is_ours(version))
    return [
        *ties_to_remove(desk.settings, desk.client, work.project),
        *(Change("Data Manager tab", tab["data"]["title"], "removed") for tab in standing_tabs(work)),
        Change("predictions of prelabel", str(n_ours), "removed"),
        Change("task data of prelabel", ", ".join(sorted(OWN_KEYS)), _fate_of_data(work)),
        *(
            Change(name, str(now[name]), str(before[name]))
            for name in now
            if name in before and now[name] != before[name]
        ),
    ]


def _fate_of_data(work: ProjectDesk) -> str:
    return f"removed; {TOP_KEY} becomes the plain list of labels" if _needs_top(work) else "removed"


def _part(desk: Desk, key: str, leave: Callable[[ProjectDesk], None]) -> None:
    """Leave a project while nobody else works on it, then forget it."""
    with (
        desk.queue.lease("labels", key, wait_s=ALONE_WAIT_S) as first,
        desk.queue.lease("push", key, wait_s=ALONE_WAIT_S) as second,
    ):
        if not (first and second):
            raise OutsideError(f"nobody else may work on project {key}, but a worker does; try again when it is done")
        work = _still_there(desk, key)
        if work is not None:
            leave(work)
        desk.ledger.remove_project(key)
        desk.queue.forget(key)


def _still_there(desk: Desk, key: str) -> ProjectDesk | None:
    """None where the project was deleted in Label Studio, or its number belongs to another by now."""
    try:
        project = desk.client.project(ProjectKey.parse(key).id)
    except LabelStudioError as err:
        if not err.gone:
            raise
        return None
    return desk.project(key) if str(project.key) == key else None


def _leave(work: ProjectDesk, snapshot: Json, report: Report) -> None:
    report("backend and webhook")
    untie(work.desk, work.project)
    remove_tabs(work)
    _remove_predictions(work, report)
    _remove_data_keys(work, report)
    report("settings")
    _restore(work, snapshot)


def _restore(work: ProjectDesk, snapshot: Json) -> None:
    client = work.desk.client
    before = {name: snapshot[name] for name in ("sampling", "show_collab_predictions") if name in snapshot}
    client.update_project(work.id, **before, **_restorable_version(client, work, snapshot))
    work.desk.loader.assembly.sweep(work.key, ())


def snapshot_of(project: Project) -> Json:
    """What `disconnect` puts back."""
    return {
        "model_version": project.model_version,
        "sampling": project.sampling,
        "show_collab_predictions": project.show_collab_predictions,
    }


def _catch_up(work: ProjectDesk, report: Report, watch: Watch) -> None:
    """Labels that were there before, then a prediction for each open task."""
    if work.project.counters["total_annotations_number"]:
        report("labels that are there already")
        read_labels(work)
    if work.project.counters["task_number"] > INLINE_TASKS:
        work.desk.queue.enqueue("predict_project", work.key)
        return
    report("predictions")
    with work.desk.lease("push", work.key) as held:
        n_done, n_open = 0, count_open(work)

        def computed(n: int) -> None:
            nonlocal n_done
            n_done += n
            watch(n_done, max(n_done, n_open))

        while held and not push.fill(work.desk.project(work.key), computed):
            continue
        whole = held and carry_over(work.desk.project(work.key))
    work.desk.queue.enqueue("give_reasons" if whole else "predict_project", work.key)


def _remove_predictions(work: ProjectDesk, report: Report) -> None:
    client = work.desk.client
    ours = [version for version in client.model_versions(work.id) if _is_ours(version)]
    report(f"predictions of {len(ours)} versions")
    n_tasks = 0
    for n in removing(work, ours):
        n_tasks += n
        if n_tasks % TOLD_TASKS < n:
            report(f"predictions of {n_tasks:,} tasks are gone")


def _is_ours(version: str) -> bool:
    return version.startswith(OWN_PREFIX) or version == TITLE


def _without_own_keys(work: ProjectDesk, data: Mapping[str, Any]) -> Json:
    """A task's data once we are gone: a dynamic control keeps its list of labels, in plain order."""
    kept = {name: value for name, value in data.items() if name not in OWN_KEYS}
    return {**kept, TOP_KEY: top(None, work.control)} if _needs_top(work) else kept


def _needs_top(work: ProjectDesk) -> bool:
    """Whether the label config shows nothing without a list of labels in each task."""
    return work.usable and work.control.dynamic


def _remove_data_keys(work: ProjectDesk, report: Report) -> None:
    report("data keys")
    tasks = work.desk.client.tasks(work.id, all_fields=False)
    kept = {task.id: (task.data, _without_own_keys(work, task.data)) for task in tasks}
    changing = [task_id for task_id, (data, rest) in kept.items() if data != rest]
    for some in Pace().pieces(changing):
        for task_id in some:
            work.desk.client.patch_task(task_id, kept[task_id][1])


def _restorable_version(client: LabelStudioClient, work: ProjectDesk, snapshot: Json) -> Json:
    """Only a version that still exists can be set; otherwise Label Studio has cleared it with the predictions."""
    before = snapshot.get("model_version", "")
    return {"model_version": before} if before in {"", *client.model_versions(work.id)} else {}

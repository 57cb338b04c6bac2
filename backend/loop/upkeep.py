"""Upkeep of a project: a changed label config, what webhooks missed, and old predictions."""

import time
from collections.abc import Collection, Mapping
from itertools import chain

import structlog

from backend.core.errors import ModelFolderError
from backend.health.notes import Reconciled, keep_reconciled
from backend.labelstudio.filters import having_version
from backend.logs import told
from backend.loop.clocks import watermark_lies_ahead
from backend.loop.coverage import count_open
from backend.loop.desk import ProjectDesk
from backend.loop.follow import follow, forget, learn
from backend.loop.removals import may_be_open, remove_surplus, removing
from backend.loop.retrain import annotated_tasks, failed_lately, make_cold, publish_cold, renew_cold_later
from backend.serving import KEPT_VERSIONS

PRUNE_TASKS = 400  # whose old predictions go in one run: each has changed by it, and is read once more
PILE = 100_000  # predictions of ours that Label Studio carries without harm: the stream's head is read in 0.6 s
PILE_VERSIONS = 32  # and of so many versions of a task
MISSABLE = (
    "version",
    "config",
    "labels",
    "texts",
    "predictions",
    "doubled",
)  # counted from 0: only then is the first one seen
AWAKE_S = 300.0  # after a label; as long as an idle worker keeps its models

log = structlog.get_logger()


def prepare_refresh(work: ProjectDesk) -> None:
    """Make the version that a changed label config begins with; labels are followed meanwhile."""
    if work.usable and _config_changed(work):
        publish_cold(work)


def refresh(work: ProjectDesk) -> None:
    """Take over a changed label config; nothing where its hash is the stored one.

    The hash is stored last, so that who is killed before is followed by another refresh.
    """
    if not work.usable:
        log.warning("config_not_served", project=work.key)
        return
    if not _config_changed(work):
        return
    changed = bool(work.row.config_hash)
    make_cold(work)
    if changed:
        learn(work, annotated_tasks(work))  # labels that were renamed, that are gone, that are back
    follow(work)
    work = work.update(config_hash=work.config_hash)
    if changed and work.row.trained_labels:
        work.desk.queue.enqueue("retrain", work.key)
    else:
        work.desk.queue.enqueue("predict_project", work.key)


def _config_changed(work: ProjectDesk) -> bool:
    return work.row.config_hash != work.config_hash or not work.folder.current()


def reconcile(work: ProjectDesk) -> list[str]:
    """Find what no webhook said; what was found, of MISSABLE.

    Nothing is looked for where the label config cannot be served: doctor says why.
    """
    found = _missed(work) if work.usable else []
    work.update(reconciled_at=time.time())
    keep_reconciled(work.desk.queue, work.key, Reconciled(tuple(found), time.time()))
    for what in MISSABLE:
        work.desk.telemetry.missed.labels(work.key, what).inc(what in found)
    return found


def _missed(work: ProjectDesk) -> list[str]:
    if not _servable(work):
        held = work.row.pinned or work.row.frozen  # by a person, whom doctor tells
        if not held and not failed_lately(work.desk.queue, work.key):
            work.desk.queue.enqueue("retrain", work.key)
        return ["version"]
    found = []
    before, now = dict(work.row.counters or {}), dict(work.project.counters)
    if work.row.config_hash != work.config_hash:
        found.append("config")
        work.desk.queue.enqueue("refresh", work.key)
    if watermark_lies_ahead(work):
        log.warning("clock_was_set_back", project=work.key, times=("watermark",))
        work = work.update(watermark="")  # all tasks are read once
    if before != now or not work.row.watermark:
        found.append("labels")
        renew_cold_later(work)
        follow(work)
        if now["task_number"] < before.get("task_number", 0):
            _forget_vanished(work)
    elif work.desk.client.pulse(work.id).newest > work.row.watermark:  # some label or text may be another one
        followed = follow(work)
        found += ["labels"] * bool(followed.n_learned) + ["texts"] * bool(followed.n_edited)
    if count_open(work):
        found.append("predictions")
        work.desk.queue.enqueue("predict_project", work.key)
    stored = work.desk.client.model_versions(work.id)
    if remove_doubled(work, stored):
        found.append("doubled")
    if _outlived(work, stored):
        work.desk.queue.enqueue("prune", work.key)
    work.update(counters=now)
    return found


def _servable(work: ProjectDesk) -> bool:
    """Whether the current version serves; loaded by the time that the next label comes where they come now.

    Where nobody labels it is only looked at, so that an idle worker holds no model.
    One that was made by another prelabel or for other models, or is damaged, is trained anew.
    """
    try:
        if time.time() - work.row.webhook_at < AWAKE_S:
            work.desk.warm(work.key)
        elif version := work.folder.current():
            work.desk.loader.assembly.servable(work.folder.artefact(version))
    except ModelFolderError as err:
        log.error("version_not_usable", **told(err))
        return False
    return True


def remove_doubled(work: ProjectDesk, stored: Mapping[str, int]) -> bool:
    """Delete what two pushes at once have doubled; whether there was any.

    A push whose worker was killed may still be carried out while the next one begins.

    Args:
        stored: predictions by version.
    """
    version = work.folder.current()
    n_stored = stored.get(version, 0)
    if not n_stored or n_stored <= work.desk.client.count(work.id, [having_version(version)]):
        return False
    with work.desk.lease("push", work.key, wait_s=0.1) as held:  # whoever pushes now is looked after next time
        return bool(held and remove_surplus(work, version))


def behind(work: ProjectDesk) -> bool:
    """Whether so much waits to be pruned that another training would only add to the pile."""
    stored = work.desk.client.model_versions(work.id)
    ours = [stored[version] for version in work.folder.versions() if version in stored]
    return len(ours) > KEPT_VERSIONS + 1 and (sum(ours) > PILE or len(ours) > PILE_VERSIONS)


def prune(work: ProjectDesk) -> bool:
    """Delete predictions of versions that are neither shown nor the previous one, nor open on a page.

    Makes way for labels that wait to be followed. False where more may be left.
    """
    n_tasks = 0
    for n in removing(work, _outlived(work, work.desk.client.model_versions(work.id))):
        n_tasks += n
        if n_tasks >= PRUNE_TASKS or work.desk.queue.waits("live"):
            return False
    return not n_tasks


def drop_made_up(work: ProjectDesk) -> None:
    """Drop what was answered for tasks that do not exist: a request may name any."""
    shown = work.desk.ledger.shown_tasks(work.key)
    if len(shown) > work.project.counters["task_number"]:
        pages = work.desk.client.pages_above(work.id, 0, include="id")
        there = {int(task["id"]) for task in chain.from_iterable(pages)}
        work.desk.ledger.drop_shown(work.key, shown - there)


def _outlived(work: ProjectDesk, stored: Collection[str]) -> list[str]:
    """The versions whose predictions serve nobody any more, of those that Label Studio has."""
    current = work.folder.current()
    ours = [version for version in work.folder.versions() if version in stored and version != current]
    keep = {work.project.model_version, *ours[-(KEPT_VERSIONS - 1) :]}
    return [version for version in ours if version not in keep and not may_be_open(work, version)]


def _forget_vanished(work: ProjectDesk) -> None:
    there = {task.id for task in work.desk.client.tasks(work.id, all_fields=False)}
    known = {row.task_id for row in work.desk.ledger.index_rows(work.key) if row.label}
    forget(work, known - there)

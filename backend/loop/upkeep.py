"""Upkeep of a project: a changed label config, what webhooks missed, and old predictions."""

import time

import structlog

from backend.core.errors import ModelFolderError
from backend.health.notes import Reconciled, keep_reconciled
from backend.labelstudio.filters import having_version
from backend.logs import told
from backend.loop.clocks import watermark_lies_ahead
from backend.loop.coverage import count_open
from backend.loop.desk import ProjectDesk
from backend.loop.follow import follow, forget, learn
from backend.loop.removals import remove_surplus
from backend.loop.retrain import annotated_tasks, failed_lately, make_cold, renew_cold
from backend.serving import KEPT_VERSIONS

PRUNE_TASKS = 400  # tasks whose old predictions go before a pause; listing them costs a second in a large project
PRUNE_PAUSE_S = 1.0  # in which annotators have the database for themselves
PRUNE_LOOK = 40  # tasks between two looks at the queue: a second or two, so that pruning comes to an end
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


def refresh(work: ProjectDesk) -> None:
    """Take over a changed label config; nothing where its hash is the stored one."""
    present = work.config_hash
    if not work.usable:
        log.warning("config_not_served", project=work.key)
        return
    if work.row.config_hash == present and work.folder.current():
        return
    changed = bool(work.row.config_hash)
    work = work.update(config_hash=present)
    make_cold(work)
    if changed:
        learn(work, annotated_tasks(work))  # labels that were renamed, that are gone, that are back
    follow(work)
    if changed and work.row.trained_labels:
        work.desk.queue.enqueue("retrain", work.key)
    else:
        work.desk.queue.enqueue("predict_project", work.key)


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
        renew_cold(work)
        follow(work)
        if now["task_number"] < before.get("task_number", 0):
            _forget_vanished(work)
    elif work.desk.client.pulse(work.id).newest > work.row.watermark:  # some label or text may be another one
        followed = follow(work)
        found += ["labels"] * bool(followed.n_learned) + ["texts"] * bool(followed.n_edited)
    if count_open(work):
        found.append("predictions")
        work.desk.queue.enqueue("predict_project", work.key)
    if remove_doubled(work):
        found.append("doubled")
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


def remove_doubled(work: ProjectDesk) -> bool:
    """Delete what two pushes at once have doubled; whether there was any.

    A push whose worker was killed may still be carried out while the next one begins.
    """
    version, client = work.folder.current(), work.desk.client
    stored = client.model_versions(work.id).get(version, 0)
    if not stored or stored <= client.count(work.id, [having_version(version)]):
        return False
    with work.desk.lease("push", work.key, wait_s=0.1) as held:  # whoever pushes now is looked after next time
        return bool(held and remove_surplus(work, version))


def behind(work: ProjectDesk) -> bool:
    """Whether pruning has more than one version to delete: another training would only add to the pile."""
    stored = work.desk.client.model_versions(work.id)
    return len([version for version in work.folder.versions() if version in stored]) > KEPT_VERSIONS + 1


def prune(work: ProjectDesk) -> bool:
    """Delete predictions of versions that are neither shown nor the previous one; false where more is left.

    One by one with pauses: deleting a version in one call locks Label Studio's SQLite for minutes. Makes way
    for labels that wait to be followed, after PRUNE_LOOK tasks.
    """
    versions = [version for version in work.folder.versions() if version != work.folder.current()]
    stored = work.desk.client.model_versions(work.id)
    ours = [version for version in versions if version in stored]
    keep = {work.project.model_version, work.folder.current(), *ours[-(KEPT_VERSIONS - 1) :]}
    for version in ours:
        if version in keep:
            continue
        tasks = list(work.desk.client.tasks(work.id, filters=[having_version(version)], limit=PRUNE_TASKS))
        for place, task in enumerate(tasks):
            if place and place % PRUNE_LOOK == 0 and work.desk.queue.waits("live"):
                return False
            for item in task.predictions:
                if item.get("model_version") == version:
                    work.desk.client.delete_prediction(item["id"])
        time.sleep(PRUNE_PAUSE_S)
        return False
    return True


def _forget_vanished(work: ProjectDesk) -> None:
    there = {task.id for task in work.desk.client.tasks(work.id, all_fields=False)}
    known = {row.task_id for row in work.desk.ledger.index_rows(work.key) if row.label}
    forget(work, known - there)

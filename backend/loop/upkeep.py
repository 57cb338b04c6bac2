"""Upkeep of a project: a changed label config, what webhooks missed, and old predictions."""

import time

import structlog

from backend.labelstudio.filters import having_version, lacking_version, unlabelled
from backend.loop.desk import ProjectDesk
from backend.loop.follow import follow, forget, learn
from backend.loop.retrain import annotated_tasks, make_cold

PRUNE_TASKS = 400  # tasks whose old predictions go before a pause; listing them costs a second in a large project
PRUNE_PAUSE_S = 1.0  # in which annotators have the database for themselves
PRUNE_LOOK = 40  # tasks between two looks at the queue: a second or two, so that pruning comes to an end
KEPT_VERSIONS = 2  # the one that serves and the one to roll back to

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


def reconcile(work: ProjectDesk) -> int:
    """Find what no webhook said; how many things were found."""
    if not work.usable:
        return 0
    found = 0
    before, now = dict(work.row.counters or {}), dict(work.project.counters)
    if work.row.config_hash != work.config_hash:
        found += 1
        work.desk.queue.enqueue("refresh", work.key)
    if before != now:
        found += 1
        follow(work)
        if now["task_number"] < before.get("task_number", 0):
            _forget_vanished(work)
    version = work.folder.current()
    if version and any(True for _ in _lacking(work, version)):
        found += 1
        work.desk.queue.enqueue("predict_project", work.key)
    work.update(counters=now, reconciled_at=time.time())
    work.desk.warm(work.key)  # loaded by the time that the first label comes
    return found


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


def _lacking(work: ProjectDesk, version: str) -> list[int]:
    filters = [unlabelled(), lacking_version(version)]
    return [task.id for task in work.desk.client.tasks(work.id, filters=filters, limit=1, all_fields=False)]


def _forget_vanished(work: ProjectDesk) -> None:
    there = {task.id for task in work.desk.client.tasks(work.id, all_fields=False)}
    known = {row.task_id for row in work.desk.ledger.index_rows(work.key) if row.label}
    forget(work, known - there)

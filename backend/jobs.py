"""What workers run: plain, idempotent functions of a project key, named by the queue as dotted paths.

Each takes its mark away first, so that events during its run ask for another one.
"""

import time
from functools import lru_cache

import structlog

from backend.core.errors import PrelabelError
from backend.core.settings import load_settings
from backend.logs import configure_logs
from backend.loop import follow as following
from backend.loop import poll as polling
from backend.loop import push, upkeep
from backend.loop import retrain as training
from backend.loop.desk import Desk

RECONCILE_S = 30.0  # between two looks for what webhooks missed
RECONCILE_QUIET_S = 120.0  # where a push-only project is still: polling sees its labels, this its label config

log = structlog.get_logger()


@lru_cache(maxsize=1)
def desk() -> Desk:
    """This worker's collaborators."""
    settings = load_settings()
    configure_logs(settings.log_level)
    return Desk(settings)


def connected(project_key: str) -> bool:
    """Whether a project is still ours: a job may have waited while it was disconnected."""
    return desk().ledger.project(project_key) is not None


def follow(project_key: str) -> None:
    """Learn what changed and keep the head of the label stream fresh."""
    desk().queue.begin("follow", project_key)
    with desk().queue.lease("labels", project_key) as held:
        if held and connected(project_key):
            work = desk().project(project_key)
            following.follow(work.update(webhook_at=time.time()))


def poll(project_key: str) -> None:
    """Look whether a push-only project moved."""
    desk().queue.begin("poll", project_key)
    polling.poll(desk(), project_key)


def refresh(project_key: str) -> None:
    """Take over a changed label config."""
    desk().queue.begin("refresh", project_key)
    with desk().queue.lease("labels", project_key) as held:
        if held:
            upkeep.refresh(desk().project(project_key))


def predict_project(project_key: str) -> None:
    """Give every eligible task a prediction of the present version."""
    desk().queue.begin("predict_project", project_key)
    with desk().queue.lease("push", project_key, wait_s=0.1) as held:
        if not held or not connected(project_key):
            return  # somebody pushes: labels must not wait behind us for that; reconcile looks again
        work = desk().project(project_key)
        if not push.fill(work):
            desk().queue.enqueue("predict_project", project_key)
            return
        served = work.served()
        if served is not None:
            following.refresh_head(work, served)
        desk().queue.enqueue("prune", project_key)


def prune(project_key: str) -> None:
    """Delete some of the predictions that nobody can roll back to."""
    desk().queue.begin("prune", project_key)
    if connected(project_key) and not upkeep.prune(desk().project(project_key)):
        desk().queue.enqueue("prune", project_key)


def retrain(project_key: str) -> str:
    """Train and switch where the new version is not worse; the version that is current afterwards."""
    desk().queue.begin("retrain", project_key)
    with desk().queue.lease("retrain", project_key) as held:
        if not held or not connected(project_key):
            return desk().loader.folder(project_key).current()
        work = desk().project(project_key)
        if work.row.frozen:
            return work.folder.current()
        try:
            version = training.retrain(work, why="due" if work.row.due_at else "asked")
        except Exception as err:
            training.note_failure(desk().queue, project_key, err)
            raise
    desk().queue.enqueue("predict_project", project_key)
    return version


def reconcile(project_key: str) -> None:
    """Find what webhooks missed."""
    desk().queue.begin("reconcile", project_key)
    with desk().queue.lease("labels", project_key) as held:
        if held and connected(project_key):
            n_found = upkeep.reconcile(desk().project(project_key))
            log.info("reconciled", project=project_key, n_found=n_found)


def reconcile_all() -> None:
    """The cron's tick over all projects; what is wrong with one keeps nobody else waiting."""
    for key in desk().ledger.project_keys():
        try:
            _tick(key, time.time())
        except PrelabelError as err:
            log.warning("tick_failed", project=key, error=str(err))


def _tick(key: str, now: float) -> None:
    """Start a training that is due, poll a push-only project, reconcile now and then."""
    row = desk().ledger.project(key)
    if row is None:
        return
    due = following.training_due(row, desk().loader.folder(key).settings(), now)
    free = not desk().queue.leased("retrain", key)
    if (
        due and free and not training.failed_lately(desk().queue, key)
    ):  # a prune that failed is asked for again, or nobody trains
        desk().queue.enqueue("prune" if upkeep.behind(desk().project(key)) else "retrain", key)
    last = polling.last_poll(desk().queue, key) if row.push_only else None
    if row.push_only and (last is None or last.again_at <= now):
        desk().queue.enqueue("poll", key)
    if now - row.reconciled_at >= (RECONCILE_QUIET_S if last and not last.active else RECONCILE_S):
        desk().queue.enqueue("reconcile", key)

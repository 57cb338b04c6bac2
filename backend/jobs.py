"""What workers run: plain, idempotent functions of a project key, named by the queue as dotted paths.

Each takes its mark away first, so that events during its run ask for another one.
"""

import time
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

import structlog

from backend.core.errors import PrelabelError
from backend.core.settings import load_settings
from backend.job_queue import JOBS
from backend.logs import configure_logs, new_trace, told
from backend.loop import auto_accept as accepting
from backend.loop import clocks, coverage, push, reasons, second_annotator, upkeep
from backend.loop import follow as following
from backend.loop import marks as marking
from backend.loop import poll as polling
from backend.loop import refine as refining
from backend.loop import report as reporting
from backend.loop import retrain as training
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.telling import telling
from backend.serving import Served

P = ParamSpec("P")
R = TypeVar("R")
RECONCILE_S = 30.0  # between two looks for what webhooks missed
RECONCILE_QUIET_S = 120.0  # where a push-only project is still: polling sees its labels, this its label config

log = structlog.get_logger()


@lru_cache(maxsize=1)
def desk() -> Desk:
    """This worker's collaborators."""
    settings = load_settings()
    configure_logs(settings.log_level)
    desk = Desk(settings)
    desk.telemetry.expect_jobs([*JOBS, "reconcile_all"])
    return desk


def job(run: Callable[P, R]) -> Callable[P, R]:
    """A job that begins by taking its mark away, and tells of itself; see backend.loop.telling.

    Of a project that is not connected nothing stays in the queue.
    """

    @wraps(run)
    def told_run(*args: P.args, **kwargs: P.kwargs) -> R:
        project = str(args[0]) if args else ""
        with telling(desk(), run.__name__, project):
            if project:
                desk().queue.begin(run.__name__, project)
            done = run(*args, **kwargs)
            if project and not desk().connected(project):
                desk().queue.forget(project)
            return done

    return told_run


@job
def follow(project_key: str) -> None:
    """Learn what changed and keep the head of the label stream fresh."""
    with desk().lease("labels", project_key) as held:
        if held:
            work = desk().project(project_key)
            training.renew_cold_later(work)
            following.follow(work.update(webhook_at=time.time()))


@job
def poll(project_key: str) -> None:
    """Look whether a push-only project moved."""
    polling.poll(desk(), project_key)


@job
def refresh(project_key: str) -> None:
    """Take over a changed label config."""
    with desk().lease("retrain", project_key, wait_s=0.1) as free:
        if free:  # else its first version is made while labels wait: a training is under way, which takes longer
            upkeep.prepare_refresh(desk().project(project_key))
    with desk().lease("labels", project_key) as held:
        if held:
            upkeep.refresh(desk().project(project_key))


@job
def predict_project(project_key: str) -> None:
    """Give every eligible task a prediction of the present version."""
    with desk().lease("push", project_key, wait_s=0.1) as held:
        if not held:
            return  # somebody pushes: labels must not wait behind us for that; reconcile looks again
        work = desk().project(project_key)
        if not (push.fill(work) and second_annotator.carry_over(work)):
            desk().queue.enqueue("predict_project", project_key)
            return
        coverage.count_open(work)
        upkeep.drop_made_up(work)
        served = work.served()
        if served is not None:
            _refresh_head(work, served)
        desk().queue.enqueue("give_reasons", project_key)
        if accepting.wanted(work):
            desk().queue.enqueue("auto_accept", project_key)
        desk().queue.enqueue("mark", project_key)
        desk().queue.enqueue("prune", project_key)


def _refresh_head(work: ProjectDesk, served: Served) -> None:
    """Where nobody follows labels just now: whoever does writes the same tasks."""
    with desk().lease("labels", work.key, wait_s=0.1) as held:
        if held and work.shows(served.version):
            following.refresh_head(work, served)


@job
def give_reasons(project_key: str) -> None:
    """Give reasons and percents to the tasks that come after the head of the label stream."""
    if desk().connected(project_key) and not reasons.give(desk().project(project_key)):
        desk().queue.enqueue("give_reasons", project_key)


@job
def refine(project_key: str) -> None:
    """Have language models vote where an answer had no time for them."""
    if desk().connected(project_key) and not refining.refine(desk().project(project_key)):
        desk().queue.enqueue("refine", project_key)


@job
def auto_accept(project_key: str) -> None:
    """Accept without a person what falls under the project's promise."""
    with desk().lease("labels", project_key, wait_s=0.1) as held:  # nobody else writes the tasks' data
        if not held:
            return  # reconcile asks again
        done = accepting.apply(desk().project(project_key))
    if not done:
        desk().queue.enqueue("auto_accept", project_key)


@job
def mark(project_key: str) -> None:
    """Mark blind tasks, and ticks that people changed, for the Data Manager's tabs."""
    if desk().connected(project_key) and not marking.mark(desk().project(project_key)):
        desk().queue.enqueue("mark", project_key)


@job
def prune(project_key: str) -> None:
    """Delete some of the predictions that nobody can roll back to."""
    if not desk().connected(project_key) or upkeep.prune(desk().project(project_key)):
        return
    with desk().lease("labels", project_key, wait_s=0.1) as held:  # whoever follows now does it, too
        if held:  # each task has changed by it: they are looked at now, few at a time, and not all at once
            following.follow(desk().project(project_key))
    desk().queue.enqueue("prune", project_key)


@job
def retrain(project_key: str) -> str:
    """Train and switch where the new version is not worse; the version that is current afterwards."""
    return _train(project_key, lambda _: True, why="asked")


@job
def retrain_due(project_key: str) -> str:
    """The same where it is still due: somebody may have trained since the cron's tick asked."""
    return _train(project_key, lambda work: following.training_due(work.row, work.settings, time.time()), why="due")


@job
def renew_cold(project_key: str) -> None:
    """Make the version without labels anew where many more texts came than it knows."""
    with desk().lease("retrain", project_key) as held:
        try:
            renewed = held and training.renew_cold(desk().project(project_key))
        except Exception as err:
            training.note_failure(desk().queue, project_key, err)
            raise
    if renewed:
        desk().queue.enqueue("predict_project", project_key)


def _train(project_key: str, wanted: Callable[[ProjectDesk], bool], *, why: str) -> str:
    with desk().lease("retrain", project_key) as held:
        if not held:
            return desk().loader.folder(project_key).current()
        work = desk().project(project_key)
        if work.row.frozen or not wanted(work):
            return work.folder.current()
        try:
            version = training.retrain(work, why=why)
        except Exception as err:
            training.note_failure(desk().queue, project_key, err)
            raise
    desk().queue.enqueue("predict_project", project_key)
    reporting.report_newest(work)
    return version


@job
def reconcile(project_key: str) -> None:
    """Find what webhooks missed."""
    with desk().lease("labels", project_key) as held:
        if held:
            work = desk().project(project_key)
            found = upkeep.reconcile(work)
            if work.usable and accepting.wanted(work):
                desk().queue.enqueue("auto_accept", project_key)
            log.info("reconciled", found=found)


@job
def reconcile_all() -> None:
    """The cron's tick over all projects; what is wrong with one keeps nobody else waiting."""
    for key in desk().ledger.project_keys():
        try:
            _tick(key, time.time())
        except PrelabelError as err:
            log.warning("tick_failed", project=key, **told(err))


def _tick(key: str, now: float) -> None:
    """Start a training that is due, poll a push-only project, reconcile now and then."""
    row = desk().ledger.project(key)
    if row is None:
        return
    row = clocks.set_right(desk(), row, now)
    due = following.training_due(row, desk().loader.folder(key).settings(), now)
    free = not desk().queue.leased("retrain", key) and not training.failed_lately(desk().queue, key)
    if due and free:  # a prune that failed is asked for again, or nobody trains
        with structlog.contextvars.bound_contextvars(trace=new_trace(desk().queue.noted(following.DUE, key))):
            desk().queue.enqueue("prune" if upkeep.behind(desk().project(key)) else "retrain_due", key)
    last = polling.last_poll(desk().queue, key) if row.push_only else None
    if row.push_only and (last is None or last.is_old(now)):
        desk().queue.enqueue("poll", key)
    if now - row.reconciled_at >= (RECONCILE_QUIET_S if last and not last.active else RECONCILE_S):
        desk().queue.enqueue("reconcile", key)

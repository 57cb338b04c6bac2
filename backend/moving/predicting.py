"""A prediction of the present version for every eligible task of a project, by the workers or here.

Both are the job `predict_project`: what is computed lies in a spool and is pushed when it is whole, under one lease.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from backend.core.errors import BadInputError, OutsideError
from backend.labelstudio.records import Project
from backend.loop import coverage, push, upkeep
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.second_annotator import carry_over
from backend.loop.spool import spool_of

PUSH_WAIT_S = 900.0  # for a worker that pushes the same project
PUSHING = "predict_project-"  # how the ids of jobs begin that push predictions
IDLE_S = 60.0  # in which a killed worker is started again and takes its job up
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Predicting:
    """How far it is."""

    n_lacking: int  # open tasks that hold a text and have no prediction of the version in Label Studio
    n_computed: int  # of those; they are pushed when all are


Watch = Callable[[Predicting], None]


def connected(desk: Desk, project: Project) -> ProjectDesk:
    """Raises BadInputError where a project is not connected, and so has no version that serves."""
    if desk.ledger.project(str(project.key)) is None:
        told = f"project {project.id} must be connected, but is not"
        raise BadInputError(f"{told}; run: prelabel connect --project {project.id}, which predicts it, too")
    return desk.project(str(project.key))


def how_far(work: ProjectDesk) -> Predicting:
    """Counts the open tasks, and keeps the figures for `status`."""
    n_lacking = coverage.count_open(work)
    return Predicting(n_lacking, min(spool_of(work.folder, work.folder.current()).count(), n_lacking))


def ask(work: ProjectDesk) -> str:
    """Have the workers do it; the job's id.

    Raises:
        OutsideError: no worker listens; the job waits for one all the same.
    """
    job = work.desk.queue.enqueue("predict_project", work.key)
    if not work.desk.queue.workers()["bulk"]:
        told = f"a worker must listen to the queue `bulk`, but none does; job {job} waits for one"
        raise OutsideError(f"{told}: run prelabel worker, or predict here with --wait")
    return job


def follow(work: ProjectDesk, watch: Watch) -> Predicting:
    """Watch the workers until every task is predicted that can be. Label Studio is asked only when they pause.

    Raises:
        OutsideError: no worker has been at it for IDLE_S.
    """
    found, busy_at = how_far(work), time.monotonic()
    while found.n_lacking:
        watch(found)
        time.sleep(LOOK_S)
        n_computed = spool_of(work.folder, work.folder.current()).count()
        if not _at_work(work):
            found = how_far(work)
        elif n_computed < found.n_computed:  # some were pushed
            found, busy_at = how_far(work), time.monotonic()
        else:
            found, busy_at = replace(found, n_computed=n_computed), time.monotonic()
        if time.monotonic() - busy_at > IDLE_S:
            told = f"a worker must go on with project {work.key}, but none did for {IDLE_S:.0f} s"
            raise OutsideError(f"{told}; look at its log, or predict here with --wait")
    watch(found)
    return found


def _at_work(work: ProjectDesk) -> bool:
    """Whether a worker pushes this project, or will."""
    queue = work.desk.queue
    return queue.leased("push", work.key) or any(
        job.id.startswith(PUSHING) and job.project == work.key for job in queue.waiting()
    )


def predict_here(work: ProjectDesk, watch: Watch) -> Predicting:
    """Do it in this process, or wait for a worker that does.

    Raises:
        OutsideError: a worker is at it for long.
    """
    with work.desk.lease("push", work.key, wait_s=PUSH_WAIT_S) as held:
        if not held:
            raise OutsideError(f"nobody else may push project {work.key}, but a worker does; see prelabel status")
        while not push.fill(work.desk.project(work.key)):  # which version is shown changes with the first push
            watch(how_far(work))
        whole = carry_over(work.desk.project(work.key))
    upkeep.remove_doubled(work, work.desk.client.model_versions(work.id))
    work.desk.queue.enqueue("give_reasons" if whole else "predict_project", work.key)
    found = how_far(work)
    watch(found)
    return found

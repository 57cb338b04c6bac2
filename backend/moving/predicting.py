"""A prediction of the present version for every eligible task of a project, by the workers or here.

Both are the job `predict_project`: what is computed lies in a spool and is pushed when it is whole, under one lease.
"""

from collections.abc import Callable
from dataclasses import dataclass

from backend.core.errors import BadInputError, OutsideError
from backend.labelstudio.records import Project
from backend.loop import coverage, push, upkeep
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.spool import spool_of

PUSH_WAIT_S = 900.0  # for a worker that pushes the same project


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
    """Have the workers do it; the job's id."""
    return work.desk.queue.enqueue("predict_project", work.key)


def predict_here(work: ProjectDesk, watch: Watch) -> Predicting:
    """Do it in this process, or wait for a worker that does.

    Raises:
        OutsideError: a worker is at it for long.
    """
    with work.desk.queue.lease("push", work.key, wait_s=PUSH_WAIT_S) as held:
        if not held:
            raise OutsideError(f"nobody else may push project {work.key}, but a worker does; see prelabel status")
        while not push.fill(work.desk.project(work.key)):  # which version is shown changes with the first push
            watch(how_far(work))
    upkeep.remove_doubled(work)
    found = how_far(work)
    watch(found)
    return found

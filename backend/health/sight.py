"""One look at what the web process stands on: the queue, the database, the projects, the disk.

A look may take as long as the slowest of them does; whoever must answer at once asks backend.health.watch.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from sqlalchemy.exc import SQLAlchemyError

from backend.core.disk import Disk, disk_of
from backend.core.errors import PrelabelError, QueueError, StateError
from backend.core.settings import Settings
from backend.health.agreement import Band, bands
from backend.health.notes import Coverage, Reconciled, last_coverage, last_reconciled
from backend.job_queue import GivenUp, JobQueue, WaitingJob
from backend.ledger import Acceptance, Ledger, ProjectRow, Training
from backend.serving import Loader
from backend.telemetry.published import families, published


@dataclass(frozen=True, slots=True)
class QueueSight:
    """The queue, where Redis answered."""

    counts: Mapping[tuple[str, str], int]  # jobs by queue and state
    waiting: Sequence[WaitingJob]
    workers: Mapping[str, int]  # that listen, by queue
    figures: Mapping[str, Sequence[Metric]]  # what workers count, by worker
    given_up: Sequence[GivenUp] = ()
    cron_silent_s: float = 0.0

    def oldest_s(self, *, queue: str = "", project: str = "") -> float:
        """How long the oldest waiting job of a queue or a project has waited; 0 where none waits."""
        return max(
            (job.waits_s for job in self.waiting if queue in ("", job.queue) and project in ("", job.project)),
            default=0.0,
        )


@dataclass(frozen=True, slots=True)
class ProjectSight:
    """One connected project, from the database, the state folder and the notes of the jobs."""

    row: ProjectRow
    current: str  # version; empty where none was published
    previous: str  # that served before it; empty where none did
    trainings: Sequence[Training]  # oldest first
    acceptance: Sequence[Acceptance]
    coverage: Coverage | None  # None where nobody has counted, or Redis is away
    reconciled: Reconciled | None
    bands: Sequence[Band] = ()  # of the blind tasks' labels

    @property
    def key(self) -> str:
        return self.row.key


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything at one time."""

    at: float  # unix
    queue: QueueSight | None  # None where Redis did not answer
    database: str  # why it cannot be used; empty where it can
    projects: Sequence[ProjectSight]
    disk: Disk  # where the state lies


def look(settings: Settings, ledger: Ledger, queue: JobQueue, loader: Loader, before: Sequence[ProjectSight]) -> Sight:
    """Look at everything once; while the database is away, the projects are those of `before`."""
    seen = look_at_queue(queue)
    problem, projects = "", before
    try:
        ledger.require_writable()
        keys = ledger.project_keys()
        projects = [look_at_project(ledger, queue if seen else None, loader, key) for key in keys]
    except (StateError, SQLAlchemyError) as err:
        problem = type(err.__cause__ or err).__name__
    return Sight(time.time(), seen, problem, projects, disk_of(settings.home))


def look_at_queue(queue: JobQueue) -> QueueSight | None:
    try:
        seen = queue.counts(), queue.waiting(), queue.workers(), families(published(queue))
        return QueueSight(*seen, queue.given_up(), queue.cron_silent_s())
    except QueueError:
        return None


def look_at_project(ledger: Ledger, queue: JobQueue | None, loader: Loader, key: str) -> ProjectSight:
    """What is known of a project without asking Label Studio."""
    folder, trainings = loader.folder(key), ledger.trainings(key)
    current = folder.current()
    coverage, reconciled = _noted(queue, key)
    return ProjectSight(
        row=ledger.project(key) or ProjectRow(key),
        current=current,
        previous=folder.previous(),
        trainings=trainings,
        acceptance=ledger.acceptance_by_version(key),
        coverage=coverage,
        reconciled=reconciled,
        bands=bands(ledger.blind_labels(key)),
    )


def _noted(queue: JobQueue | None, key: str) -> tuple[Coverage | None, Reconciled | None]:
    if queue is None:
        return None, None
    try:
        return last_coverage(queue, key), last_reconciled(queue, key)
    except PrelabelError:
        return None, None

"""What is wrong, from one look and what the process has loaded: what, since when, and what to do about it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from backend.core.clock import age_s, lies_ahead
from backend.health.sight import ProjectSight, Sight
from backend.job_queue import CRON_SILENT_S, TRAININGS, late_of
from backend.serving import Failure

RECONCILE_LATE_S = 300.0  # ten times what lies between two of them


class Loaded(Protocol):
    """What a process has loaded; backend.serving.ServedProjects has it."""

    def ready(self) -> Mapping[str, str]: ...
    def failures(self) -> Mapping[str, Failure]: ...
    def put_away(self) -> Collection[str]: ...
    def waiting(self) -> Collection[str]: ...


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong. Kind and `about` name it; they stay the same as long as it lasts."""

    kind: str  # one of KINDS
    what: str
    remedy: str
    about: str = ""  # a project's key, a model's URI or a queue, where it is about one


KINDS = ("queue", "workers", "cron", "jobs", "database", "version", "model", "disk", "reconcile", "calibration")


def faults(sight: Sight, loaded: Loaded, missing_models: Sequence[str]) -> list[Fault]:
    """All that is wrong, the worst first."""
    return [
        *_database(sight),
        *_queue(sight),
        *(fault for project in sight.projects for fault in _version(project, loaded)),
        *(
            Fault(
                "model",
                f"{uri} cannot be loaded and is left out",
                "run: prelabel doctor, which says what is missing",
                uri,
            )
            for uri in missing_models
        ),
        *_disk(sight),
        *(fault for project in sight.projects for fault in _reconcile(project, sight)),
        *(fault for project in sight.projects for fault in _calibration(project)),
    ]


def unsettled(sight: Sight, loaded: Loaded) -> list[str]:
    """The projects that are asked for and whose version is neither loaded nor known to be unusable.

    Not those that were put away, or have not been asked for yet: these are loaded on demand.
    """
    settled = {*loaded.ready(), *loaded.failures(), *loaded.put_away(), *loaded.waiting()}
    return [each.key for each in sight.projects if each.current and each.key not in settled]


def _database(sight: Sight) -> Iterator[Fault]:
    if sight.database:
        yield Fault(
            "database", f"the database does not answer or takes no writes ({sight.database})",
            "check that it runs, that its disk has room, and PRELABEL_DATABASE_URL",
        )  # fmt: skip


def _queue(sight: Sight) -> Iterator[Fault]:
    if sight.queue is None:
        remedy = "check that Redis runs, and PRELABEL_REDIS_URL"
        yield Fault("queue", "the queue does not answer: labels are not followed", remedy)
        return
    idle = [name for name, n in sight.queue.workers.items() if not n]
    if idle:
        command = f"run: prelabel worker --queues {','.join(idle)}"
        yield Fault("workers", f"nobody takes jobs from: {', '.join(idle)}", command)
    if sight.queue.cron_silent_s > CRON_SILENT_S:
        yield Fault("cron", "no cron process: nothing is reconciled and no training starts", "run: prelabel cron")
    for late in late_of(sight.queue.waiting):
        remedy = "see the worker's log: it may stand, or have too much to do; see prelabel doctor"
        yield Fault("queue", late.told, remedy, late.queue)
    trained = {project.key: project.trainings[-1].started_at for project in sight.projects if project.trainings}
    for job in sight.queue.given_up:
        if job.kind not in TRAININGS or trained.get(job.project, 0.0) < job.at:
            remedy = "mend what the worker's log says (often memory); prelabel doctor --fix queues it again"
            yield Fault("jobs", f"{job.kind} was given up: {job.why}", remedy, job.project)


def _version(project: ProjectSight, loaded: Loaded) -> Iterator[Fault]:
    failure = loaded.failures().get(project.key)
    if failure is not None:
        remedy = "do what it says; prelabel doctor tells more"
        yield Fault("version", f"{failure.version} cannot be loaded: {failure.why}", remedy, project.key)
    elif project.current and project.key not in {*loaded.ready(), *loaded.put_away(), *loaded.waiting()}:
        yield Fault("version", f"{project.current} is being loaded", "wait a few seconds", project.key)


def _disk(sight: Sight) -> Iterator[Fault]:
    if sight.disk.nearly_full:
        free = f"{sight.disk.free / 1e9:.1f} of {sight.disk.size / 1e9:.0f} GB are free"
        yield Fault("disk", f"the disk of the state folder is nearly full: {free}", "make room")


def _reconcile(project: ProjectSight, sight: Sight) -> Iterator[Fault]:
    last = project.row.reconciled_at
    late_s = age_s(last, sight.at)
    if last and late_s > RECONCILE_LATE_S:
        when = "lies ahead: the clock was set back" if lies_ahead(last, sight.at) else f"was {late_s / 60:.0f} min ago"
        remedy = "check that prelabel cron and a worker run; see prelabel doctor"
        yield Fault("reconcile", f"the last reconcile {when}", remedy, project.key)


def _calibration(project: ProjectSight) -> Iterator[Fault]:
    for band in project.bands:
        if band.under:
            agreed = f"{band.agreement.n_agreed} of {band.agreement.n} blind labels agree"
            what = f"at confidence {band.name} only {agreed}, {band.promised:.0%} were promised"
            remedy = "look at these tasks: either the labels or the texts have changed; then train again"
            yield Fault("calibration", what, remedy, project.key)

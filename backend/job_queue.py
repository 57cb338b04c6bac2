"""The queue: names, time-outs, coalescing. Decides when a job is worth queueing, not what it does.

A webhook storm becomes one waiting job: an event raises the dirty counter of (job, project) and queues only where
nothing waits yet. The job takes the mark away before it reads, so that an event during its run queues one more.
"""

import math
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import redis
import structlog
from redis.exceptions import LockError
from redis.lock import Lock
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from backend.core.clock import age_s
from backend.core.errors import QueueError
from backend.core.settings import Settings
from backend.logs import present_trace
from backend.roll_call import cron_seen_at, listeners

# `train` has a worker of its own; the others in falling priority, but after one of `live` one of `reconcile` has a turn
QUEUES = ("train", "live", "reconcile", "bulk")
JOBS = {  # function -> (queue, seconds it may take)
    "retrain": ("train", 1800),
    "retrain_due": ("train", 1800),
    "renew_cold": ("train", 1800),
    "follow": ("live", 300),
    "poll": ("live", 120),
    "refresh": ("reconcile", 300),
    "reconcile": ("reconcile", 600),
    "predict_project": ("bulk", 1800),
    "refine": ("bulk", 600),
    "give_reasons": ("bulk", 600),
    "auto_accept": ("bulk", 600),
    "mark": ("bulk", 600),
    "prune": ("bulk", 3600),
}
TRAININGS = ("retrain", "retrain_due", "renew_cold")
TRAINING_FAILED = "training-failed"  # a note: the next training would fail, too
GIVEN_UP = "given_up"  # in a job's meta: why nobody tries it again
LATE_S = {  # a job that waits longer waits for a worker that stands, or for more workers
    "train": 3600.0,  # others' trainings
    "live": 600.0,  # what runs makes way within seconds
    "reconcile": 900.0,
    "bulk": 7200.0,  # it comes last
}
CRON_SILENT_S = 60.0  # it ticks every 5 s
UNVOTED = "unvoted"  # tasks put aside: language models had no time for them
JOB_ID = re.compile(r"[A-Za-z0-9_-]+")  # RQ takes no other
MARK_TTL_S = 120  # a mark whose process died before it queued must not silence a project for longer
WAITING_TTL_S = 7200  # a job may wait as long as others run (JOBS); one that was lost must not silence it for ever
RESULT_TTL_S = 600
FAILURE_TTL_S = 7 * 24 * 3600
COUNT_TTL_S = 30 * 24 * 3600  # longer than any job is kept: a count from the start must name no job that is there
ASIDE_LIMIT = 100_000  # tasks put aside for a project: what came too late is predicted again by and by
NOTE_TTL_S = 24 * 3600
SCANNED = 1000  # names that Redis looks at in one step
FIGURES = "prelabel:figures"  # what workers count, by worker
CONNECT_TIMEOUT_S = 0.5  # a webhook has 1 s in all
WEBHOOK_ANSWER_S = 0.4
LEASE_S = 15.0
LEASE_WAIT_S = 20.0  # longer than a dead holder keeps it

log = structlog.get_logger()


def connect(settings: Settings, *, answer_within_s: float | None = None) -> redis.Redis:
    """A connection to the queue's Redis; nothing is sent yet. Workers wait for jobs without `answer_within_s`."""
    return redis.Redis.from_url(
        settings.redis_url.get_secret_value(),
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=answer_within_s,
        health_check_interval=30,
    )


def queue(connection: redis.Redis, name: str) -> Queue:
    """One of QUEUES, with the JSON serialiser: nothing that we load is a pickle."""
    return Queue(name, connection=connection, serializer=JSONSerializer)


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A job that nobody has begun."""

    id: str
    queue: str
    project: str  # key; empty for the cron's tick
    waits_s: float


@dataclass(frozen=True, slots=True)
class Late:
    """A queue whose jobs wait longer than LATE_S."""

    queue: str
    n: int
    oldest_s: float

    @property
    def told(self) -> str:
        waits = "1 job waits" if self.n == 1 else f"{self.n} jobs wait, the oldest"
        return f"{self.queue}: {waits} for {self.oldest_s / 60:.0f} min"


def late_of(waiting: Sequence[WaitingJob]) -> list[Late]:
    """The queues in which a job waits too long."""
    ages = {name: [job.waits_s for job in waiting if job.queue == name] for name in QUEUES}
    return [Late(name, len(each), max(each)) for name, each in ages.items() if max(each, default=0.0) > LATE_S[name]]


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A job that nobody tries again, because it ended its worker or did not end."""

    kind: str
    project: str  # key; empty for the cron's tick
    why: str
    at: float  # unix


@dataclass(frozen=True, slots=True)
class JobQueue:
    """Enqueues the jobs of backend.jobs by name. Every method raises QueueError where Redis does not answer."""

    connection: redis.Redis

    def enqueue(self, job: str, project_key: str) -> str:
        """Ask for one more run of a job; its id, or the id of the one that waits already.

        The job carries on the trace of who asks; who joins a waiting one finds its id in the log.

        Raises:
            QueueError: Redis did not answer.
        """
        name, timeout_s = JOBS[job]
        with _answering():
            number = self.connection.incr(_count(job, project_key))
            self.connection.expire(_count(job, project_key), COUNT_TTL_S)
            job_id = f"{job}-{project_key}-{number}"
            if not self.connection.set(_mark(job, project_key), job_id, nx=True, ex=MARK_TTL_S):
                waiting = self.connection.get(_mark(job, project_key))
                job_id = waiting.decode() if isinstance(waiting, bytes) else job_id
                log.info("job_joined", asked=job_id, project=project_key)
                return job_id
            meta = {"project": project_key, "trace": present_trace()}
            queue(self.connection, name).enqueue(
                f"backend.jobs.{job}", project_key, job_id=job_id, job_timeout=timeout_s,
                result_ttl=RESULT_TTL_S, failure_ttl=FAILURE_TTL_S, meta=meta,
            )  # fmt: skip
            self.connection.expire(_mark(job, project_key), WAITING_TTL_S)
        log.info("job_queued", asked=job_id, project=project_key)
        return job_id

    def begin(self, job: str, project_key: str) -> None:
        """Take the mark away: events from here on ask for another run."""
        with _answering():
            self.connection.delete(_mark(job, project_key))

    def waits(self, *names: str) -> bool:
        """Whether any of these queues holds a waiting job."""
        with _answering():
            return any(queue(self.connection, name).count for name in names)

    def counts(self) -> dict[tuple[str, str], int]:
        """Jobs by queue and state: waiting, running, failed (kept for a week)."""
        with _answering():
            found = {}
            for name in QUEUES:
                each = queue(self.connection, name)
                found[name, "waiting"] = each.count
                found[name, "running"] = each.started_job_registry.count
                found[name, "failed"] = each.failed_job_registry.count
        return found

    def waiting(self) -> list[WaitingJob]:
        """All jobs that wait; there are few, since a job waits once a project."""
        with _answering():
            now = datetime.now(UTC)
            return [
                WaitingJob(job.id, name, job.meta.get("project", ""), max((now - job.enqueued_at).total_seconds(), 0.0))
                for name in QUEUES
                for job in self._jobs(queue(self.connection, name))
                if job is not None and job.enqueued_at is not None
            ]

    def given_up(self) -> list[GivenUp]:
        """What was given up and neither asked for anew since, nor forgotten after a week."""
        with _answering():
            failed = [queue(self.connection, name).failed_job_registry for name in QUEUES]
            ids = [job_id for each in failed for job_id in each.get_job_ids(cleanup=False)]
            jobs = Job.fetch_many(ids, connection=self.connection, serializer=JSONSerializer)
            return [
                GivenUp(kind_of(job), str(next(iter(job.args), "")), job.meta[GIVEN_UP], job.ended_at.timestamp())
                for job in jobs
                if job is not None and job.ended_at is not None and GIVEN_UP in job.meta
            ]

    def cron_silent_s(self) -> float:
        """How long the cron process has said nothing; without end where there is none."""
        with _answering():
            seen_at = cron_seen_at(self.connection)
        return age_s(seen_at, time.time()) if seen_at else math.inf

    def _jobs(self, own: Queue) -> list[Job | None]:
        return list(Job.fetch_many(own.job_ids, connection=self.connection, serializer=JSONSerializer))

    def workers(self) -> dict[str, int]:
        """How many workers listen for each queue now; a killed one does not."""
        with _answering():
            present = listeners(self.connection)
        return {name: present[name] for name in QUEUES}

    def put_figures(self, worker: str, text: str) -> None:
        with _answering():
            self.connection.hset(FIGURES, worker, text)

    def figures(self) -> dict[str, str]:
        with _answering():
            return {_text(name): _text(text) for name, text in self.connection.hgetall(FIGURES).items()}

    def drop_figures(self, workers: Sequence[str]) -> None:
        if workers:
            with _answering():
                self.connection.hdel(FIGURES, *workers)

    def status(self, job_id: str) -> str:
        """RQ's word for a job's state; "unknown" where it is forgotten, or was never the id of one."""
        if not JOB_ID.fullmatch(job_id):
            return "unknown"
        try:
            with _answering():
                return str(Job.fetch(job_id, connection=self.connection, serializer=JSONSerializer).get_status().value)
        except NoSuchJobError:
            return "unknown"

    def note(self, what: str, project_key: str, text: str, *, keep_s: int = NOTE_TTL_S) -> None:
        """Keep a text that may be lost, for `keep_s` seconds."""
        with _answering():
            self.connection.set(_note(what, project_key), text, ex=keep_s)

    def noted(self, what: str, project_key: str) -> str:
        """The text that was kept last; empty where there is none."""
        with _answering():
            kept = self.connection.get(_note(what, project_key))
        return kept.decode() if isinstance(kept, bytes) else ""

    def put_aside(self, what: str, project_key: str, task_ids: Iterable[int]) -> None:
        """Keep tasks for a job to come; they may be lost."""
        with _answering():
            room = ASIDE_LIMIT - self.connection.scard(_aside(what, project_key))
            if ids := list(islice(task_ids, max(0, room))):
                self.connection.sadd(_aside(what, project_key), *ids)
                self.connection.expire(_aside(what, project_key), NOTE_TTL_S)

    def take(self, what: str, project_key: str, n: int) -> list[int]:
        """Up to n of the tasks that were put aside; they are nobody else's from here on."""
        with _answering():
            taken = self.connection.spop(_aside(what, project_key), n)
        return sorted(int(each) for each in taken or ())

    def forget(self, project_key: str) -> None:
        """Drop what is kept of a project: its notes, and the tasks that were put aside."""
        with _answering():
            patterns = (_note("*", project_key), _aside("*", project_key))
            found = [name for each in patterns for name in self.connection.scan_iter(match=each, count=SCANNED)]
            if found:
                self.connection.delete(*found)

    def leased(self, what: str, project_key: str) -> bool:
        """Whether somebody holds (what, project) now."""
        with _answering():
            return bool(self.connection.exists(_lease(what, project_key)))

    @contextmanager
    def lease(self, what: str, project_key: str, *, wait_s: float = LEASE_WAIT_S) -> Iterator[bool]:
        """One holder at a time of (what, project); false where another keeps it longer than `wait_s`.

        The holder renews it from a thread; a killed holder's lease ends by itself after LEASE_S.
        """
        lock = self.connection.lock(_lease(what, project_key), timeout=LEASE_S, thread_local=False)
        with _answering():
            held = lock.acquire(blocking=True, blocking_timeout=wait_s)
        done = threading.Event()
        renewer = threading.Thread(target=_renew, args=(lock, done), daemon=True)
        if held:
            renewer.start()
        try:
            yield bool(held)
        finally:
            done.set()
            if held:
                renewer.join()
                _release(lock)


def kind_of(job: Job) -> str:
    """The name of what a job runs, as in JOBS."""
    return str(job.func_name).rpartition(".")[2]


@contextmanager
def _answering() -> Iterator[None]:
    """Raises QueueError where Redis does not answer."""
    try:
        yield
    except redis.RedisError as err:
        raise QueueError("the queue must answer, but Redis did not; check that it runs and its password") from err


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _renew(lock: Lock, done: threading.Event) -> None:
    while not done.wait(LEASE_S / 3):
        try:
            lock.reacquire()
        except (redis.RedisError, LockError):
            continue


def _release(lock: Lock) -> None:
    with _answering(), suppress(LockError):  # it ran out, because Redis was away: then it is nobody's to release
        lock.release()


def _count(job: str, project_key: str) -> str:
    return f"prelabel:dirty:{job}:{project_key}"


def _lease(what: str, project_key: str) -> str:
    return f"prelabel:lease:{what}:{project_key}"


def _note(what: str, project_key: str) -> str:
    return f"prelabel:note:{what}:{project_key}"


def _aside(what: str, project_key: str) -> str:
    return f"prelabel:aside:{what}:{project_key}"


def _mark(job: str, project_key: str) -> str:
    return f"prelabel:waiting:{job}:{project_key}"

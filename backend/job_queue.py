"""The queue: names, time-outs, coalescing. Decides when a job is worth queueing, not what it does.

A webhook storm becomes one waiting job: an event raises the dirty counter of (job, project) and queues only where
nothing waits yet. The job takes the mark away before it reads, so that an event during its run queues one more.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from backend.core.errors import QueueError
from backend.core.settings import Settings

QUEUES = ("train", "live", "reconcile", "bulk")  # `train` has a worker of its own; the others in falling priority
JOBS = {  # function -> (queue, seconds it may take)
    "retrain": ("train", 1800),
    "follow": ("live", 300),
    "refresh": ("live", 300),
    "reconcile": ("reconcile", 600),
    "predict_project": ("bulk", 1800),
    "prune": ("bulk", 3600),
}
MARK_TTL_S = 120  # a mark whose process died before it queued must not silence a project for longer
RESULT_TTL_S = 600
CONNECT_TIMEOUT_S = 2.0


def connect(settings: Settings) -> redis.Redis:
    """A connection to the queue's Redis; nothing is sent yet."""
    url = settings.redis_url.get_secret_value()
    return redis.Redis.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S, health_check_interval=30)


def queue(connection: redis.Redis, name: str) -> Queue:
    """One of QUEUES, with the JSON serialiser: nothing that we load is a pickle."""
    return Queue(name, connection=connection, serializer=JSONSerializer)


@dataclass(frozen=True, slots=True)
class JobQueue:
    """Enqueues the jobs of backend.jobs by name."""

    connection: redis.Redis

    def enqueue(self, job: str, project_key: str) -> bool:
        """Ask for one more run of a job; false where one waits already.

        Raises:
            QueueError: Redis did not answer.
        """
        name, timeout_s = JOBS[job]
        try:
            number = self.connection.incr(f"prelabel:dirty:{job}:{project_key}")
            job_id = f"{job}-{project_key}-{number}"
            if not self.connection.set(_mark(job, project_key), job_id, nx=True, ex=MARK_TTL_S):
                return False
            queue(self.connection, name).enqueue(
                f"backend.jobs.{job}", project_key, job_id=job_id, job_timeout=timeout_s,
                result_ttl=RESULT_TTL_S, failure_ttl=7 * 24 * 3600, meta={"project": project_key},
            )  # fmt: skip
        except redis.RedisError as err:
            raise QueueError("the queue must answer, but Redis did not; check that it runs and its password") from err
        return True

    def begin(self, job: str, project_key: str) -> None:
        """Take the mark away: events from here on ask for another run."""
        self.connection.delete(_mark(job, project_key))

    def waits(self, *names: str) -> bool:
        """Whether any of these queues holds a waiting job."""
        return any(queue(self.connection, name).count for name in names)

    def running(self, job_id: str) -> bool:
        return bool(Job.exists(job_id, connection=self.connection, serializer=JSONSerializer))

    @contextmanager
    def lease(self, what: str, project_key: str, *, seconds: int) -> Iterator[bool]:
        """One holder at a time of (what, project); false where another one has it. Ends by itself when we die."""
        lock = self.connection.lock(f"prelabel:lease:{what}:{project_key}", timeout=seconds, blocking=False)
        held = lock.acquire()
        try:
            yield held
        finally:
            if held and lock.owned():
                lock.release()


def _mark(job: str, project_key: str) -> str:
    return f"prelabel:waiting:{job}:{project_key}"

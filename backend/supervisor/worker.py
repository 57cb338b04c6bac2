"""What a worker process and the cron process do around the jobs: names, crashes, the clock.

A job that a killed worker has left STARTED would stay so until its time-out; a worker of the same name takes it back.
Models hang in a forked child, so jobs run in the worker itself (SimpleWorker).

A worker that has done nothing for IDLE_S but look around begins anew, by exec, without the models and libraries that
it has loaded: the same process to whoever keeps it running, so that this is no death that is reported.

A job that stands in C, as in a regular expression, is reached by no signal: then the process ends, and whoever keeps
it running starts it again.
"""

import faulthandler
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any

import redis
from rq import Queue, SimpleWorker
from rq.cron import CronJob, CronScheduler
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import parse_composite_key

from backend.core.errors import BadInputError, QueueError
from backend.core.settings import Settings
from backend.core.weighing import resident
from backend.job_queue import GIVEN_UP, QUEUES, TRAINING_FAILED, TRAININGS, JobQueue, connect, kind_of, queue
from backend.roll_call import CRON_NAME, listens

RECONCILE = "backend.jobs.reconcile_all"
RECONCILE_ID = "reconcile-all"
TICK_S = 5  # a training that is due begins so soon; projects are reconciled every 30 s
RECONCILE_TIMEOUT_S = 600
INTERRUPTIONS_ALLOWED = 5  # a job that kills its worker each time must not do so for ever
INTERRUPTIONS_WITHIN_S = 6 * 3600  # restarts of a day or two are no such thing
INTERRUPTIONS = "interrupted_at"  # in a job's meta: when its worker ended, unix
STANDS_S = 20.0  # after its time-out, in which a job may clear up
STARTS_AGAIN_S = 120.0  # within which a worker that has ended by itself is back, also a container
NO_TRAINING_S = 3600  # after one was given up: the next would end its worker, too
ONE_NAME_WAIT_S = 5.0
IDLE_S = 300.0  # of a pause; after it the first label waits for 600 MB to be loaded again: some 5 s
LOOKS = frozenset({"reconcile_all", "reconcile", "poll"})  # jobs that come whether there is work or not
WORTH_BYTES = 50 * 1024 * 1024  # what a look leaves loaded where it was more than that
RECONNECT_WITHIN_S = 5.0
GIVES_WAY = 10  # nice value of a process that only trains: annotators are never kept waiting for the processor

log = logging.getLogger(__name__)


class Worker(SimpleWorker):  # type: ignore[misc]
    """RQ's worker without a fork, back soon after the queue was away."""

    max_connection_wait_time = RECONNECT_WITHIN_S
    is_idle: bool = False  # whether `work` ended because none but looks came for IDLE_S
    worked_at: float | None = None  # the end of the last job that was more than a look, by time.monotonic()

    @property
    def rests_s(self) -> float:
        """How long it may go on doing nothing, once it has something to give back."""
        return (self.worked_at or 0.0) + IDLE_S - time.monotonic()

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        """The next job; None, which ends `work`, where none but looks came for too long."""
        if self.worked_at is None:
            return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
        found = super().dequeue_job_and_maintain_ttl(timeout, ceil(self.rests_s)) if self.rests_s > 0 else None
        self.is_idle = found is None
        return found

    def reorder_queues(self, reference_queue: Queue) -> None:
        """After a job of the first queue the second comes before it, once: labels without end must not starve it.

        Else a steady annotator would keep away the tick by which trainings begin. What comes after the second waits for
        a pause in either: a turn of pruning takes seconds.
        """
        first, *others = self.queues
        turn = [*others[:1], first, *others[1:]]
        self._ordered_queues = turn if reference_queue == first else [first, *others]

    def perform_job(self, job: Job, own: Queue, execution: Execution) -> bool:
        """End the process where the job goes on after its time-out: a thread of C does so, whoever holds the GIL."""
        before = resident()
        faulthandler.dump_traceback_later((job.timeout or own.DEFAULT_TIMEOUT) + STANDS_S, exit=True)
        try:
            return bool(super().perform_job(job, own, execution))
        finally:
            faulthandler.cancel_dump_traceback_later()
            if kind_of(job) not in LOOKS or resident() - before > WORTH_BYTES:
                self.worked_at = time.monotonic()

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Without RQ's traceback, which may quote a task's text; see backend.loop.telling for the rest."""
        log.error("job %s failed: %s", job.id, exc_info[0].__name__)


def work(settings: Settings, queues: Sequence[str], name: str) -> None:
    """Run jobs until SIGTERM; the running job is finished first.

    Raises:
        BadInputError: no such queue, or a worker of this name runs already.
        QueueError: Redis does not answer.
    """
    unknown = [each for each in queues if each not in QUEUES]
    if unknown or not queues:
        raise BadInputError(f"queues must be some of {', '.join(QUEUES)}, were {', '.join(queues) or 'none'}")
    if set(queues) == {"train"}:
        nice = max(GIVES_WAY, os.getpriority(os.PRIO_PROCESS, 0))  # not more each time that it begins anew
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    connection = connect(settings)
    try:
        require_one_of_name(connection, name)
        connection.delete(Worker.redis_worker_namespace_prefix + name)  # of a predecessor that was killed
        own = [queue(connection, each) for each in queues]
        for taken in take_back(own, name):
            said = f"is given up: {taken.given_up}" if taken.given_up else "is queued again"
            log.warning("job %s was interrupted and %s", taken.job_id, said)
    except redis.RedisError as err:
        raise QueueError("the queue must answer, but Redis did not; check that it runs and its password") from err
    worker = Worker(
        own, name=name, connection=connection, serializer=JSONSerializer, log_job_description=False
    )  # a description holds the job's arguments
    worker.work(logging_level=settings.log_level)
    if worker.is_idle:
        log.info("worker %s gives its models back and begins anew", name)
        connection.close()
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606


def require_one_of_name(connection: redis.Redis, name: str) -> None:
    deadline = time.monotonic() + ONE_NAME_WAIT_S
    while listens(connection, name):
        if time.monotonic() > deadline:
            raise BadInputError(f"a worker's name must be its own, {name} runs already; choose another --name")
        time.sleep(0.2)


@dataclass(frozen=True, slots=True)
class Taken:
    """A job whose worker ended meanwhile."""

    job_id: str
    given_up: str = ""  # why it is not queued again; empty where it is


def take_back(queues: Sequence[Queue], name: str) -> list[Taken]:
    """Queue again, in front, what a worker of this name was doing when it was killed."""
    return [taken for each in queues for taken in (*take_back_started(each, name), *take_back_popped(each))]


def take_back_started(own: Queue, name: str) -> list[Taken]:
    registry = own.started_job_registry
    taken = []
    for entry in own.connection.zrange(registry.key, 0, -1):
        job_id, execution_id = parse_composite_key(entry.decode())
        job = own.fetch_job(job_id)
        if job is None or job.worker_name == name:
            with own.connection.pipeline() as pipeline:
                pipeline.zrem(registry.key, entry)
                pipeline.delete(f"rq:execution:{job_id}:{execution_id}", f"rq:executions:{job_id}")
                if job is not None:
                    taken.append(Taken(job_id, queue_again(own, job, pipeline)))
                pipeline.execute()
    return taken


def queue_again(own: Queue, job: Job, pipeline: "redis.client.Pipeline") -> str:
    """Queue a job in front, or give it up; why that is, and nothing where it is queued."""
    now = time.time()
    before = [at for at in job.meta.get(INTERRUPTIONS, []) if now - at < INTERRUPTIONS_WITHIN_S]
    job.meta[INTERRUPTIONS] = [*before, now]
    why = ""
    if stood(job, now):
        why = f"it did not end within its {job.timeout} s, nor when it was told to"
    elif len(before) >= INTERRUPTIONS_ALLOWED:
        why = f"its worker ended {len(before) + 1} times while it ran"
    if why:
        give_up(job, why, pipeline)
    else:
        own._enqueue_job(job, pipeline=pipeline, at_front=True)
    return why


def stood(job: Job, now: float) -> bool:
    """Whether a job's worker has ended because the job went on after its time-out, and not before it, or long since."""
    if job.started_at is None or not job.timeout:
        return False
    over_s: float = now - job.started_at.timestamp() - job.timeout
    return 0 < over_s < STANDS_S + STARTS_AGAIN_S


def give_up(job: Job, why: str, pipeline: "redis.client.Pipeline") -> None:
    """Leave a job failed, with a reason that doctor and /health tell."""
    job.meta[GIVEN_UP] = why
    job.ended_at = datetime.now(UTC)
    job.set_status(JobStatus.FAILED, pipeline=pipeline)
    job.save(pipeline=pipeline, include_meta=True)
    job.failed_job_registry.add(job, ttl=job.failure_ttl or -1, exc_string=why, pipeline=pipeline)
    if kind_of(job) in TRAININGS and job.args:
        JobQueue(job.connection).note(TRAINING_FAILED, str(job.args[0]), "WorkerEnded", keep_s=NO_TRAINING_S)


def take_back_popped(own: Queue) -> list[Taken]:
    """What was taken off the queue, but not yet begun, when the worker was killed."""
    between = own.intermediate_queue
    taken = []
    for job_id in between.get_job_ids():
        job = own.fetch_job(job_id)
        if job is not None and job.get_status() == JobStatus.QUEUED and job_id not in own.job_ids:
            own.push_job_id(job_id, at_front=True)
            taken.append(Taken(job_id))
        between.remove(job_id)
    return taken


class ReconcileJob(CronJob):  # type: ignore[misc]
    """RQ's cron entry, but with our serialiser, and not while the last one still waits or runs.

    One whose worker has gone for good, as a container that was removed, runs no more: nobody would take it back.
    """

    def enqueue(self, connection: redis.Redis) -> Job:
        own = queue(connection, self.queue_name)
        before = own.fetch_job(RECONCILE_ID)
        if before is not None and under_way(before):
            return before
        return own.enqueue(self.func_name, job_id=RECONCILE_ID, **self.job_options)


def under_way(job: Job) -> bool:
    """Whether a job waits, or a worker that is there runs it."""
    status = job.get_status()
    return status == JobStatus.QUEUED or (
        status == JobStatus.STARTED and listens(job.connection, job.worker_name or "")
    )


def keep_time(settings: Settings) -> None:
    """Enqueue the tick every TICK_S until SIGTERM.

    Raises:
        QueueError: Redis does not answer.
    """
    scheduler = CronScheduler(connect(settings), name=CRON_NAME)
    options = {"job_timeout": RECONCILE_TIMEOUT_S, "result_ttl": 60, "failure_ttl": 24 * 3600}
    scheduler.get_jobs().append(ReconcileJob("reconcile", func_name=RECONCILE, interval=TICK_S, **options))
    try:
        scheduler.start()
    except redis.RedisError as err:
        raise QueueError("the queue must answer, but Redis did not; check that it runs and its password") from err

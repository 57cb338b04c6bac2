"""Doctor on the queue: whether Redis answers and keeps what it is told, who works, and what went wrong there."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import redis
from rq.job import Job
from rq.serializers import JSONSerializer

from backend.connection.doctor.check import Check, Fault, Finding
from backend.connection.doctor.host import SKEW_S
from backend.core.settings import Settings
from backend.job_queue import CRON_SILENT_S, JOBS, QUEUES, kind_of, late_of, queue
from backend.job_queue import GIVEN_UP as GIVEN_UP_WHY
from backend.loop.desk import Desk
from backend.roll_call import listens

ANSWER_S = 2.0  # a Redis that hangs must not keep the others waiting
OVERDUE_S = 60.0  # a worker ends a job, or itself, in half of that
FAILED_WITHIN_S = 24 * 3600.0


def keep_on_disk(desk: Desk) -> str:
    desk.queue.connection.config_set("appendonly", "yes")
    return "appendonly is on"


def keep_all(desk: Desk) -> str:
    desk.queue.connection.config_set("maxmemory-policy", "noeviction")
    return "maxmemory-policy is noeviction"


def ask_again(desk: Desk) -> str:
    """Queue once more what failed, of projects that are still connected: each job is a plain, idempotent function."""
    failed, connected = list(_failed(desk)), desk.ledger.project_keys()
    for job in failed:
        kind, key = kind_of(job), str(next(iter(job.args), ""))
        job.failed_job_registry.remove(job, delete_job=True)
        if kind in JOBS and key in connected:  # the cron asks for its own by itself
            desk.queue.enqueue(kind, key)
    return f"{_counted(failed)}: queued again"


AWAY: Fault[Desk] = Fault(
    "Redis does not answer", "Redis does not answer ({problem})", "start it; check PRELABEL_REDIS_URL and its password"
)
OWN_VOLATILE: Fault[Desk] = Fault(
    "no append-only file, on prelabel's own Valkey", "what is queued is lost with a crash: no append-only file",
    "run: prelabel doctor --fix", keep_on_disk,
)  # fmt: skip
VOLATILE: Fault[Desk] = Fault(
    "no append-only file, on another's Redis", "what is queued is lost with a crash: no append-only file",
    "on that server: redis-cli CONFIG SET appendonly yes, and `appendonly yes` in its config file{forbidden}",
)  # fmt: skip
OWN_EVICTING: Fault[Desk] = Fault(
    "jobs may be evicted, on prelabel's own Valkey", "jobs vanish when memory is short: maxmemory-policy is {policy}",
    "run: prelabel doctor --fix", keep_all,
)  # fmt: skip
EVICTING: Fault[Desk] = Fault(
    "jobs may be evicted, on another's Redis", "jobs vanish when memory is short: maxmemory-policy is {policy}",
    "on that server: redis-cli CONFIG SET maxmemory-policy noeviction, and the same in its config file{forbidden}",
)  # fmt: skip
SKEWED: Fault[Desk] = Fault(
    "clocks apart", "this machine's clock is {seconds:.0f} s {way} Redis's",
    "let both machines follow a time server (timedatectl set-ntp true)",
)  # fmt: skip
NOBODY_WORKS: Fault[Desk] = Fault(
    "no worker", "no worker takes {queues}", "run: prelabel worker --queues {names}",
)  # fmt: skip
NO_CRON: Fault[Desk] = Fault(
    "the cron process is not running", "nothing is reconciled and no training starts: {since}", "run: prelabel cron"
)
LATE: Fault[Desk] = Fault(
    "jobs wait too long", "{waits}",
    "see the worker's log: it may stand, or have too much to do; more of them: prelabel worker --queues {names}",
)  # fmt: skip
STANDS: Fault[Desk] = Fault(
    "a worker stands", "{jobs}: its time is over, but the worker neither ends it nor itself",
    "kill that worker; whoever keeps it running starts it again: {names}",
)  # fmt: skip
GIVEN_UP: Fault[Desk] = Fault(
    "jobs were given up", "{jobs}: {why}",
    "mend what the worker's log says (often memory); prelabel doctor --fix queues them again", ask_again,
)  # fmt: skip
STUCK: Fault[Desk] = Fault(
    "jobs are stuck", "{jobs}: the worker that ran it is gone",
    "start the worker of that name again, which takes the job up: prelabel worker --name {names}",
)  # fmt: skip
FAILED: Fault[Desk] = Fault(
    "jobs failed in the last day", "{jobs} failed in the last day",
    "read why in the worker's log and mend it; prelabel doctor --fix queues them again", ask_again,
)  # fmt: skip


def answers(desk: Desk) -> Finding[Desk]:
    try:
        desk.queue.connection.ping()
    except redis.RedisError as err:
        return AWAY.seen(problem=type(err).__name__)
    return Finding("Redis answers")


def persistence(desk: Desk) -> Finding[Desk]:
    """By INFO, which also those servers answer that forbid CONFIG."""
    client = desk.queue.connection
    known = _info(client, "persistence")
    if not known:
        return Finding("not to be seen: this Redis user may not ask INFO; have appendonly yes confirmed")
    if not int(known.get("aof_enabled", 0)):
        return OWN_VOLATILE.seen() if is_own(desk.settings, client) else VOLATILE.seen(forbidden=_forbidden(client))
    return Finding("an append-only file is kept")


def eviction(desk: Desk) -> Finding[Desk]:
    client = desk.queue.connection
    policy = _info(client, "memory").get("maxmemory_policy", "")
    if not policy:
        return Finding("not to be seen: this Redis user may not ask INFO; have noeviction confirmed")
    if policy != "noeviction":
        own = is_own(desk.settings, client)
        return OWN_EVICTING.seen(policy=policy) if own else EVICTING.seen(policy=policy, forbidden=_forbidden(client))
    return Finding("no job is ever evicted")


def clock(desk: Desk) -> Finding[Desk]:
    asked = time.time()
    seconds, microseconds = desk.queue.connection.time()
    ahead = (asked + time.time()) / 2 - (seconds + microseconds / 1e6)
    if abs(ahead) > SKEW_S:
        return SKEWED.seen(seconds=abs(ahead), way="ahead of" if ahead > 0 else "behind")
    return Finding("goes with Redis's")


def workers(desk: Desk) -> Finding[Desk]:
    """Those that listen now: a killed one stays registered for minutes."""
    idle = [name for name, n in desk.queue.workers().items() if not n]
    if idle:
        return NOBODY_WORKS.seen(queues=", ".join(idle), names=",".join(idle))
    return Finding(f"workers take {', '.join(QUEUES)}")


def cron(desk: Desk) -> Finding[Desk]:
    silent_s = desk.queue.cron_silent_s()
    if silent_s > CRON_SILENT_S:
        known = math.isfinite(silent_s)
        return NO_CRON.seen(since=f"no cron process for {silent_s:.0f} s" if known else "there is no cron process")
    return Finding("keeps time")


def jobs(desk: Desk) -> Finding[Desk]:
    client = desk.queue.connection
    left = [job for job in _of(desk, "started_job_registry") if not listens(client, str(job.worker_name))]
    if left:
        names = " / ".join(sorted({str(job.worker_name) for job in left}))
        return STUCK.seen(jobs=_counted(left), names=names)
    standing = [job for job in _of(desk, "started_job_registry") if _overdue(job)]
    if standing:
        return STANDS.seen(jobs=_counted(standing), names=", ".join(sorted({str(job.worker_name) for job in standing})))
    given_up = [job for job in _failed(desk) if GIVEN_UP_WHY in job.meta]
    if given_up:
        reasons = dict.fromkeys(str(job.meta[GIVEN_UP_WHY]) for job in given_up)
        return GIVEN_UP.seen(jobs=_counted(given_up), why="; ".join(reasons))
    return Finding("none is stuck, none was given up")


def failed_jobs(desk: Desk) -> Finding[Desk]:
    failed = [job for job in _failed(desk) if GIVEN_UP_WHY not in job.meta]
    return FAILED.seen(jobs=_counted(failed)) if failed else Finding("none failed in the last day")


def backlog(desk: Desk) -> Finding[Desk]:
    late = late_of(desk.queue.waiting())
    if late:
        waits = "; ".join(each.told for each in late)
        return LATE.seen(waits=waits, names=",".join(each.queue for each in late))
    return Finding("no job waits for long")


def is_own(settings: Settings, client: redis.Redis) -> bool:
    """Whether `prelabel up` started this server for this state folder."""
    return Path(str(_info(client, "server").get("config_file", ""))) == settings.queue_config.absolute()


def _info(client: redis.Redis, section: str) -> dict[str, str]:
    """Empty where the user may not ask."""
    try:
        found: dict[str, str] = client.info(section)
    except redis.exceptions.ResponseError:
        return {}
    return found


def _forbidden(client: redis.Redis) -> str:
    try:
        client.config_get("appendonly")
    except redis.exceptions.ResponseError:
        return "; CONFIG is forbidden to prelabel's user: ask who runs that server"
    return ""


def _of(desk: Desk, registry: str) -> Iterator[Job]:
    for name in QUEUES:
        ids = getattr(queue(desk.queue.connection, name), registry).get_job_ids(cleanup=False)
        found = Job.fetch_many(ids, connection=desk.queue.connection, serializer=JSONSerializer)
        yield from (job for job in found if job is not None)


def _failed(desk: Desk) -> Iterator[Job]:
    for job in _of(desk, "failed_job_registry"):
        if job.ended_at is None or time.time() - job.ended_at.timestamp() < FAILED_WITHIN_S:
            yield job


def _overdue(job: Job) -> bool:
    over_s = time.time() - job.started_at.timestamp() if job.started_at else 0.0
    return over_s > (job.timeout or over_s) + OVERDUE_S


def _counted(found: list[Job]) -> str:
    return ", ".join(f"{n} x {kind}" for kind, n in sorted(Counter(map(kind_of, found)).items()))


CHECKS: tuple[Check[Desk], ...] = (
    Check("queue", answers, (AWAY,)),
    Check("queue on disk", persistence, (OWN_VOLATILE, VOLATILE), needs=("queue",)),
    Check("queue in memory", eviction, (OWN_EVICTING, EVICTING), needs=("queue",)),
    Check("queue's clock", clock, (SKEWED,), needs=("queue",)),
    Check("workers", workers, (NOBODY_WORKS,), needs=("queue",)),
    Check("cron", cron, (NO_CRON,), needs=("queue",)),
    Check("jobs", jobs, (STUCK, STANDS, GIVEN_UP), needs=("queue",)),
    Check("failed jobs", failed_jobs, (FAILED,), needs=("queue",)),
    Check("waiting", backlog, (LATE,), needs=("queue",)),
)
GLANCED = ("queue", "workers", "cron", "jobs", "waiting")  # by `prelabel status`: what keeps all projects waiting

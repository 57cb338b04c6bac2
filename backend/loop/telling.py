"""What a job tells of itself: lines in the log under the trace of who asked for it, and its time and outcome."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from rq import get_current_job

from backend.logs import new_trace, told
from backend.loop.desk import Desk
from backend.telemetry.published import publish

QUIET = {"reconcile_all", "poll"}  # they run every few seconds: their lines are for debugging, unless they fail

log = structlog.get_logger()


@contextmanager
def telling(desk: Desk, name: str, project: str) -> Iterator[None]:
    """Log a job's begin and end, count it, and leave this worker's figures for the web process."""
    job = get_current_job()
    trace = new_trace(str(job.meta.get("trace", "")) if job else "")
    with structlog.contextvars.bound_contextvars(trace=trace, job=job.id if job else name, project=project):
        say = log.debug if name in QUIET else log.info
        say("job_started")
        started = time.monotonic()
        try:
            yield
        except Exception as err:
            seconds = _counted(desk, name, "failed", started)
            log.error("job_ended", outcome="failed", seconds=seconds, **told(err))
            raise
        else:
            say("job_ended", outcome="done", seconds=_counted(desk, name, "done", started))
        finally:
            if job is not None and job.worker_name:
                publish(desk.queue, job.worker_name, desk.telemetry.registry)


def _counted(desk: Desk, name: str, outcome: str, started: float) -> float:
    seconds = time.monotonic() - started
    desk.telemetry.jobs.labels(name, outcome).observe(seconds)
    return round(seconds, 3)

"""Polling for push-only projects, whose Label Studio may not call out and therefore sends no webhook.

One small request says whether anything moved; only then is anything read, by the same jobs that a webhook asks for.
What the last poll saw lies in Redis: were it lost, the project would be followed once for nothing.
"""

import json
import time
from dataclasses import asdict, dataclass, replace

from backend.core.clock import age_s
from backend.core.projects import ProjectKey
from backend.job_queue import JobQueue
from backend.labelstudio.records import Pulse
from backend.ledger import ProjectRow
from backend.loop.desk import Desk

ACTIVE_S = 4.0  # between two polls while somebody works; less than the cron's tick, so that each tick polls
IDLE_S = 30.0  # and where nothing has moved for a while
ACTIVE_FOR_S = 600.0  # after the last movement


@dataclass(frozen=True, slots=True)
class LastPoll:
    """What a poll saw, and when (unix)."""

    pulse: Pulse
    at: float  # of the last try
    moved_at: float  # when the pulse was last another one
    asked_at: float  # when the project was last given to be followed

    @property
    def active(self) -> bool:
        return self.at - self.moved_at < ACTIVE_FOR_S

    @property
    def pause_s(self) -> float:
        """How long to wait before the next poll."""
        return ACTIVE_S if self.active else IDLE_S

    def is_old(self, now: float) -> bool:
        """Whether it is time to poll again."""
        return age_s(self.at, now) >= self.pause_s


def poll(desk: Desk, key: str) -> bool:
    """Ask once whether a project moved, and have it followed where it did; whether it was.

    Raises:
        LabelStudioError: Label Studio did not answer; it is asked less often then.
    """
    row = desk.ledger.project(key)
    if row is None or not row.push_only:  # disconnected meanwhile
        return False
    last, now = last_poll(desk.queue, key), time.time()
    if last is not None:
        _keep(desk.queue, key, replace(last, at=now, moved_at=0.0))  # stands where no answer comes
    pulse = desk.client.pulse(ProjectKey.parse(key).id)
    moved = last is None or pulse != last.pulse
    asks = moved or last is None or (pulse.newest > row.watermark and age_s(last.asked_at, now) >= IDLE_S)
    seen = LastPoll(
        pulse,
        at=now,
        moved_at=now if moved or last is None else last.moved_at,
        asked_at=now if asks or last is None else last.asked_at,
    )
    _keep(desk.queue, key, seen)
    if asks:
        desk.queue.enqueue("reconcile" if _fewer_tasks(desk, row, pulse) else "follow", key)
    return asks


def last_poll(queue: JobQueue, key: str) -> LastPoll | None:
    """None where nobody has polled for a day."""
    kept = queue.noted("poll", key)
    if not kept:
        return None
    raw = json.loads(kept)
    return LastPoll(Pulse(**raw.pop("pulse")), **raw)


def _keep(queue: JobQueue, key: str, seen: LastPoll) -> None:
    queue.note("poll", key, json.dumps(asdict(seen)))


def _fewer_tasks(desk: Desk, row: ProjectRow, pulse: Pulse) -> bool:
    """Whether tasks vanished, which reconcile sees by the counters; they grow here, so that no loss is missed."""
    counters = dict(row.counters or {})
    known = int(counters.get("task_number", 0))
    if pulse.n_tasks > known:
        desk.ledger.update_project(row.key, counters={**counters, "task_number": pulse.n_tasks})
    return pulse.n_tasks < known

"""Times of a project that lie ahead, because a clock was set back: found, said, and set right.

A project's own times are compared with this machine's clock, its watermark with Label Studio's.
"""

import time
from datetime import UTC, datetime

import structlog

from backend.core.clock import lies_ahead
from backend.ledger import ProjectRow
from backend.loop.desk import Desk, ProjectDesk

TIMES = ("changed_at", "due_at", "trained_at", "webhook_at", "reconciled_at")
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"  # the only spelling of a time that Label Studio's filters take

log = structlog.get_logger()


def times_ahead(row: ProjectRow, now: float) -> tuple[str, ...]:
    """The times of a project that lie ahead, by their names."""
    return tuple(name for name in TIMES if lies_ahead(getattr(row, name), now))


def set_right(desk: Desk, row: ProjectRow, now: float) -> ProjectRow:
    """The project's row without times that lie ahead: what they stand for happened now."""
    ahead = times_ahead(row, now)
    if not ahead:
        return row
    log.warning("clock_was_set_back", project=row.key, times=ahead)
    anew = {name: 0.0 if name == "reconciled_at" else now for name in ahead}  # reconciled at once
    desk.ledger.update_project(row.key, **anew)
    return desk.ledger.project(row.key) or row


def watermark_lies_ahead(work: ProjectDesk) -> bool:
    """Whether changes may be missed, because a project was read up to a time that is yet to come."""
    return capped(work, work.row.watermark) != work.row.watermark


def capped(work: ProjectDesk, watermark: str) -> str:
    """A watermark, or Label Studio's present time where that is earlier.

    Label Studio's clock is asked only where ours says that the watermark lies ahead.
    """
    if not watermark or not lies_ahead(_unix(watermark), time.time()):
        return watermark
    present = work.desk.client.clock()
    return watermark_of(present) if lies_ahead(_unix(watermark), present.timestamp()) else watermark


def watermark_of(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(TIME)


def _unix(watermark: str) -> float:
    return datetime.strptime(watermark, TIME).replace(tzinfo=UTC).timestamp()

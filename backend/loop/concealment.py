"""Reasons and percents taken off tasks, so that none stands beside a tick that it does not belong to.

Label Studio stores what a task shows apart from its prediction. So where a tick changes, or comes,
its reason and percents go first and come back after it: between the two the page shows less, and
nothing that is not so. Taken off in bulk: 200 tasks in 0.2 s, of which nobody's page is reloaded.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

import structlog

from backend.core.errors import LabelStudioError
from backend.labelstudio.filters import holding, open_tasks, telling_percents
from backend.labelstudio.records import Json, Task
from backend.labelstudio.schema import TOP_KEY
from backend.labelstudio.wire import shown_data, tells
from backend.loop.desk import ProjectDesk
from backend.loop.pacing import BULK, Pace

READ_S = 0.3  # in which Label Studio has read what it was just asked for: data first, then ticks
READINGS = 3  # as long as so many take, where it is busy

log = structlog.get_logger()


def conceal(work: ProjectDesk, task_ids: Sequence[int]) -> None:
    """Take reason and percents off tasks; all labels stay, in the order of the label config."""
    for some in Pace(BULK).pieces(task_ids):
        for key, value in shown_data(None, work.control).items():
            work.desk.client.set_data(work.id, some, key, value)
    if task_ids:
        _let_read(work, task_ids[-1])


def _let_read(work: ProjectDesk, task_id: int) -> None:
    """Wait until who asked for a task before now has all of it."""
    begun = time.monotonic()
    with suppress(LabelStudioError):  # it may be gone
        work.desk.client.task(task_id)
    time.sleep(max(READ_S, READINGS * (time.monotonic() - begun)))


def conceal_open(work: ProjectDesk, *filters: Json) -> int:
    """Take reason and percents off all open tasks that the filters leave; from how many."""
    found = {task.id for task in _telling(work, filters)}
    conceal(work, sorted(found))
    if found:
        log.info("concealed", project=work.key, n_tasks=len(found))
    return len(found)


def _telling(work: ProjectDesk, filters: Sequence[Json]) -> Iterator[Task]:
    """Open tasks with a reason or percents. A key that no task holds is no column to filter by."""
    for key in shown_data(None, work.control):
        told = telling_percents(key) if key == TOP_KEY else holding(key)
        narrowed = [open_tasks(), *filters, told]
        listed = work.desk.client.tasks(work.id, filters=narrowed, all_fields=False)
        yield from (task for task in list(listed) if tells(task.data))

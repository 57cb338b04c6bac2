"""Marks in the data of tasks, by which the Data Manager's tabs filter: blind tasks, and ticks that people changed.

What is marked follows from the ledger. Marks are written where nobody waits for them, few at a time.
"""

from collections.abc import Mapping
from itertools import chain

from backend.core.errors import LabelStudioError
from backend.core.projects import is_blind
from backend.labelstudio.filters import holding
from backend.labelstudio.schema import BLIND_KEY, CHANGED_KEY
from backend.loop.desk import ProjectDesk
from backend.loop.tabs import make_tabs

BLIND = "blind"  # what stands under BLIND_KEY
WRITES = 50  # of one job, some 80 ms each: labels wait to be followed meanwhile
GONE = 404


def mark(work: ProjectDesk) -> bool:
    """Bring the marks up to date, and add the tabs that there is something for; False where more is left."""
    wanted = {BLIND_KEY: blind_marks(work), CHANGED_KEY: changed_marks(work)}
    moved = [
        (key, task_id, marks.get(task_id)) for key, marks in wanted.items() for task_id in _moved(work, key, marks)
    ]
    for key, task_id, value in moved[:WRITES]:
        _write(work, task_id, key, value)
    if len(moved) > WRITES:
        return False
    make_tabs(work)
    return True


def blind_marks(work: ProjectDesk) -> dict[int, str]:
    """The tasks that are labelled without a tick."""
    share = work.settings.blind_share
    tasks = work.desk.ledger.blind_tasks(work.key)
    return {task_id: BLIND for task_id in tasks if is_blind(work.key, task_id, share)}


def changed_marks(work: ProjectDesk) -> dict[int, str]:
    """The tick that somebody saw and changed, by task."""
    return {
        row.task_id: row.shown_label
        for row in work.desk.ledger.accepted(work.key)
        if row.how == "seen" and row.shown_label and row.label not in ("", row.shown_label)
    }


def _moved(work: ProjectDesk, key: str, wanted: Mapping[int, str]) -> list[int]:
    """The tasks whose mark is missing, reads otherwise, or stands for nothing any more."""
    pages = work.desk.client.pages_above(work.id, 0, include="id,data", filters=[holding(key)])
    marked = {task["id"]: task["data"].get(key) for task in chain.from_iterable(pages)}
    return sorted(task_id for task_id in {**wanted, **marked} if wanted.get(task_id) != marked.get(task_id))


def _write(work: ProjectDesk, task_id: int, key: str, value: str | None) -> None:
    """Write a mark over the data as it is now; a task that is gone has none."""
    try:
        data = work.desk.client.task(task_id).data
        rest = {name: held for name, held in data.items() if name != key}
        work.desk.client.patch_task(task_id, rest if value is None else {**rest, key: value})
    except LabelStudioError as err:
        if err.status != GONE:
            raise

"""Marks in the data of tasks, by which the Data Manager's tabs filter: blind tasks, and ticks that people changed.

What is marked follows from the ledger. Marks are written where nobody waits for them, few at a time; after the first
time only tasks are looked at of which the ledger tells something new, and once a day all of them.
"""

import json
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain

from backend.core.clock import age_s
from backend.core.errors import LabelStudioError
from backend.core.projects import is_blind
from backend.labelstudio.filters import holding
from backend.labelstudio.schema import BLIND_KEY, CHANGED_KEY
from backend.loop.desk import ProjectDesk
from backend.loop.tabs import make_tabs

BLIND = "blind"  # what stands under BLIND_KEY
KEYS = (BLIND_KEY, CHANGED_KEY)
WRITES = 50  # under one lease, some 80 ms each: labels wait to be followed meanwhile
BUSY_S = 5.0  # for who follows labels
FEW = 10  # tasks that are read one by one; of more, all that are marked are listed
MARKED = "marked"  # the note of how far the marks follow the ledger
ALL_AGAIN_S = 24 * 3600.0  # people overwrite data, and Redis may lose what it holds

Marks = Mapping[str, str | None]  # by key, of one task


@dataclass(frozen=True, slots=True)
class Marked:
    """How far the marks follow the ledger."""

    shown: int  # the ledger's newest rows that were looked at
    accepted: int
    blind_share: float
    all_at: float  # unix; when all tasks were looked at


def mark(work: ProjectDesk) -> bool:
    """Bring the marks up to date, and add the tabs that there is something for.

    False where others wait and more is left.
    """
    last = _last(work)
    after = (last.shown, last.accepted) if last else (0, 0)
    touched, newest = work.desk.ledger.touched(work.key, after=after)
    moved = _moved(work, touched if last else None)
    for start in range(0, len(moved), WRITES):
        with work.desk.lease("labels", work.key, wait_s=BUSY_S) as held:  # nobody else writes the data
            if not held:
                return False
            for task_id, marks in moved[start : start + WRITES]:
                _write(work, task_id, marks)
        if start + WRITES < len(moved) and work.desk.queue.waits("live", "reconcile"):
            return False
    if moved or last is None:
        make_tabs(work)
    all_at = last.all_at if last else time.time()
    _note(work, Marked(*newest, work.settings.blind_share, all_at))
    return True


def _last(work: ProjectDesk) -> Marked | None:
    """How far an earlier run came; None where all tasks have to be looked at."""
    noted = work.desk.queue.noted(MARKED, work.key)
    last = Marked(**json.loads(noted)) if noted else None
    if last is None or last.blind_share != work.settings.blind_share:
        return None
    return last if age_s(last.all_at, time.time()) < ALL_AGAIN_S else None


def _note(work: ProjectDesk, marked: Marked) -> None:
    work.desk.queue.note(MARKED, work.key, json.dumps(asdict(marked)))


def _moved(work: ProjectDesk, touched: Collection[int] | None) -> list[tuple[int, Marks]]:
    """Tasks whose marks are missing, read otherwise, or stand for nothing any more, with what they should be.

    Args:
        touched: the tasks to look at; None for all.
    """
    if touched is not None and not touched:
        return []
    blind, changed = blind_marks(work, touched), changed_marks(work, touched)
    if touched is not None and len(touched) <= FEW:
        standing = {task_id: _standing(data) for task_id, data in _data_of(work, touched)}
        looked_at: Collection[int] = standing
    else:
        standing = _all_standing(work)
        looked_at = {*blind, *changed, *standing} if touched is None else touched
    wanted = {task_id: {BLIND_KEY: blind.get(task_id), CHANGED_KEY: changed.get(task_id)} for task_id in looked_at}
    nothing = dict.fromkeys(KEYS)
    return [
        (task_id, wanted[task_id]) for task_id in sorted(wanted) if wanted[task_id] != standing.get(task_id, nothing)
    ]


def blind_marks(work: ProjectDesk, task_ids: Collection[int] | None = None) -> dict[int, str]:
    """The tasks that are labelled without a tick."""
    share = work.settings.blind_share
    tasks = work.desk.ledger.blind_tasks(work.key, task_ids)
    return {task_id: BLIND for task_id in tasks if is_blind(work.key, task_id, share)}


def changed_marks(work: ProjectDesk, task_ids: Collection[int] | None = None) -> dict[int, str]:
    """The tick that somebody saw and changed, by task."""
    return {
        row.task_id: row.shown_label
        for row in work.desk.ledger.accepted(work.key, task_ids)
        if row.how == "seen" and row.shown_label and row.label not in ("", row.shown_label)
    }


def _standing(data: Mapping[str, object]) -> dict[str, object]:
    return {key: data.get(key) for key in KEYS}


def _data_of(work: ProjectDesk, task_ids: Collection[int]) -> Iterator[tuple[int, Mapping[str, object]]]:
    """The data of tasks that are there."""
    for task_id in task_ids:
        try:
            yield task_id, work.desk.client.task(task_id).data
        except LabelStudioError as err:
            if not err.gone:
                raise


def _all_standing(work: ProjectDesk) -> dict[int, dict[str, object]]:
    """The marks of all tasks that have any."""
    pages = (work.desk.client.pages_above(work.id, 0, include="id,data", filters=[holding(key)]) for key in KEYS)
    tasks = chain.from_iterable(chain.from_iterable(pages))
    return {task["id"]: _standing(task["data"]) for task in tasks}


def _write(work: ProjectDesk, task_id: int, marks: Marks) -> None:
    """Write marks over the data as it is now; a task that is gone has none."""
    for _, data in _data_of(work, [task_id]):
        rest = {name: held for name, held in data.items() if name not in KEYS}
        kept = {key: value for key, value in marks.items() if value is not None}
        try:
            work.desk.client.patch_task(task_id, {**rest, **kept})
        except LabelStudioError as err:
            if not err.gone:
                raise

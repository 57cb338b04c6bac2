"""What changed in Label Studio since a project was last read: tasks that people labelled, freed, imported.

Label Studio says of a task only that it changed. Deleting an old prediction changes it, too, so that after pruning
thousands have changed of which nobody said anything; these are sorted out before they are read whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.labelstudio.filters import created_after, labelled, newer_than, skipped, unlabelled
from backend.labelstudio.records import Json, Task
from backend.loop.clocks import TIME
from backend.loop.desk import ProjectDesk
from backend.loop.edited import edited

OVERLAP = timedelta(seconds=2)  # a transaction may become visible later than one that began after it
MANY = 300  # changed tasks; up to here they are read whole, at 3 ms each, without a look before


@dataclass(frozen=True, slots=True)
class Changes:
    """Tasks that tell something, oldest change first; many new ones at once are without their predictions."""

    tasks: list[Task]
    watermark: str  # updated_at of the last change that was seen


def changes(work: ProjectDesk) -> Changes:
    """What changed since the project's watermark; everything where it has none."""
    client, since = work.desk.client, work.row.watermark
    newer = [newer_than(_earlier(since))] if since else []
    if not since or client.count(work.id, newer) <= MANY:
        tasks = list(client.tasks(work.id, filters=newer, ordering="tasks:updated_at"))
        return Changes(tasks, max((task.updated_at for task in tasks), default=since))
    seen = list(client.tasks(work.id, filters=newer, all_fields=False))
    telling = {task.id: task for task in _telling(work, newer, seen)}
    tasks = sorted(telling.values(), key=lambda task: task.updated_at)
    return Changes(tasks, max((task.updated_at for task in seen), default=since))


def _telling(work: ProjectDesk, newer: list[Json], seen: list[Task]) -> Iterator[Task]:
    """Changed tasks that are new or edited, carry an annotation or a skip, or carried a label before."""
    client, since = work.desk.client, work.row.watermark
    new = [task for task in seen if task.unlabelled and task.created_at > since]
    yield from new if len(new) > MANY else client.tasks(work.id, filters=[*newer, unlabelled(), created_after(since)])
    yield from client.tasks(work.id, filters=[*newer, labelled()])
    yield from client.tasks(work.id, filters=[*newer, unlabelled(), skipped()])
    for task in edited(work, [task for task in seen if task.open and task.unlabelled]):
        yield client.task(task.id)
    known = {row.task_id for row in work.desk.ledger.index_rows(work.key) if row.label}
    for task in seen:
        if task.unlabelled and task.id in known:
            yield client.task(task.id)


def _earlier(watermark: str) -> str:
    return (datetime.strptime(watermark, TIME) - OVERLAP).strftime(TIME)

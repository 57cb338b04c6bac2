"""Tasks that one person has labelled and another one still will: they see the shown version, too.

Label Studio's bulk accept makes an annotation of each prediction from which none was made, and so a
second one for whoever has labelled such a task. Therefore the prediction that is there moves on to
the new version: it is shown to whoever labels the task next, and is accepted for nobody again.
"""

from collections.abc import Sequence

from backend.core.artefacts import OWN_PREFIX
from backend.labelstudio.filters import (
    having_version,
    id_above,
    labelled,
    lacking_version,
    open_tasks,
)
from backend.labelstudio.records import Task
from backend.loop.desk import ProjectDesk
from backend.loop.push import in_front, show_stored
from backend.loop.replacements import add_blind, present_tasks, refresh_tasks

CARRIED = "carried"  # the note of how far a version was carried
BUSY_S = 5.0  # for who follows labels, and writes the same tasks
TASKS_AT_ONCE = 50  # written one by one, 60 ms each, between two looks at the queue


def carry_over(work: ProjectDesk) -> bool:
    """Move such tasks' predictions on to the version that serves; false where others wait and more is left.

    Nobody else writes the tasks meanwhile: whoever follows labels waits for a piece at most. The
    next run goes on where this one made way.
    """
    served = work.served()
    if served is None:
        return True
    lacking = [lacking_version(served.version), having_version(OWN_PREFIX)]
    wanted = [open_tasks(), labelled(), *lacking]
    above = _carried_to(work, served.version)
    tasks_of = work.desk.client.tasks
    while tasks := list(tasks_of(work.id, filters=[*wanted, id_above(above)], limit=TASKS_AT_ONCE)):
        with work.desk.lease("labels", work.key, wait_s=BUSY_S) as held:
            if not held:
                return False
            entered = _entered(work, present_tasks(work, [task.id for task in tasks]))
            refresh_tasks(work, served, entered)
            add_blind(work, served, entered)
        above = tasks[-1].id
        _note_carried(work, served.version, above)
        if work.desk.queue.waits(*in_front(work)):
            return False
    if above:
        _note_carried(work, served.version, 0)  # those that came later are looked at next time
        return show_stored(work, served.version)
    return True


def _carried_to(work: ProjectDesk, version: str) -> int:
    """The id of the last task that an unfinished run looked at; 0 where none was broken off."""
    noted, _, above = work.desk.queue.noted(CARRIED, work.key).partition(" ")
    return int(above) if noted == version else 0


def _note_carried(work: ProjectDesk, version: str, above: int) -> None:
    work.desk.queue.note(CARRIED, work.key, f"{version} {above}")


def _entered(work: ProjectDesk, tasks: Sequence[Task]) -> list[Task]:
    """Tasks whose annotations the ledger holds beside what was shown then; the others come later."""
    states = {task.id: {(item.id, item.updated_at) for item in task.annotations} for task in tasks}
    annotation_ids = [annotation_id for state in states.values() for annotation_id, _ in state]
    known = work.desk.ledger.known_states(work.key, annotation_ids)
    return [task for task in tasks if states[task.id] <= known]

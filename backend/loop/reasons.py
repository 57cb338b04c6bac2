"""Reasons and percents for tasks beyond the head of the label stream, in the order of showing.

Some people open tasks elsewhere, and where several work Label Studio shows tasks at random.
"""

import structlog

from backend.labelstudio.filters import having_version, open_tasks
from backend.labelstudio.wire import tells, text_of
from backend.loop.deciding import kept_blind
from backend.loop.desk import ProjectDesk
from backend.loop.replacements import explain_tasks, present_tasks
from backend.serving import Served

N_EXPLAINED = 2000  # tasks from the head on that have reasons; each write costs 60 ms
AT_ONCE = 16  # written between two looks at the queue, a second
BUSY_S = 5.0  # for who follows labels

log = structlog.get_logger()


def give(work: ProjectDesk) -> bool:
    """Give them; false where others wait and more is left.

    While a version is being pushed nothing is done: it is shown without any, and gets them then.
    """
    served = work.served()
    if served is None or work.project.model_version != served.version:
        return True
    amiss = _amiss(work, served)
    for start in range(0, len(amiss), AT_ONCE):
        with work.desk.lease("labels", work.key, wait_s=BUSY_S) as held:
            if not held:
                return False
            if not work.shows(served.version):
                return True
            explain_tasks(work, served, present_tasks(work, amiss[start : start + AT_ONCE]))
        if work.desk.queue.waits("live", "reconcile"):
            return False
    return True


def _amiss(work: ProjectDesk, served: Served) -> list[int]:
    """Tasks without reason and percents, and blind ones that have any."""
    wanted = [open_tasks(), having_version(served.version)]
    listed = work.desk.client.tasks(
        work.id,
        filters=wanted,
        ordering="tasks:predictions_score",
        limit=N_EXPLAINED,
        all_fields=False,
    )
    return [
        task.id for task in listed if tells(task.data) == kept_blind(work, task.id) and text_of(task.data, work.control)
    ]

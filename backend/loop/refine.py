"""Votes that come later: tasks whose answer had no time for them get theirs, and what is better is pushed."""

from collections.abc import Sequence

import structlog

from backend.core.projects import is_blind
from backend.core.types import Decision
from backend.job_queue import UNVOTED
from backend.labelstudio.filters import having_version, of_id, open_tasks
from backend.labelstudio.records import Task
from backend.labelstudio.wire import Json, text_of
from backend.loop.desk import ProjectDesk
from backend.loop.replacements import refine_later, replace_predictions
from backend.serving import Served

N_AT_ONCE = 8  # tasks voted on between two looks at the queue
WITHIN_S = 60.0  # of votes for them; who is so slow is left out

log = structlog.get_logger()


def refine(work: ProjectDesk) -> bool:
    """Vote on the tasks that were put aside; false where others wait and a continuation is needed.

    While a version is being pushed nothing is done: the push ends with the head of the label stream.
    """
    served = work.served()
    if served is None or work.project.model_version != served.version:
        return True
    while task_ids := work.desk.queue.take(UNVOTED, work.key, N_AT_ONCE):
        n_written = _refined(work, served, task_ids)
        log.info("refined", project=work.key, n_tasks=len(task_ids), n_written=n_written)
        if work.desk.queue.waits("live", "reconcile"):
            return False
    return True


def _refined(work: ProjectDesk, served: Served, task_ids: Sequence[int]) -> int:
    """Votes are cast before the lease is taken: who follows labels does not wait for them."""
    texts = {task.id: text for task in _open(work, task_ids) if (text := text_of(task.data, work.control))}
    decided = served.pipeline.run(list(texts.values()), deadline_s=WITHIN_S)
    work.desk.telemetry.decided(work.key, decided)
    voted = {task_id: each for task_id, each in zip(texts, decided, strict=True) if each and each.stage == "vote"}
    with work.desk.lease("labels", work.key) as held:
        if held and not work.shows(served.version):
            return 0
        if held:
            return replace_predictions(work, served, _present(work, served, texts, voted))
    refine_later(work, list(voted))  # its votes are remembered
    return 0


def _present(
    work: ProjectDesk, served: Served, texts: dict[int, str], voted: dict[int, Decision]
) -> list[tuple[Task, Decision]]:
    """Tasks as they are now, with their decision, where they hold the text that was voted on.

    Label Studio has stored by now what it was answered.
    """
    tasks = _open(work, list(voted), having_version(served.version))
    return [(task, voted[task.id]) for task in tasks if text_of(task.data, work.control) == texts[task.id]]


def _open(work: ProjectDesk, task_ids: Sequence[int], *filters: Json) -> list[Task]:
    """Of these tasks those that are there, are open and not blind."""
    shown = [each for each in task_ids if not is_blind(work.key, each, work.settings.blind_share)]
    wanted = [open_tasks(), *filters]
    return [task for task_id in shown for task in work.desk.client.tasks(work.id, filters=[of_id(task_id), *wanted])]

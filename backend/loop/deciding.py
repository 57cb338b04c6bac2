"""What a version says of tasks by its cheap levels, and which tasks are blind."""

from collections.abc import Sequence
from dataclasses import replace

from backend.answering import shown_row
from backend.core.projects import is_blind
from backend.core.types import Decision
from backend.labelstudio.records import Task
from backend.labelstudio.wire import text_of
from backend.ledger import Shown
from backend.loop.desk import ProjectDesk
from backend.serving import Served


def decisions(work: ProjectDesk, served: Served, tasks: Sequence[Task]) -> dict[int, Decision]:
    """What the cheap levels say, by task; tasks without a text are left out."""
    texts = {task.id: text for task in tasks if (text := text_of(task.data, work.control)) is not None}
    decided = served.pipeline.without_llm().run(list(texts.values()), deadline_s=float("inf"))
    work.desk.telemetry.decided(work.key, decided)
    return {task_id: decision for task_id, decision in zip(texts, decided, strict=True) if decision is not None}


def blind_row(work: ProjectDesk, task: Task, served: Served, decision: Decision) -> Shown:
    """What would have been ticked, marked as not shown: it is compared with what people say unled."""
    return replace(shown_row(task.id, served, decision, text_in(work, task)), kind="blind")


def text_in(work: ProjectDesk, task: Task) -> str:
    return text_of(task.data, work.control) or ""


def kept_blind(work: ProjectDesk, task_id: int) -> bool:
    return is_blind(work.key, task_id, work.settings.blind_share)

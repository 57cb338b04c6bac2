"""Why a task, or a text, gets the label it gets; also by a version and an index that are not the present ones."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from backend.connection.versions import key_of
from backend.core.errors import BadInputError
from backend.core.explanation import Explanation
from backend.labelstudio.wire import text_of
from backend.ledger import Shown
from backend.loop.desk import Desk
from backend.serving import Served

SAME = 0.0005  # of a confidence: texts are embedded in batches, which moves the last digits


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is to say what about a text."""

    version: str = ""  # empty: as it was shown last; where it was not, the current one
    generation: int | None = None  # of the neighbour index; None: as it was shown last, else as it is now
    llm: bool = False  # whether language models may be asked


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation, who gave it, and what was shown before."""

    version: str
    generation: int
    explanation: Explanation
    task_id: int | None = None
    shown: Shown | None = None  # what the task was shown last; None for texts, and where it was not

    @property
    def reproduced(self) -> bool | None:
        """Whether this is what was shown; None where something else was asked for, or nothing was shown."""
        if self.shown is None or (self.shown.version, self.shown.generation) != (self.version, self.generation):
            return None
        decision = self.explanation.decision
        ticked = decision.predicted_label if decision.kind != "abstain" else ""
        return ticked == self.shown.label and abs(decision.confidence - self.shown.confidence) < SAME

    def figures(self) -> Mapping[str, Any]:
        """Everything, for programs."""
        return {**asdict(self), "reproduced": self.reproduced}

    @property
    def heading(self) -> str:
        """By what it was explained, and what was shown last."""
        lines = [f"version     {self.version}, index generation {self.generation}"]
        if self.shown is not None:
            same = {True: "reproduced", False: "NOT reproduced", None: "not what is explained here"}[self.reproduced]
            what = f"{self.shown.kind} {self.shown.label!r}, confidence {self.shown.confidence:.4f}"
            by = f"{self.shown.version}, generation {self.shown.generation}"
            lines.append(f"shown last  {what}, by {by}: {same}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"{self.heading}\n{self.explanation}"


def explain_task(desk: Desk, task_id: int, asked: Asked) -> Explained:
    """A task, as it was shown last unless another version is asked for.

    A task that has a label by now is its own nearest neighbour in the present index, but not in that one.

    Raises:
        BadInputError: its project is not connected, it holds no text, or the version never had that generation.
        LabelStudioError: there is no such task.
    """
    task = desk.client.task(task_id)
    key = key_of(desk, task.project_id)
    text = text_of(task.data, desk.project(key).control)
    if text is None:
        raise BadInputError(f"task {task_id} must hold a text, but holds none; prelabel doctor says what is read")
    shown = desk.ledger.last_shown(key, [task_id]).get(task_id)
    as_shown = shown is not None and asked.version in ("", shown.version) and asked.generation is None
    served = _served(desk, key, Asked(shown.version, shown.generation) if shown and as_shown else asked)
    llm = shown.stage == "vote" if shown and as_shown else asked.llm
    return Explained(served.version, served.generation, _explain(served, text, llm=llm), task_id, shown)


def explain_text(desk: Desk, project_id: int, text: str, asked: Asked) -> Explained:
    """A text that need not be in Label Studio; `project_id` 0 stands for the only project.

    Raises:
        BadInputError: several projects are connected and none is named, or none was trained.
    """
    keys = desk.ledger.project_keys()
    if not project_id and len(keys) != 1:
        raise BadInputError(f"--project must name one of the {len(keys)} connected projects; or give --model")
    key = key_of(desk, project_id) if project_id else keys[0]
    served = _served(desk, key, asked)
    return Explained(served.version, served.generation, _explain(served, text, llm=asked.llm))


def _served(desk: Desk, key: str, asked: Asked) -> Served:
    version = asked.version or desk.loader.folder(key).current()
    if not version:
        raise BadInputError("the project must have a version to explain with; run: prelabel connect")
    if asked.generation is None:
        return desk.loader.load(key, version)
    return desk.loader.replay(key, version, asked.generation)


def _explain(served: Served, text: str, *, llm: bool) -> Explanation:
    return (served.pipeline if llm else served.pipeline.without_llm()).explain(text)

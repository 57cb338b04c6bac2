"""A task to the rows of an export: the data as it came, and what people and prelabel said of it.

Whose word counts is decided in training.dataset; what was shown when, the ledger knows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from backend.core.agreement import latest_of_each
from backend.core.artefacts import OWN_PREFIX
from backend.core.projects import ProjectSettings
from backend.labelstudio.records import Annotation, Json, Task
from backend.labelstudio.schema import COLUMN_KEY, ID_KEY, Control
from backend.ledger import Accepted, Ledger, Shown
from backend.loop.order import is_place
from backend.moving.cells import OWN
from backend.moving.columns import ADDED, LABEL, as_columns, with_added
from backend.rows.cells import as_cell
from training.dataset import TaskLabel, label_of_annotation, label_of_result, task_label, trains

What = Literal["training", "tasks", "annotations", "predictions"]
WHATS: tuple[What, ...] = ("training", "tasks", "annotations", "predictions")
FIELDS = ",".join(
    (
        "id", "data", "annotations", "predictions", "total_annotations", "cancelled_annotations", "created_at",
        "updated_at", "is_labeled",
        # of annotations, which Label Studio thins out by the same list
        "result", "completed_by", "was_cancelled", "ground_truth", "lead_time", "parent_prediction", "prediction",
        "import_id", "updated_by",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class History:
    """What the ledger holds."""

    accepted: Callable[[Sequence[int]], Mapping[int, Accepted]]  # of annotations, by their ids
    shown: Callable[[Sequence[int]], Mapping[int, Shown]]  # the newest prediction of tasks, by theirs

    def with_confidences(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks, with the confidence where a prediction's score tells its place alone; without one if not known."""
        placed = [task.id for task in tasks if any(_is_placed(item) for item in task.predictions)]
        shown = self.shown(placed) if placed else {}
        return [_with_confidences(task, shown.get(task.id)) if task.id in placed else task for task in tasks]


def history_of(ledger: Ledger, key: str) -> History:
    return History(partial(ledger.accepted_as, key), partial(ledger.last_shown, key))


def _with_confidences(task: Task, shown: Shown | None) -> Task:
    known = {shown.version: shown.confidence} if shown and shown.kind != "blind" else {}
    items = tuple(
        {**item, "score": known.get(str(item.get("model_version")))} if _is_placed(item) else item
        for item in task.predictions
    )
    return replace(task, predictions=items)


def _is_placed(item: Json) -> bool:
    score, version = item.get("score"), str(item.get("model_version"))
    return score is not None and is_place(score) and version.startswith(OWN_PREFIX)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of a task, or, of all its annotations, by one."""

    label: str
    annotation: Annotation | None  # whose label it is; of several the newest
    agreement: float | None  # share of the annotators that say so; None where fewer than two said anything


@dataclass(frozen=True)
class TaskRows:
    """Makes rows of one kind."""

    what: What
    control: Control
    settings: ProjectSettings
    version: str  # of the predictions that Label Studio shows; empty for none
    own_keys: bool

    def of(self, task: Task, accepted: Mapping[int, Accepted]) -> Iterator[Json]:
        """The rows of a task, in a fixed order.

        Args:
            accepted: by annotation, what the ledger holds.
        """
        how = {number: each.how for number, each in accepted.items()}
        said = task_label(task, self.control, how)
        if self.what == "annotations":
            for annotation in sorted(task.annotations, key=lambda item: item.id):
                told = Judgement(label_of_annotation(annotation, self.control), annotation, None)
                yield self._row(task, told, accepted, self._prediction(task))
        elif self.what == "predictions":
            for item in sorted(task.predictions, key=lambda item: item["id"]):
                yield self._row(task, self._judgement(task, said), {}, item)
        elif self.what == "tasks" or (said is not None and trains(said, self.settings)):
            yield self._row(task, self._judgement(task, said), accepted, self._prediction(task), said)

    def _judgement(self, task: Task, said: TaskLabel | None) -> Judgement:
        labels = {item.id: label_of_annotation(item, self.control) for item in latest_of_each(task.annotations)}
        voices = [item for item in latest_of_each(task.annotations) if labels[item.id]]
        agreeing = [item for item in voices if said is not None and labels[item.id] == said.label]
        newest = max(agreeing, key=lambda item: (item.updated_at, item.id), default=None)
        agreement = round(len(agreeing) / len(voices), 4) if len(voices) > 1 and said is not None else None
        return Judgement(said.label if said else "", newest, agreement)

    def _prediction(self, task: Task) -> Json | None:
        """The newest of the version that is shown, else the newest."""
        shown = [item for item in task.predictions if item.get("model_version") == self.version]
        return max(shown or task.predictions, key=lambda item: int(item["id"]), default=None)

    def _row(
        self, task: Task, told: Judgement, accepted: Mapping[int, Accepted], item: Json | None,
        said: TaskLabel | None = None,
    ) -> Json:  # fmt: skip
        mine = told.annotation
        known = accepted.get(mine.id) if mine else None
        shown = _shown(known) if known and known.version else self._stored(item)
        how = said.how if said else known.how if known else None
        added = {
            "task_id": task.id,
            LABEL: told.label,
            "annotator_id": mine.completed_by if mine else None,
            "created_at": mine.created_at if mine else None,
            "updated_at": mine.updated_at if mine else None,
            "lead_time_s": mine.lead_time_s if mine else None,
            **shown,
            "changed": _changed(told, shown, how),
            "how_accepted": how,
            "agreement": told.agreement,
        }
        return with_added(self._data(task), {name: added[name] for name in ADDED})

    def _stored(self, item: Json | None) -> Json:
        if item is None:
            return {"predicted_label": None, "confidence": None, "model_version": None}
        label = label_of_result(item.get("result") or (), self.control)
        version = item.get("model_version")
        return {"predicted_label": label, "confidence": item.get("score"), "model_version": version}

    def _data(self, task: Task) -> Json:
        """The columns as they came, and what an import must know of them: the row's identity, the text's column."""
        told = task.data if self.own_keys else {**_without_own(task.data), **_text_column(task.data)}
        columns = as_columns(told, self.control.text_key)
        identity = task.data.get(ID_KEY)
        if identity is None or as_cell(columns.get("id")) == identity:
            return columns
        return {"id" if "id" not in columns else ID_KEY: identity, **columns}


def _without_own(data: Mapping[str, Any]) -> Json:
    return {name: value for name, value in data.items() if name not in OWN}


def _text_column(data: Mapping[str, Any]) -> Json:
    return {COLUMN_KEY: data[COLUMN_KEY]} if COLUMN_KEY in data else {}


def _shown(known: Accepted) -> Json:
    return {
        "predicted_label": known.shown_label, "confidence": known.confidence, "model_version": known.version,
    }  # fmt: skip


def _changed(told: Judgement, shown: Mapping[str, Any], how: str | None) -> bool | None:
    """Whether a person gave another label than the one that was ticked; None where nobody saw a tick."""
    if not told.label or not shown["predicted_label"] or how in (None, "auto", "blind", "imported", "unknown"):
        return None
    return bool(told.label != shown["predicted_label"])

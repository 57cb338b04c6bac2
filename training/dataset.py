"""From Label Studio's annotations to examples: whose word counts, and for what.

Per task the latest annotation of each annotator that is not a skip, then the majority; a tie is left out. A ground
truth wins where a person set it: imported annotations carry that mark by themselves.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.core.agreement import latest_of_each, majority
from backend.core.projects import ProjectSettings, is_blind
from backend.core.types import Example
from backend.labelstudio.records import Annotation, Task, task_of
from backend.labelstudio.schema import Control
from backend.labelstudio.wire import text_of
from backend.ledger import How, OnScreen


@dataclass(frozen=True, slots=True)
class TaskLabel:
    """What people say about a task."""

    task_id: int
    text: str
    label: str
    how: How
    judges: bool  # may stand in the holdout of a promise: a person labelled it one by one


def label_of_annotation(annotation: Annotation, control: Control) -> str:
    """The choice that an annotation holds; empty for a skip, or where the control was left out or has several."""
    return "" if annotation.was_cancelled else label_of_result(annotation.result, control)


def label_of_result(result: Iterable[Mapping[str, Any]], control: Control) -> str:
    """The choice in an annotation's or a prediction's result; empty where there is none, or several.

    It is the config's own value, also of a label that the project has renamed; one that the config
    does not have stays as it is.
    """
    for region in result:
        value = region.get("value")
        if region.get("from_name") == control.from_name and isinstance(value, dict):
            choices = value.get("choices")  # of any type: Label Studio checks no annotation that a script submits
            chosen = str(choices[0]) if isinstance(choices, list) and len(choices) == 1 else ""
            value = control.labels.value_of(chosen)
            return chosen if value is None else value
    return ""


def how_accepted(
    annotation: Annotation, key: str, seen: OnScreen, before: How | None, share: float, task_id: int
) -> How:
    """How an annotation came to be.

    Nobody's `updated_by` means that no person submitted it: accepted in bulk where it has a parent prediction, else
    imported. `before` is what the ledger said earlier; deleting predictions takes the parent away.
    """
    if annotation.updated_by is None:
        return before or ("bulk" if annotation.parent_prediction is not None else "imported")
    if seen.shown is not None and seen.shown.tick:
        return "seen"
    if is_blind(key, task_id, share) or (seen.shown is not None and seen.shown.kind == "blind"):
        return "blind"
    return "unaided" if seen.known else "unknown"


def task_label(task: Task, control: Control, how: Mapping[int, How]) -> TaskLabel | None:
    """The label of a task; None where it has no text, no valid label, or people disagree evenly."""
    text = text_of(task.data, control)
    valid = {*control.space.values, control.space.oos_value} - {""}
    voices = [item for item in latest_of_each(task.annotations) if label_of_annotation(item, control) in valid]
    if text is None or not voices:
        return None
    truths = [item for item in voices if item.ground_truth and item.updated_by is not None]
    label = majority(label_of_annotation(item, control) for item in truths or voices)
    if label is None:
        return None
    origin = max((_how(item, how) for item in voices if label_of_annotation(item, control) == label), key=_strength)
    return TaskLabel(task.id, text, label, origin, judges=_strength(origin) > 1)


def read_export(path: Path) -> Iterator[Task]:
    """The tasks of a JSON export."""
    with path.open(encoding="utf-8") as file:
        yield from (task_of(raw) for raw in json.load(file))


def training_set(
    tasks: Iterable[Task], control: Control, how: Mapping[int, How], settings: ProjectSettings
) -> tuple[list[Example], frozenset[str]]:
    """Examples to train on, and the ids of those that may judge."""
    labels = [label for task in tasks if (label := task_label(task, control, how)) is not None]
    kept = [label for label in labels if trains(label, settings)]
    examples = [Example(str(label.task_id), label.text, label.label) for label in kept]
    return examples, frozenset(str(label.task_id) for label in kept if label.judges)


def trains(label: TaskLabel, settings: ProjectSettings) -> bool:
    """Whether a project learns from labels that came about so."""
    return {"bulk": settings.train_on_bulk, "auto": settings.train_on_auto}.get(label.how, True)


def _how(annotation: Annotation, how: Mapping[int, How]) -> How:
    if annotation.updated_by is not None and how.get(annotation.id) in (None, "bulk", "imported"):
        return "seen"
    return how.get(annotation.id, "bulk" if annotation.parent_prediction is not None else "imported")


def _strength(how: How) -> int:
    return {"auto": 0, "imported": 0, "bulk": 1, "unknown": 2, "seen": 3, "unaided": 4, "blind": 5}[how]

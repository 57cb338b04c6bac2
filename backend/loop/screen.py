"""What was on the screen when a person submitted an annotation: which of a task's rows in the ledger, if any.

The editor hands back each region under the id that the prediction gave it, also where the person chose another label:
such an id names one row. Without one (nothing was ticked, or the tick was taken away) there is the prediction that the
annotation began with, whose content may have been replaced; what then cannot be known is said so, not guessed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from backend.labelstudio.records import Annotation, Task
from backend.ledger import OnScreen, Shown

LOADING_S = 5.0  # between Label Studio's reading of a task and the editor's clock, which starts when it is drawn
NEVER, ALWAYS = float("inf"), float("-inf")


NOTHING, UNKNOWN = OnScreen(None), OnScreen(None, known=False)


def on_screen(annotation: Annotation, task: Task, rows: Sequence[Shown]) -> OnScreen:
    """What was on the screen.

    Args:
        rows: all that the ledger has of the task, oldest first.
    """
    named = _named(annotation, rows)
    if named is not None:
        return OnScreen(named)
    if annotation.parent_prediction is None and not annotation.has_prediction:
        return NOTHING  # neither when the page was opened nor when it was submitted
    rows = _of_parent(annotation, task, rows)
    left = _in_force(annotation, rows)
    if rows and not left:
        return UNKNOWN  # the page was opened before any of them was there
    if annotation.parent_prediction is None and any(row.tick for row in left):
        return UNKNOWN  # the page was opened before the prediction came, or no page has submitted it
    if len({row.tick for row in left}) > 1:
        return UNKNOWN
    return OnScreen(left[-1]) if left else NOTHING


def _named(annotation: Annotation, rows: Sequence[Shown]) -> Shown | None:
    """The row whose region the annotation still holds."""
    ids = {str(region.get("id")) for region in annotation.result}
    return next((row for row in reversed(rows) if row.tick and row.region_id in ids), None)


def _of_parent(annotation: Annotation, task: Task, rows: Sequence[Shown]) -> Sequence[Shown]:
    """The rows of the prediction that the annotation began with: a version has one prediction a task.

    All rows where Label Studio does not say which version that was.
    """
    versions: Mapping[int, str] = {item["id"]: item.get("model_version") or "" for item in task.predictions}
    version = versions.get(annotation.parent_prediction or 0)
    return rows if version is None else [row for row in rows if row.version == version]


def _in_force(annotation: Annotation, rows: Sequence[Shown]) -> Sequence[Shown]:
    """The rows that Label Studio may have held when the page was opened, by its own clock."""
    opened = _opened(annotation)
    if opened is None or not rows:
        return rows
    begins = [row.stored_at or ALWAYS for row in rows]
    ends = [after.stored_at or NEVER for _, after in pairwise(rows)] + [NEVER]
    return [
        row for row, begin, end in zip(rows, begins, ends, strict=True) if begin <= opened and end >= opened - LOADING_S
    ]


def _opened(annotation: Annotation) -> float | None:
    """When the page was opened (unix); None where that cannot be told: drafts are opened more than once."""
    if annotation.lead_time_s is None or annotation.from_draft or not annotation.created_at:
        return None
    return datetime.fromisoformat(annotation.created_at).timestamp() - annotation.lead_time_s

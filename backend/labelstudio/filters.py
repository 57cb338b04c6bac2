"""Filters of Label Studio's Data Manager, as its tasks API takes them."""

from backend.labelstudio.records import Json

SCORE_STEP = 0.0001  # what a score may have lost by rounding


def newer_than(watermark: str) -> Json:
    """A filter for tasks that changed after a time, which must have microseconds (else Label Studio fails)."""
    return {"filter": "filter:tasks:updated_at", "operator": "greater", "type": "Datetime", "value": watermark}


def created_after(watermark: str) -> Json:
    """A filter for tasks that were imported after a time."""
    return {**newer_than(watermark), "filter": "filter:tasks:created_at"}


def open_tasks() -> Json:
    """A filter for tasks that may still be shown to somebody: `Task.open` in the Data Manager's words.

    Label Studio gives a task the time of its completion once as many people as the project wants
    have labelled it; whether a skip counts, the project says, too.
    """
    return {
        "filter": "filter:tasks:completed_at",
        "operator": "empty",
        "type": "Datetime",
        "value": True,
    }


def unlabelled() -> Json:
    """A filter for tasks that nobody has labelled: `Task.unlabelled`."""
    return {"filter": "filter:tasks:total_annotations", "operator": "equal", "type": "Number", "value": 0}


def labelled() -> Json:
    """A filter for the others, of which some are open still: one person of two has labelled them."""
    return {**unlabelled(), "operator": "greater"}


def skipped() -> Json:
    """A filter for tasks that somebody skipped."""
    return {"filter": "filter:tasks:cancelled_annotations", "operator": "greater", "type": "Number", "value": 0}


def not_skipped() -> Json:
    """A filter for tasks that nobody skipped."""
    return {**skipped(), "operator": "equal"}


def annotated() -> Json:
    """A filter for tasks with an annotation, by the annotations themselves and not by the task's count."""
    return {"filter": "filter:tasks:annotators", "operator": "empty", "type": "List", "value": False}


def lacking_version(version: str) -> Json:
    """A filter for tasks that have no prediction of a version."""
    return {**having_version(version), "operator": "not_contains"}


def having_version(version: str) -> Json:
    """A filter for tasks that have one. The value is a list: Label Studio reads a string letter by letter."""
    return {
        "filter": "filter:tasks:predictions_model_versions", "operator": "contains", "type": "List", "value": [version],
    }  # fmt: skip


def holding(key: str) -> Json:
    """A filter for tasks whose data holds something under a key."""
    return {
        "filter": f"filter:tasks:data.{key}",
        "operator": "empty",
        "type": "String",
        "value": "false",
    }


def telling_percents(key: str) -> Json:
    """A filter for tasks whose list of labels tells percents, which stand in bold."""
    return {**holding(key), "operator": "contains", "value": "<b>"}


def id_above(task_id: int) -> Json:
    return {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": task_id}


def of_id(task_id: int) -> Json:
    return {**id_above(task_id), "operator": "equal"}


def score_under(score: float) -> Json:
    """A filter for tasks whose shown prediction has a lower score."""
    return {**score_from(score), "operator": "less", "value": score}


def score_from(confidence: float) -> Json:
    """A filter for tasks whose shown prediction has at least such a score, which is rounded."""
    return {
        "filter": "filter:tasks:predictions_score", "operator": "greater_or_equal", "type": "Number",
        "value": confidence - SCORE_STEP,
    }  # fmt: skip

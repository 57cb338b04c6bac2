"""Predictions that go: all of a version, or those that stand twice."""

from collections.abc import Collection, Sequence
from itertools import chain

from backend.labelstudio.filters import having_version
from backend.labelstudio.records import Task
from backend.loop.desk import ProjectDesk

REMOVED_TASKS = 400  # whose predictions go in one call; annotators wait for that long


def remove_surplus(work: ProjectDesk, version: str) -> int:
    """Delete all but the newest prediction of a version from each task; how many were deleted."""
    n_deleted = 0
    filters, include = [having_version(version)], "id,predictions"
    for task in chain.from_iterable(work.desk.client.pages_above(work.id, 0, include=include, filters=filters)):
        surplus = sorted(item["id"] for item in task["predictions"] if item["model_version"] == version)[:-1]
        for prediction_id in surplus:
            work.desk.client.delete_prediction(prediction_id)
        n_deleted += len(surplus)
    return n_deleted


def remove_versions(work: ProjectDesk, versions: Collection[str]) -> None:
    """Delete the predictions of versions in pieces: in one call it would lock Label Studio's SQLite for minutes.

    A task that has predictions of somebody else loses ours one by one, the others all at once.
    """
    for version in versions:
        while tasks := list(work.desk.client.tasks(work.id, filters=[having_version(version)], limit=REMOVED_TASKS)):
            _remove_from(work, tasks, versions)


def _remove_from(work: ProjectDesk, tasks: Sequence[Task], versions: Collection[str]) -> None:
    client, alone = work.desk.client, []
    for task in tasks:
        ours = [item for item in task.predictions if item.get("model_version") in versions]
        if len(ours) == len(task.predictions):
            alone.append(task.id)
        else:
            for item in ours:
                client.delete_prediction(item["id"])
    if alone:
        client.delete_predictions_of(work.id, alone)

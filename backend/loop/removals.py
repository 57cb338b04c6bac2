"""Predictions that go: all of a version, or those that stand twice.

What is submitted from a prediction that is gone is refused (400, "Invalid pk"), so none goes that a
page may have open: of twins the oldest stays, which is what pages show, and a version stays for
OPEN_S after it was shown.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from itertools import chain

from backend.core.clock import age_s
from backend.labelstudio.filters import having_version
from backend.labelstudio.records import Json
from backend.loop.desk import ProjectDesk
from backend.loop.pacing import BULK, Pace

OPEN_S = 1800.0  # that a page may be open before it is submitted
PAGE_TASKS = 200  # listed at once: some tenths of a second


def remove_surplus(work: ProjectDesk, version: str) -> int:
    """Delete all but the oldest prediction of a version from each task; how many were deleted."""
    pages = work.desk.client.pages_above(work.id, 0, include="id,predictions", filters=[having_version(version)])
    surplus = [
        prediction_id
        for task in chain.from_iterable(pages)
        for prediction_id in sorted(_ids_of(task["predictions"], [version]))[1:]
    ]
    for some in Pace().pieces(surplus):
        for prediction_id in some:
            work.desk.client.delete_prediction(prediction_id)
    return len(surplus)


def removing(work: ProjectDesk, versions: Collection[str]) -> Iterator[int]:
    """Delete the predictions of versions in pieces; yields after each of how many tasks.

    In one call it would lock Label Studio's SQLite for minutes. A task that has other predictions
    as well loses these one by one, the others lose theirs all at once.
    """
    for version in versions:
        pages = work.desk.client.pages_above(
            work.id, 0, include="id,predictions", filters=[having_version(version)], size=PAGE_TASKS
        )
        for page in pages:
            ours = {raw["id"]: _ids_of(raw["predictions"], versions) for raw in page}
            alone = [raw["id"] for raw in page if len(ours[raw["id"]]) == len(raw["predictions"])]
            for some in Pace(BULK).pieces(alone):
                work.desk.client.delete_predictions_of(work.id, some)
                yield len(some)
            freed = set(alone)
            for some in Pace().pieces([task_id for task_id in ours if task_id not in freed]):
                for prediction_id in chain.from_iterable(ours[task_id] for task_id in some):
                    work.desk.client.delete_prediction(prediction_id)
                yield len(some)


def note_left(work: ProjectDesk, version: str, *, at: float) -> None:
    """Note until when (unix) a version was shown."""
    work.desk.queue.note(_left(version), work.key, str(at))


def may_be_open(work: ProjectDesk, version: str) -> bool:
    """Whether a page may have been opened with a version that is not shown now.

    Of one of which nobody knows until when it was shown, it was until now.
    """
    now, left_at = time.time(), work.desk.queue.noted(_left(version), work.key)
    if not left_at:
        note_left(work, version, at=now)
        return True
    return age_s(float(left_at), now) < OPEN_S


def _left(version: str) -> str:
    return f"left:{version}"


def _ids_of(predictions: Sequence[Json], versions: Collection[str]) -> list[int]:
    return [int(item["id"]) for item in predictions if item.get("model_version") in versions]

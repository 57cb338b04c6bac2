"""Texts of a project that nobody has labelled yet: they say what its labels look like before examples do."""

from collections.abc import Iterator

import numpy as np

from backend.core.projects import is_blind
from backend.labelstudio.client import LIGHT
from backend.labelstudio.filters import unlabelled
from backend.labelstudio.records import task_of
from backend.labelstudio.wire import text_of
from backend.loop.desk import ProjectDesk
from backend.loop.gold import bucket_of
from training.pool import MAX_POOL
from training.splits import HOLDOUT_BUCKETS

PIECES = 10  # of neighbouring tasks: files are often sorted by topic, and a page costs the same wherever it begins
MIN_TELLING = 5  # texts from which they, not the labels' names, tell the language
MAX_TELLING = 100  # one page
POOLED_BELOW = 2_000  # labels; with more, examples say it all


def unlabelled_texts(work: ProjectDesk, *, n_labels: int) -> list[str]:
    """At most MAX_POOL texts of open tasks, in pieces from all over the project; none where labels are many.

    Without those that may judge: blind tasks, gold rows and the holdout.
    """
    return [] if n_labels >= POOLED_BELOW else list(unlabelled_tasks(work).values())


def unlabelled_tasks(work: ProjectDesk) -> dict[int, str]:
    """The texts by their tasks, however many labels there are."""
    ends = [_first(work, ordering) for ordering in ("id", "-id")]
    if None in ends:
        return {}
    low, high = (end or 0 for end in ends)
    starts = np.linspace(low - 1, high, PIECES, endpoint=False).astype(int).tolist()
    return {task_id: text for start in starts for task_id, text in _piece(work, start, MAX_POOL // PIECES)}


def telling_texts(work: ProjectDesk) -> list[str]:
    """Texts of open tasks that tell the project's language; none where there are too few of them."""
    tasks = work.desk.client.tasks(work.id, filters=[unlabelled()], limit=MAX_TELLING, all_fields=False)
    texts = [text for task in tasks if (text := text_of(task.data, work.control))]
    return texts if len(texts) >= MIN_TELLING else []


def _piece(work: ProjectDesk, above: int, n: int) -> Iterator[tuple[int, str]]:
    pages = work.desk.client.pages_above(work.id, above, include=LIGHT, filters=[unlabelled()], size=n)
    for raw in next(pages, []):
        task = task_of(raw)
        text = text_of(task.data, work.control)
        judges = is_blind(work.key, task.id, work.settings.blind_share)
        if text is not None and not judges and bucket_of(work, text) >= HOLDOUT_BUCKETS:
            yield task.id, text


def _first(work: ProjectDesk, ordering: str) -> int | None:
    tasks = work.desk.client.tasks(work.id, filters=[unlabelled()], ordering=ordering, limit=1, all_fields=False)
    return next((task.id for task in tasks), None)

"""Which tasks people are shown before the least certain ones, as the project's order wants it.

Where hardly anything is known, the least certain texts are odd ones, and ticks on them are wrong.
Typical texts teach as much then, and more of their ticks are right (`python -m benchmarks.order`).
"""

from collections.abc import Collection

from backend.core.projects import showing_rank
from backend.core.types import FloatArray
from backend.loop.desk import ProjectDesk
from backend.loop.order import representative
from backend.loop.pool import unlabelled_tasks
from backend.pipeline.clean import clean
from backend.pipeline.retrieve import embed_labels, embed_texts
from backend.serving import Served

TYPICAL_UNTIL = 50  # labels of a project, in the order "auto"
N_TYPICAL = 200  # chosen at a time: a new version, which chooses anew, comes before they are labelled
N_AT_RANDOM = 2_000  # the same where choosing costs nothing
N_KNOWN = 2_000  # labelled texts that typical ones are to differ from, the newest


def leading(work: ProjectDesk, served: Served, task_ids: Collection[int]) -> list[int]:
    """Those of these tasks that come first, in their order; none where the least certain ones do."""
    order = work.settings.order
    if order == "random":
        return sorted(task_ids, key=lambda task_id: showing_rank(work.key, task_id))[:N_AT_RANDOM]
    if order == "uncertain":
        return []
    known = [row.text for row in work.desk.ledger.index_rows(work.key) if row.label]
    n_wanted = N_TYPICAL if order == "typical" else max(0, TYPICAL_UNTIL - len(known))
    return _typical(work, served, task_ids, known[-N_KNOWN:], n_wanted) if n_wanted else []


def _typical(
    work: ProjectDesk, served: Served, task_ids: Collection[int], known: list[str], n_wanted: int
) -> list[int]:  # fmt: skip
    texts = unlabelled_tasks(work)
    found = [task_id for task_id in texts if task_id in task_ids]
    vectors = _vectors(work, served, [texts[task_id] for task_id in found])
    rows = representative(vectors, _vectors(work, served, known), k=n_wanted)
    return [found[row] for row in rows]


def _vectors(work: ProjectDesk, served: Served, texts: list[str]) -> FloatArray:
    """(n_texts, lead), of the layer that is made for comparing texts."""
    manifest = served.manifest
    embedder = work.desk.loader.assembly.embedder(manifest.language, profile=manifest.profile)
    labels = embed_labels(manifest.labels, embedder)
    return embed_texts([clean(text) for text in texts], embedder, labels)[:, : embedder.lead]

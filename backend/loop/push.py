"""Predictions into Label Studio, many at once where a version is new.

Label Studio deduplicates nothing, so pushing is idempotent by our own doing: what is computed lies in a spool file,
a mark says that a push was begun, and after any doubt the version's predictions are listed and the surplus deleted.
"""

import heapq
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice

import structlog

from backend.answering import shown_row
from backend.core.artefacts import OWN_PREFIX
from backend.core.projects import showing_rank
from backend.core.reading import READ_CHARACTERS
from backend.labelstudio.client import LIGHT, PAGE
from backend.labelstudio.filters import (
    having_version,
    labelled,
    lacking_version,
    open_tasks,
    unlabelled,
)
from backend.labelstudio.records import Task, task_of
from backend.labelstudio.schema import Control
from backend.labelstudio.wire import Json, empty_prediction, prediction, text_of
from backend.ledger import Shown
from backend.loop.concealment import conceal_open
from backend.loop.deciding import blind_row, decisions, kept_blind, text_in
from backend.loop.desk import ProjectDesk
from backend.loop.leading import leading
from backend.loop.order import in_turn, places
from backend.loop.removals import note_left, remove_surplus
from backend.loop.spool import Spool, spool_of
from backend.serving import Served

JOB_TASKS = 2000  # computed by one job; then it makes way
FIRST_TASKS = 512  # pushed before the others where nothing of ours is shown yet, so that people can begin
LEAST_TASKS = 256  # computed before it makes way for others, about a second: labels without end must not starve a push
CHUNK = 32  # texts between two looks at the queue
CHUNK_CHARACTERS = 12_000  # of them: 1 s of the slower embedder on an idle machine
NOTED_ROWS = 1000  # entered into the ledger at once

log = structlog.get_logger()


@dataclass
class Tally:
    """How many items went by."""

    n: int = 0

    def counting(self, items: Iterable[Json]) -> Iterator[Json]:
        for item in items:
            self.n += 1
            yield item


def fill(work: ProjectDesk, computed: Callable[[int], None] = lambda _: None) -> bool:
    """Predict the eligible tasks that lack the present version; false where a continuation is needed.

    Ends early when labels wait in the queue; what was computed stays in the spool. In a large project people see the
    first predictions soon; a version that takes over from another one is shown once it is complete.

    Args:
        computed: is told of how many tasks more a prediction is there.
    """
    served = work.served()
    if served is None:
        return True
    spool = spool_of(work.folder, served.version)
    n_done, shows_none = 0, not work.project.model_version.startswith(OWN_PREFIX)
    for tasks in _chunks(_lacking(work, served.version, above=spool.last_task()), work.control):
        spool.append(_computed(work, served, tasks))
        n_done += len(tasks)
        computed(len(tasks))
        if shows_none and n_done >= FIRST_TASKS:
            push(work, served, spool)
            return False
        makes_way = n_done >= LEAST_TASKS and work.desk.queue.waits(*in_front(work))
        if n_done >= JOB_TASKS or makes_way:
            return False
    return push(work, served, spool)


def in_front(work: ProjectDesk) -> tuple[str, ...]:
    """The queues that a bulk job makes way for: a push-only project's labels come by way of the cron's tick."""
    return ("live", "reconcile") if work.row.push_only else ("live",)


def push(work: ProjectDesk, served: Served, spool: Spool) -> bool:
    """Push a spool whole, check that it arrived, and make its version the one that Label Studio shows.

    False where it is yet to be shown, as `show_version` says.
    """
    client, rows = work.desk.client, spool.rows()
    resumed = spool.begun.exists()
    if resumed:
        log.warning("push_resumed", project=work.key, version=served.version)
        remove_surplus(work, served.version)
        rows = _of_tasks(rows, (task.id for task in _lacking(work, served.version)))
    spool.begin()
    if work.project.model_version == served.version:  # else it is done before the version is shown
        conceal_open(work, lacking_version(served.version))
    sent = Tally()
    n_kept = client.import_predictions(work.id, sent.counting(_sendable(work, rows, _scores(work, served, spool))))
    if n_kept < sent.n:
        log.error("predictions_dropped", project=work.key, version=served.version, n=sent.n - n_kept)
    _note_shown(work, _arrived(work, served.version, spool) if resumed else spool.rows())
    spool.clear()
    work.desk.telemetry.pushed.labels(work.key).inc(n_kept)
    log.info("pushed", project=work.key, version=served.version, n=n_kept)
    return show_stored(work, served.version)


def show_stored(work: ProjectDesk, version: str) -> bool:
    """Have Label Studio show a version, where any prediction of it has arrived; as `show_version`."""
    stored = work.desk.client.model_versions(work.id).get(version)
    return show_version(work, version) if stored else True


def show_version(work: ProjectDesk, version: str) -> bool:
    """Make a version the one that Label Studio shows and sorts by; it must have a prediction.

    False where somebody writes reasons and percents of the version before for so long that they
    would stand beside the ticks of this one: ask again.
    """
    if work.shows(version):
        return True
    with work.desk.lease("labels", work.key) as held:
        if held:
            before = work.desk.client.project(work.id).model_version
            conceal_open(work)
            work.desk.client.update_project(work.id, model_version=version)
            note_left(work, before, at=time.time())
            log.info("version_shown", project=work.key, version=version)
    return held


def _lacking(work: ProjectDesk, version: str, *, above: int = 0) -> Iterator[Task]:
    """Open tasks that lack a version, by rising id, without those that second_annotator.carry_over serves."""
    lacking = [open_tasks(), lacking_version(version)]
    parts = ([unlabelled()], [labelled(), lacking_version(OWN_PREFIX)])
    pages = (
        work.desk.client.pages_above(work.id, above, include=LIGHT, filters=[*lacking, *part], size=PAGE)
        for part in parts
    )
    found = heapq.merge(*map(chain.from_iterable, pages), key=lambda raw: int(raw["id"]))
    return (task_of(raw) for raw in found)


def _of_tasks(rows: Iterator[Json], task_ids: Iterator[int]) -> Iterator[Json]:
    """The rows of some tasks; both stand by rising id, so that neither is held whole."""
    wanted = next(task_ids, None)
    for row in rows:
        while wanted is not None and wanted < row["task"]:
            wanted = next(task_ids, None)
        if wanted == row["task"]:
            yield row


def _arrived(work: ProjectDesk, version: str, spool: Spool) -> Iterator[Json]:
    """Rows whose prediction Label Studio has and the ledger has not: a killed pusher may have pushed and not noted."""
    pages = work.desk.client.pages_above(work.id, 0, include="id", filters=[having_version(version)])
    there = _of_tasks(spool.rows(), (task["id"] for task in chain.from_iterable(pages)))
    while part := list(islice(there, NOTED_ROWS)):
        noted = work.desk.ledger.last_shown(work.key, [row["task"] for row in part])
        yield from (row for row in part if row["task"] not in noted or noted[row["task"]].version != version)


def _note_shown(work: ProjectDesk, rows: Iterator[Json]) -> None:
    while part := list(islice(rows, NOTED_ROWS)):
        work.desk.ledger.add_shown(work.key, [Shown(**row["shown"]) for row in part])


def _computed(work: ProjectDesk, served: Served, tasks: Sequence[Task]) -> list[Json]:
    """Spool rows of a chunk, by rising id; tasks without a text get none. LLMs look at the head of the stream only."""
    decided = decisions(work, served, tasks)
    rows = []
    for task in (task for task in tasks if task.id in decided):
        decision = decided[task.id]
        if kept_blind(work, task.id):
            item, shown = empty_prediction(0.0, served.version), blind_row(work, task, served, decision)
        else:
            shown = shown_row(task.id, served, decision, text_in(work, task))
            item = prediction(decision, work.control, served.version, shown.region_id)
        rows.append(_row(task.id, item, shown))
    return sorted(rows, key=lambda row: int(row["task"]))


def _row(task_id: int, item: Json, shown: Shown) -> Json:
    return {"task": task_id, **item, "shown": asdict(shown)}


def _scores(work: ProjectDesk, served: Served, spool: Spool) -> Mapping[int, float]:
    """Scores of the tasks that are not blind, by task, in the order in which they are to be shown."""
    task_ids, confidences, labels = array("q"), array("d"), []
    for row in spool.rows():
        if row["shown"]["kind"] != "blind":
            task_ids.append(row["task"])
            confidences.append(row["score"])
            labels.append(sys.intern(row["shown"]["label"]))
    scores = dict(zip(task_ids, in_turn(confidences, labels), strict=True))
    first = leading(work, served, scores.keys())
    scores |= zip(first, places(len(first)), strict=True)
    return dict(sorted(scores.items(), key=lambda item: item[1]))


def _sendable(work: ProjectDesk, rows: Iterator[Json], scores: Mapping[int, float]) -> Iterator[Json]:
    """Rows as Label Studio takes them; blind tasks stand at random: each takes the score at its rank among `scores`."""
    ranked = list(scores.values()) or [0.5]
    for row in rows:
        item = {name: value for name, value in row.items() if name != "shown"}
        if row["shown"]["kind"] == "blind":
            rank = showing_rank(work.key, row["task"])
            item["score"] = ranked[min(int(rank * len(ranked)), len(ranked) - 1)]
        else:
            item["score"] = scores[row["task"]]
        yield item


def _chunks(tasks: Iterator[Task], control: Control) -> Iterator[list[Task]]:
    """At most CHUNK tasks, fewer of long texts: other work waits for the end of a chunk."""
    chunk: list[Task] = []
    size = 0
    for task in tasks:
        length = min(len(text_of(task.data, control) or ""), READ_CHARACTERS)
        if chunk and (len(chunk) == CHUNK or size + length > CHUNK_CHARACTERS):
            yield chunk
            chunk, size = [], 0
        chunk.append(task)
        size += length
    if chunk:
        yield chunk

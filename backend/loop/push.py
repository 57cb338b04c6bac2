"""Predictions into Label Studio: many at once where a version is new, one by one for the head of the label stream.

Label Studio deduplicates nothing, so pushing is idempotent by our own doing: what is computed lies in a spool file,
a mark says that a push was begun, and after any doubt the version's predictions are listed and the surplus deleted.
"""

import heapq
import sys
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from typing import Any

import structlog

from backend.answering import shown_row
from backend.core.artefacts import OWN_PREFIX
from backend.core.errors import LabelStudioError
from backend.core.projects import blind_rank, is_blind
from backend.core.reading import READ_CHARACTERS
from backend.core.types import Decision
from backend.job_queue import QUEUES, UNVOTED
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
from backend.labelstudio.wire import Json, empty_prediction, prediction, reads_so, shown_data, tells, text_of
from backend.ledger import Shown
from backend.loop.concealment import conceal, conceal_open
from backend.loop.desk import ProjectDesk
from backend.loop.edited import edited
from backend.loop.order import in_turn
from backend.loop.spool import Spool, spool_of
from backend.serving import Served

JOB_TASKS = 2000  # computed by one job; then it makes way
FIRST_TASKS = 512  # pushed before the others where nothing of ours is shown yet, so that people can begin
LEAST_TASKS = 256  # computed before it makes way for others, about a second: labels without end must not starve a push
REMOVED_TASKS = 400  # whose predictions go in one call; annotators wait for that long
CHUNK = 32  # texts between two looks at the queue
CHUNK_CHARACTERS = 12_000  # of them: 1 s of the slower embedder on an idle machine
SAME_SCORE = 0.02  # scores closer than this order the label stream as well; each write costs 60 ms
N_REFINED = 10  # tasks of the head that LLMs look at: what comes next
REFRESH_S = 1.5  # of LLMs for the head of the label stream, which follows a label within 5 s
NOTED_ROWS = 1000  # entered into the ledger at once
WRITERS = 2  # requests at once to Label Studio, whose SQLite has one writer

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
    push(work, served, spool)
    return True


def in_front(work: ProjectDesk) -> tuple[str, ...]:
    """The queues that a bulk job makes way for: a push-only project's labels come by way of the cron's tick."""
    return ("live", "reconcile") if work.row.push_only else ("live",)


def push(work: ProjectDesk, served: Served, spool: Spool) -> None:
    """Push a spool whole, check that it arrived, and make its version the one that Label Studio shows."""
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
    n_kept = client.import_predictions(work.id, sent.counting(_sendable(work, rows, _scores(spool))))
    if n_kept < sent.n:
        log.error("predictions_dropped", project=work.key, version=served.version, n=sent.n - n_kept)
    _note_shown(work, _arrived(work, served.version, spool) if resumed else spool.rows())
    spool.clear()
    work.desk.telemetry.pushed.labels(work.key).inc(n_kept)
    log.info("pushed", project=work.key, version=served.version, n=n_kept)
    show_stored(work, served.version)


def show_stored(work: ProjectDesk, version: str) -> None:
    """Have Label Studio show a version, where any prediction of it has arrived."""
    if work.desk.client.model_versions(work.id).get(version):
        show_version(work, version)


def show_version(work: ProjectDesk, version: str) -> None:
    """Make a version the one that Label Studio shows and sorts by; it must have a prediction."""
    if work.desk.client.project(work.id).model_version != version:
        conceal_open(work)
        work.desk.client.update_project(work.id, model_version=version)
        log.info("version_shown", project=work.key, version=version)


def refresh_tasks(work: ProjectDesk, served: Served, tasks: Sequence[Task]) -> int:
    """Predict tasks again and replace what differs, in the given order; how many predictions were written.

    Reason and percents are written where they would read otherwise, the prediction where its tick or its place in the
    stream would differ: a percent more or less is nothing that an annotator should wait for.
    """
    conceal(work, [task.id for task in tasks if _blind(work, task.id) and tells(task.data)])
    texts = {task.id: text_of(task.data, work.control) for task in tasks}
    wanted = [task for task in tasks if texts[task.id] is not None and not _blind(work, task.id)]
    decided = _decided(work, served, [texts[task.id] or "" for task in wanted])
    pairs = [(task, decision) for task, decision in zip(wanted, decided, strict=True) if decision is not None]
    refine_later(work, [task.id for task, decision in pairs if decision.unvoted])
    return replace_predictions(work, served, pairs)


def explain_tasks(work: ProjectDesk, served: Served, tasks: Sequence[Task]) -> int:
    """Predict tasks again by the cheap levels alone, as `refresh_tasks` does; how many were written."""
    seen = {task.id: task for task in tasks if not _blind(work, task.id)}
    decisions = _decisions(work, served, list(seen.values()))
    pairs = [(seen[task_id], decision) for task_id, decision in decisions.items()]
    return replace_predictions(work, served, pairs)


def refine_later(work: ProjectDesk, task_ids: Sequence[int]) -> None:
    """Have a job of its own ask the language models about tasks for which there was no time."""
    if task_ids:
        work.desk.queue.put_aside(UNVOTED, work.key, task_ids)
        work.desk.queue.enqueue("refine", work.key)


def replace_predictions(work: ProjectDesk, served: Served, pairs: Sequence[tuple[Task, Decision]]) -> int:
    """Write what differs, in the given order; how many predictions were written."""
    told = [(task, decision) for task, decision in pairs if tells(task.data)]
    changing = [task.id for task, decision in told if _ticks_otherwise(work, served, task, decision)]
    conceal(work, changing)
    with ThreadPoolExecutor(WRITERS) as pool:
        written = list(pool.map(lambda pair: _replace(work, served, *pair, concealed=pair[0].id in changing), pairs))
    again = {task.id for task in edited(work, [task for task, _ in pairs])}
    rows = [
        row or shown_row(task.id, served, decision, _text(work, task))
        for (task, decision), row in zip(pairs, written, strict=True)
        if row or task.id in again
    ]
    work.desk.ledger.add_shown(work.key, rows)
    n_written = sum(row is not None for row in written)
    work.desk.telemetry.pushed.labels(work.key).inc(n_written)
    return n_written


def _decided(work: ProjectDesk, served: Served, texts: Sequence[str]) -> list[Decision | None]:
    """The cheap levels decide all; where no other work waits, LLMs look at the first ones for REFRESH_S."""
    decided = served.pipeline.without_llm().run(texts, deadline_s=float("inf"))
    work.desk.telemetry.decided(work.key, decided)
    if work.desk.queue.waits(*QUEUES):
        return decided
    refined = served.pipeline.run(texts[:N_REFINED], deadline_s=REFRESH_S)
    work.desk.telemetry.decided(work.key, refined)
    return [new or old for new, old in zip(refined, decided, strict=False)] + decided[N_REFINED:]


def add_blind(work: ProjectDesk, served: Served, tasks: Sequence[Task]) -> None:
    """Give blind tasks their empty prediction, which places them in the order of showing and ticks nothing.

    A task without a text gets none, blind or not.
    """
    blind = {task.id: task for task in tasks if _blind(work, task.id) and not _own(task, served.version)}
    for task_id, decision in _decisions(work, served, list(blind.values())).items():
        item = empty_prediction(blind_rank(work.key, task_id), served.version)
        since = _store(work, blind[task_id], item, _standing(blind[task_id], served.version))
        row = replace(_blind_row(work, blind[task_id], served, decision), stored_at=since)
        work.desk.ledger.add_shown(work.key, [row])


def renew_blind(work: ProjectDesk, served: Served, tasks: Sequence[Task]) -> None:
    """Note what blind tasks would have been ticked with, by their present texts; nothing is written to them."""
    blind = {task.id: task for task in tasks if _blind(work, task.id)}
    decided = _decisions(work, served, list(blind.values()))
    rows = [_blind_row(work, blind[task_id], served, each) for task_id, each in decided.items()]
    work.desk.ledger.add_shown(work.key, rows)


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
    decided = _decisions(work, served, tasks)
    rows = []
    for task in (task for task in tasks if task.id in decided):
        decision = decided[task.id]
        if _blind(work, task.id):
            item, shown = empty_prediction(0.0, served.version), _blind_row(work, task, served, decision)
        else:
            shown = shown_row(task.id, served, decision, _text(work, task))
            item = prediction(decision, work.control, served.version, shown.region_id)
        rows.append(_row(task.id, item, shown))
    return sorted(rows, key=lambda row: int(row["task"]))


def _decisions(work: ProjectDesk, served: Served, tasks: Sequence[Task]) -> dict[int, Decision]:
    """What the cheap levels say, by task; tasks without a text are left out."""
    texts = {task.id: text for task in tasks if (text := text_of(task.data, work.control)) is not None}
    decided = served.pipeline.without_llm().run(list(texts.values()), deadline_s=float("inf"))
    work.desk.telemetry.decided(work.key, decided)
    return {task_id: decision for task_id, decision in zip(texts, decided, strict=True) if decision is not None}


def _row(task_id: int, item: Json, shown: Shown) -> Json:
    return {"task": task_id, **item, "shown": asdict(shown)}


def _blind_row(work: ProjectDesk, task: Task, served: Served, decision: Decision) -> Shown:
    """What would have been ticked, marked as not shown: it is compared with what people say unled."""
    return replace(shown_row(task.id, served, decision, _text(work, task)), kind="blind")


def _text(work: ProjectDesk, task: Task) -> str:
    return text_of(task.data, work.control) or ""


def _scores(spool: Spool) -> Mapping[int, float]:
    """Scores of the tasks that are not blind, by task, in the order in which they are to be shown."""
    task_ids, confidences, labels = array("q"), array("d"), []
    for row in spool.rows():
        if row["shown"]["kind"] != "blind":
            task_ids.append(row["task"])
            confidences.append(row["score"])
            labels.append(sys.intern(row["shown"]["label"]))
    scores = dict(zip(task_ids, in_turn(confidences, labels), strict=True))
    return dict(sorted(scores.items(), key=lambda item: item[1]))


def _sendable(work: ProjectDesk, rows: Iterator[Json], scores: Mapping[int, float]) -> Iterator[Json]:
    """Rows as Label Studio takes them; blind tasks stand at random: each takes the score at its rank among `scores`."""
    ranked = list(scores.values()) or [0.5]
    for row in rows:
        item = {name: value for name, value in row.items() if name != "shown"}
        if row["shown"]["kind"] == "blind":
            rank = blind_rank(work.key, row["task"])
            item["score"] = ranked[min(int(rank * len(ranked)), len(ranked) - 1)]
        else:
            item["score"] = scores[row["task"]]
        yield item


def _ticks_otherwise(work: ProjectDesk, served: Served, task: Task, decision: Decision) -> bool:
    """Whether another tick is to stand there than does now, or the first one of this version."""
    own = _standing(task, served.version)
    if own is None or own.get("model_version") != served.version:
        return True
    return _value(own) != _value(prediction(decision, work.control, served.version, ""))


def _replace(work: ProjectDesk, served: Served, task: Task, decision: Decision, *, concealed: bool) -> Shown | None:
    """Write a task's prediction, then what explains it, where they differ; the prediction's row."""
    client, row = work.desk.client, shown_row(task.id, served, decision, _text(work, task))
    item = prediction(decision, work.control, served.version, row.region_id)
    own, surplus = _standing(task, served.version), _own(task, served.version)[1:]
    changed = own is None or _differs(own, item)
    shown = shown_data(decision, work.control)
    try:
        for twin in surplus:  # Label Studio asked /predict while a job pushed
            client.delete_prediction(twin["id"])
        if changed:
            row = replace(row, stored_at=_store(work, task, item, own))
        if concealed or not reads_so(task.data, shown):
            client.patch_task(task.id, {**task.data, **shown})
    except LabelStudioError as err:
        if err.status != 404:  # the task was deleted meanwhile
            raise
        return None
    return row if changed else None


def _own(task: Task, version: str) -> list[Json]:
    return [item for item in task.predictions if item.get("model_version") == version]


def _standing(task: Task, version: str) -> Json | None:
    """The prediction that a version's next one replaces; where somebody has labelled, of any version.

    Of several it is the one that an annotation was made from.
    """
    mine = _own(task, version)
    if mine or task.unlabelled:
        return mine[0] if mine else None
    parents = {item.parent_prediction for item in task.annotations}
    ours = [item for item in task.predictions if _is_ours(item)]
    return max(ours, key=lambda item: (item["id"] in parents, item["id"]), default=None)


def _is_ours(item: Json) -> bool:
    return str(item.get("model_version")).startswith(OWN_PREFIX)


def _store(work: ProjectDesk, task: Task, item: Json, own: Json | None) -> float:
    """Write a prediction in place of the one that stands, or beside others.

    Since when it replaces that one, by Label Studio's clock (unix); 0 where it replaces none.
    """
    if own is not None:
        return work.desk.client.update_prediction(own["id"], item)
    work.desk.client.create_prediction(work.id, task.id, item)
    return 0.0


def _differs(old: Json, new: Json) -> bool:
    if old.get("model_version") != new["model_version"]:
        return True
    return _value(old) != _value(new) or abs((old.get("score") or 0.0) - new["score"]) >= SAME_SCORE


def _value(item: Json) -> list[Any]:
    return [region.get("value") for region in item.get("result") or ()]


def _blind(work: ProjectDesk, task_id: int) -> bool:
    return is_blind(work.key, task_id, work.settings.blind_share)


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

"""Predictions into Label Studio: many at once where a version is new, one by one for the head of the label stream.

Label Studio deduplicates nothing, so pushing is idempotent by our own doing: what is computed lies in a spool file,
a mark says that a push was begun, and after any doubt the version's predictions are listed and the surplus deleted.
"""

import json
import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import structlog

from backend.answering import shown_row
from backend.core.artefacts import OWN_PREFIX
from backend.core.errors import LabelStudioError
from backend.core.projects import ProjectFolder, blind_rank, is_blind
from backend.core.reading import READ_CHARACTERS
from backend.core.types import Decision
from backend.job_queue import QUEUES
from backend.labelstudio.client import MAX_BODY_BYTES
from backend.labelstudio.filters import having_version, id_above, lacking_version, unlabelled
from backend.labelstudio.records import Task
from backend.labelstudio.schema import Control
from backend.labelstudio.wire import Json, empty_prediction, prediction, reads_alike, shown_data, text_of
from backend.ledger import Shown
from backend.loop.desk import ProjectDesk
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
BLOCK = 64 * 1024  # bytes of a spool read at once
WRITERS = 2  # requests at once to Label Studio, whose SQLite has one writer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Spool:
    """Computed predictions of one version that are not yet pushed; survives the process."""

    folder: Path
    version: str

    @property
    def file(self) -> Path:
        return self.folder / f"{self.version}.jsonl"

    @property
    def begun(self) -> Path:
        """Exists from the beginning of a push to its known end."""
        return self.folder / f"{self.version}.pushing"

    def rows(self) -> list[Json]:
        """Whole lines only: a killed writer may leave half of one."""
        if not self.file.exists():
            return []
        lines = self.file.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def append(self, rows: Sequence[Json]) -> None:
        """Add rows; half of a line, which a killed writer has left, goes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab+") as file:
            file.truncate(_end_of_last_line(file))
            file.write("".join(_line(row) for row in rows).encode())

    def count(self) -> int:
        """How many rows there are."""
        if not self.file.exists():
            return 0
        with self.file.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))

    def clear(self) -> None:
        self.file.unlink(missing_ok=True)
        self.begun.unlink(missing_ok=True)


def spool_of(folder: ProjectFolder, version: str) -> Spool:
    return Spool(folder.root / "spool", version)


def fill(work: ProjectDesk) -> bool:
    """Predict the eligible tasks that lack the present version; false where a continuation is needed.

    Ends early when labels wait in the queue; what was computed stays in the spool. In a large project people see the
    first predictions soon; a version that takes over from another one is shown once it is complete.
    """
    served = work.served()
    if served is None:
        return True
    spool = spool_of(work.folder, served.version)
    last = max((row["task"] for row in spool.rows()), default=0)
    n_done, shows_none = 0, not work.project.model_version.startswith(OWN_PREFIX)
    for tasks in _chunks(_lacking(work, served.version, above=last), work.control):
        spool.append(_computed(work, served, tasks))
        n_done += len(tasks)
        if shows_none and n_done >= FIRST_TASKS:
            push(work, served, spool)
            return False
        makes_way = n_done >= LEAST_TASKS and work.desk.queue.waits(*_in_front(work))
        if n_done >= JOB_TASKS or makes_way:
            return False
    push(work, served, spool)
    return True


def _in_front(work: ProjectDesk) -> tuple[str, ...]:
    """The queues that a bulk job makes way for: a push-only project's labels come by way of the cron's tick."""
    return ("live", "reconcile") if work.row.push_only else ("live",)


def push(work: ProjectDesk, served: Served, spool: Spool) -> None:
    """Push a spool whole, check that it arrived, and make its version the one that Label Studio shows."""
    client, rows = work.desk.client, spool.rows()
    if spool.begun.exists():
        log.warning("push_resumed", project=work.key, version=served.version)
        rows = _still_lacking(work, served.version, rows)
    spool.folder.mkdir(parents=True, exist_ok=True)
    spool.begun.touch()
    rows = _with_blind_scores(work, rows)
    n_kept = sum(client.import_predictions(work.id, body) for body in _bodies(rows))
    if n_kept < len(rows):
        log.error("predictions_dropped", project=work.key, version=served.version, n=len(rows) - n_kept)
    work.desk.ledger.add_shown(work.key, [Shown(**row["shown"]) for row in rows])
    spool.clear()
    work.desk.telemetry.pushed.labels(work.key).inc(n_kept)
    log.info("pushed", project=work.key, version=served.version, n=n_kept)
    if client.model_versions(work.id).get(served.version):
        show_version(work, served.version)


def show_version(work: ProjectDesk, version: str) -> None:
    """Make a version the one that Label Studio shows and sorts by; it must have a prediction."""
    if work.desk.client.project(work.id).model_version != version:
        work.desk.client.update_project(work.id, model_version=version)
        log.info("version_shown", project=work.key, version=version)


def refresh_tasks(work: ProjectDesk, served: Served, tasks: Sequence[Task]) -> int:
    """Predict tasks again and replace what differs, in the given order; how many predictions were written.

    Reason and percents are written where they would read otherwise, the prediction where its tick or its place in the
    stream would differ: a percent more or less is nothing that an annotator should wait for.
    """
    texts = {task.id: text_of(task.data, work.control) for task in tasks}
    wanted = [task for task in tasks if texts[task.id] is not None and not _blind(work, task.id)]
    decided = _decided(work, served, [texts[task.id] or "" for task in wanted])
    pairs = [(task, decision) for task, decision in zip(wanted, decided, strict=True) if decision is not None]
    with ThreadPoolExecutor(WRITERS) as pool:
        written = list(pool.map(lambda pair: _replace(work, served, *pair), pairs))
    changed = [
        shown_row(task.id, served, decision) for (task, decision), new in zip(pairs, written, strict=True) if new
    ]
    work.desk.ledger.add_shown(work.key, changed)
    work.desk.telemetry.pushed.labels(work.key).inc(len(changed))
    return len(changed)


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
    """Give blind tasks their empty prediction, which places them in the order of showing and ticks nothing."""
    blind = [task for task in tasks if _blind(work, task.id) and not _own(task, served.version)]
    decided = _decisions(work, served, blind)
    for task in blind:
        item = empty_prediction(blind_rank(work.key, task.id), served.version)
        work.desk.client.create_prediction(work.id, task.id, item)
        work.desk.ledger.add_shown(work.key, [_blind_row(task.id, served, decided.get(task.id))])


def remove_surplus(work: ProjectDesk, version: str) -> int:
    """Delete all but the newest prediction of a version from each task; how many were deleted."""
    n_deleted = 0
    for task in list(work.desk.client.tasks(work.id, filters=[having_version(version)])):
        surplus = sorted(item["id"] for item in task.predictions if item["model_version"] == version)[:-1]
        for prediction_id in surplus:
            work.desk.client.delete_prediction(prediction_id)
        n_deleted += len(surplus)
    return n_deleted


def _lacking(work: ProjectDesk, version: str, *, above: int = 0) -> Iterator[Task]:
    filters = [unlabelled(), lacking_version(version), id_above(above)]
    return work.desk.client.tasks(work.id, filters=filters, all_fields=False)


def _still_lacking(work: ProjectDesk, version: str, rows: list[Json]) -> list[Json]:
    """After a push whose end nobody saw: delete what is there twice, keep what is not there at all."""
    remove_surplus(work, version)
    lacking = {task.id for task in _lacking(work, version)}
    return [row for row in rows if row["task"] in lacking]


def _computed(work: ProjectDesk, served: Served, tasks: Sequence[Task]) -> list[Json]:
    """Spool rows of a chunk; tasks without a text get none. LLMs are asked at the head of the label stream only."""
    decided = _decisions(work, served, tasks)
    rows = [
        _row(task_id, prediction(decision, work.control, served.version), shown_row(task_id, served, decision))
        for task_id, decision in decided.items()
        if not _blind(work, task_id)
    ]
    blind = [task.id for task in tasks if _blind(work, task.id)]
    return rows + [
        _row(task_id, empty_prediction(0.0, served.version), _blind_row(task_id, served, decided.get(task_id)))
        for task_id in blind
    ]


def _decisions(work: ProjectDesk, served: Served, tasks: Sequence[Task]) -> dict[int, Decision]:
    """What the cheap levels say, by task; tasks without a text are left out."""
    texts = {task.id: text for task in tasks if (text := text_of(task.data, work.control)) is not None}
    decided = served.pipeline.without_llm().run(list(texts.values()), deadline_s=float("inf"))
    work.desk.telemetry.decided(work.key, decided)
    return {task_id: decision for task_id, decision in zip(texts, decided, strict=True) if decision is not None}


def _row(task_id: int, item: Json, shown: Shown) -> Json:
    return {"task": task_id, **item, "shown": asdict(shown)}


def _blind_row(task_id: int, served: Served, decision: Decision | None) -> Shown:
    """What would have been ticked, marked as not shown: it is compared with what people say unled."""
    if decision is None:
        return Shown(task_id, served.version, served.generation, "", 0.0, "", "blind")
    return replace(shown_row(task_id, served, decision), kind="blind")


def _with_blind_scores(work: ProjectDesk, rows: list[Json]) -> list[Json]:
    """Place blind tasks at random among the others: each takes the score at its rank among theirs."""
    scores = sorted(row["score"] for row in rows if row["shown"]["kind"] != "blind") or [0.5]
    placed = []
    for row in rows:
        if row["shown"]["kind"] == "blind":
            rank = blind_rank(work.key, row["task"])
            row = {**row, "score": scores[min(int(rank * len(scores)), len(scores) - 1)]}
        placed.append(row)
    return placed


def _bodies(rows: Sequence[Json]) -> Iterator[list[Json]]:
    """As few bodies as the size limit allows: each call recounts the whole project."""
    body: list[Json] = []
    size = 0
    for row in rows:
        item = {name: value for name, value in row.items() if name != "shown"}
        length = len(json.dumps(item))
        if body and size + length > MAX_BODY_BYTES:
            yield body
            body, size = [], 0
        body.append(item)
        size += length
    if body:
        yield body


def _replace(work: ProjectDesk, served: Served, task: Task, decision: Decision) -> bool:
    """Write what a task shows, then its prediction, where they differ: no tick without its reason."""
    client = work.desk.client
    item = prediction(decision, work.control, served.version)
    mine = _own(task, served.version)
    own, surplus = (mine[0] if mine else None), mine[1:]
    changed = own is None or _differs(own, item)
    shown = shown_data(decision, work.control)
    stale = any(not reads_alike(task.data.get(key), value) for key, value in shown.items())
    try:
        for twin in surplus:  # Label Studio asked /predict while a job pushed
            client.delete_prediction(twin["id"])
        if stale:
            client.patch_task(task.id, {**task.data, **shown})
        if own is None:
            client.create_prediction(work.id, task.id, item)
        elif changed:
            client.update_prediction(own["id"], item)
    except LabelStudioError as err:
        if err.status != 404:  # the task was deleted meanwhile
            raise
        return False
    return changed


def _own(task: Task, version: str) -> list[Json]:
    return [item for item in task.predictions if item.get("model_version") == version]


def _differs(old: Json, new: Json) -> bool:
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


def _end_of_last_line(file: BinaryIO) -> int:
    """Where the last whole line ends; looks at the end of the file only."""
    end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - BLOCK)
        file.seek(begin)
        place = file.read(end - begin).rfind(b"\n")
        if place >= 0:
            return begin + place + 1
        end = begin
    return 0


def _line(row: Json) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


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

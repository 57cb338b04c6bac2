"""Predictions that are written one by one: of the head of the label stream, and of tasks that are new or edited."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from backend.answering import shown_row
from backend.core.artefacts import OWN_PREFIX
from backend.core.errors import LabelStudioError
from backend.core.projects import showing_rank
from backend.core.types import Decision
from backend.job_queue import QUEUES, UNVOTED
from backend.labelstudio.records import Task
from backend.labelstudio.wire import Json, empty_prediction, prediction, reads_so, shown_data, tells, text_of
from backend.ledger import Shown
from backend.loop.concealment import conceal
from backend.loop.deciding import blind_row, decisions, kept_blind, text_in
from backend.loop.desk import ProjectDesk
from backend.loop.edited import edited
from backend.loop.order import is_place
from backend.serving import Served

SAME_CONFIDENCE = 0.05  # closer than this a tick and its percents stay as they are
SAME_SCORE = 0.02  # scores closer than this order the label stream as well; each write costs 60 ms
N_REFINED = 10  # tasks of the head that LLMs look at: what comes next
REFRESH_S = 1.5  # of LLMs for the head of the label stream, which follows a label within 5 s
WRITERS = 2  # requests at once to Label Studio, whose SQLite has one writer


def refresh_tasks(work: ProjectDesk, served: Served, tasks: Sequence[Task]) -> int:
    """Predict tasks again and replace what differs, in the given order; how many were written.

    A tick whose confidence moves by less than SAME_CONFIDENCE stays with its reason and percents:
    a percent more or less is nothing that an annotator should wait for. Its score alone moves.
    """
    _conceal_blind(work, tasks)
    texts = {task.id: text_of(task.data, work.control) for task in tasks}
    wanted = [task for task in tasks if texts[task.id] is not None and not kept_blind(work, task.id)]
    decided = _decided(work, served, [texts[task.id] or "" for task in wanted])
    pairs = [(task, decision) for task, decision in zip(wanted, decided, strict=True) if decision is not None]
    refine_later(work, [task.id for task, decision in pairs if decision.unvoted])
    return replace_predictions(work, served, pairs)


def explain_tasks(work: ProjectDesk, served: Served, tasks: Sequence[Task]) -> int:
    """Predict tasks again by the cheap levels alone, as `refresh_tasks` does; how many were written."""
    _conceal_blind(work, tasks)
    seen = {task.id: task for task in tasks if not kept_blind(work, task.id)}
    decided = decisions(work, served, list(seen.values()))
    pairs = [(seen[task_id], decision) for task_id, decision in decided.items()]
    return replace_predictions(work, served, pairs)


def _conceal_blind(work: ProjectDesk, tasks: Sequence[Task]) -> None:
    conceal(work, [task.id for task in tasks if kept_blind(work, task.id) and tells(task.data)])


def present_tasks(work: ProjectDesk, task_ids: Sequence[int]) -> list[Task]:
    """The tasks as they are now, where they are still there and open.

    Whoever writes their data holds the lease on labels.
    """
    found = []
    for task_id in task_ids:
        try:
            found.append(work.desk.client.task(task_id))
        except LabelStudioError as err:
            if not err.gone:
                raise
    return [task for task in found if task.open]


def refine_later(work: ProjectDesk, task_ids: Sequence[int]) -> None:
    """Have a job of its own ask the language models about tasks for which there was no time."""
    if task_ids:
        work.desk.queue.put_aside(UNVOTED, work.key, task_ids)
        work.desk.queue.enqueue("refine", work.key)


def replace_predictions(work: ProjectDesk, served: Served, pairs: Sequence[tuple[Task, Decision]]) -> int:
    """Write what differs, in the given order; how many predictions were written."""
    told = {task.id: decision for task, decision in pairs if tells(task.data)}
    shown = work.desk.ledger.last_shown(work.key, list(told))
    staying = {
        task.id
        for task, decision in pairs
        if task.id in told
        and not _ticks_otherwise(work, served, task, decision)
        and _as_sure(shown.get(task.id), decision)
    }
    conceal(work, [task_id for task_id in told if task_id not in staying])
    with ThreadPoolExecutor(WRITERS) as pool:
        written = list(
            pool.map(
                lambda pair: (_move if pair[0].id in staying else _replace)(work, served, *pair),
                pairs,
            )
        )
    again = {task.id for task in edited(work, [task for task, _ in pairs])}
    rows = [
        row or shown_row(task.id, served, decision, text_in(work, task))
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
    kept = {task.id: task for task in tasks if kept_blind(work, task.id) and not _own(task, served.version)}
    for task_id, decision in decisions(work, served, list(kept.values())).items():
        item = empty_prediction(showing_rank(work.key, task_id), served.version)
        since = _store(work, kept[task_id], item, _standing(kept[task_id], served.version))
        row = replace(blind_row(work, kept[task_id], served, decision), stored_at=since)
        work.desk.ledger.add_shown(work.key, [row])


def renew_blind(work: ProjectDesk, served: Served, tasks: Sequence[Task]) -> None:
    """Note what blind tasks would have been ticked with, by their present texts; nothing is written to them."""
    kept = {task.id: task for task in tasks if kept_blind(work, task.id)}
    decided = decisions(work, served, list(kept.values()))
    rows = [blind_row(work, kept[task_id], served, each) for task_id, each in decided.items()]
    work.desk.ledger.add_shown(work.key, rows)


def _ticks_otherwise(work: ProjectDesk, served: Served, task: Task, decision: Decision) -> bool:
    """Whether another tick is to stand there than does now, or the first one of this version."""
    own = _standing(task, served.version)
    if own is None or own.get("model_version") != served.version:
        return True
    return _value(own) != _value(prediction(decision, work.control, served.version, ""))


def _as_sure(shown: Shown | None, decision: Decision) -> bool:
    """Whether the percents that stand there are near enough to those that a decision would give."""
    return shown is not None and abs(shown.confidence - decision.confidence) < SAME_CONFIDENCE


def _move(work: ProjectDesk, served: Served, task: Task, decision: Decision) -> None:
    """Give a prediction that stays another place in the order of showing: a score, and nothing that people see."""
    own = _own(task, served.version)[0]
    item = _in_its_place(prediction(decision, work.control, served.version, ""), own)
    try:
        for twin in _own(task, served.version)[1:]:
            work.desk.client.delete_prediction(twin["id"])
        if abs((own.get("score") or 0.0) - item["score"]) >= SAME_SCORE:
            work.desk.client.update_prediction(own["id"], {**item, "result": own["result"]})
    except LabelStudioError as err:
        if not err.gone:
            raise


def _replace(work: ProjectDesk, served: Served, task: Task, decision: Decision) -> Shown | None:
    """Write a task's prediction, then what explains it, where they differ; the prediction's row.

    What explained the one before has been taken off.
    """
    client, row = work.desk.client, shown_row(task.id, served, decision, text_in(work, task))
    own, surplus = _standing(task, served.version), _own(task, served.version)[1:]
    item = _in_its_place(prediction(decision, work.control, served.version, row.region_id), own)
    shown = shown_data(decision, work.control)
    reads_otherwise = not reads_so(task.data, shown)
    changed = own is None or _differs(own, item) or (reads_otherwise and _another_confidence(own, item))
    try:
        for twin in surplus:  # Label Studio asked /predict while a job pushed
            client.delete_prediction(twin["id"])
        if changed:
            row = replace(row, stored_at=_store(work, task, item, own))
        if reads_otherwise or tells(task.data):
            client.patch_task(task.id, {**task.data, **shown})
    except LabelStudioError as err:
        if not err.gone:
            raise
        return None
    return row if changed else None


def _own(task: Task, version: str) -> list[Json]:
    """A version's predictions, the oldest first, which is the one that pages show."""
    mine = [item for item in task.predictions if item.get("model_version") == version]
    return sorted(mine, key=lambda item: int(item["id"]))


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


def _another_confidence(old: Json, new: Json) -> bool:
    """Whether a prediction whose score tells its place alone was made of another confidence: ticks bear its name."""
    names = [[region.get("id") for region in item.get("result") or ()] for item in (old, new)]
    return is_place(new["score"]) and (names[0] != names[1] or not names[1])


def _in_its_place(new: Json, own: Json | None) -> Json:
    """A prediction that keeps the place which the one before it has in the order of showing."""
    score = own.get("score") if own and own.get("model_version") == new["model_version"] else None
    return {**new, "score": score} if score is not None and is_place(score) else new


def _value(item: Json) -> list[Any]:
    return [region.get("value") for region in item.get("result") or ()]

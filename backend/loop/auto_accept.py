"""Labels accepted without a person, where a project asks for a precision and the labels of its blind tasks promise it.

A blind task is never accepted, however sure the model is: these go to annotators, without a tick, and are what the
promise is made of and checked by. What was accepted is entered in the ledger first, and one command takes it back.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace

from backend.core.errors import LabelStudioError, OutsideError
from backend.labelstudio.filters import having_version, open_tasks, score_from, score_under, unlabelled
from backend.labelstudio.records import Json, Task
from backend.labelstudio.schema import AUTO_KEY
from backend.labelstudio.wire import choice
from backend.ledger import AutoAccepted, Kind, Shown
from backend.loop.desk import ProjectDesk
from backend.loop.order import LED, MOVED
from backend.loop.promised import RULE_FILE, TAKEN_BACK, Rule, keep, read_rule, settle
from backend.loop.replacements import WRITERS
from training.dataset import label_of_annotation

MARKED = "auto"  # the value under AUTO_KEY
WRITES = 50  # of one job, 60 ms each: labels wait to be followed meanwhile
WAIT_S = 120.0  # for a worker that is at it
DONE = "auto-accepted"  # the note of what was looked at when nothing was left to do


def wanted(work: ProjectDesk) -> bool:
    """Whether there is anything to accept or to take away."""
    return bool(work.settings.target_precision) or bool(work.desk.ledger.auto.standing(work.key))


def apply(work: ProjectDesk) -> bool:
    """Accept what falls under the promise, take marks away that do not any more; false where more is left."""
    rule = settle(work)
    version = work.folder.current()
    if work.project.model_version != version:  # its scores sort and filter once it is shown
        return True
    if work.desk.queue.noted(DONE, work.key) == _state(work, version, rule):
        return True
    found = _acceptable(work, version, rule) if rule and rule.active else {}
    kind: Kind = "annotation" if work.settings.auto_accept == "annotation" else "mark"
    standing_rows = work.desk.ledger.auto.standing(work.key)
    left = _unmark(work, [row for row in standing_rows.values() if row.kind == "mark" and not _keeps(row, kind, found)])
    write = _annotate if kind == "annotation" else _mark
    if not left or not write(work, found, left):
        return False
    work.desk.queue.note(DONE, work.key, _state(work, version, rule))
    return True


def take_back(work: ProjectDesk, report: Callable[[str], None]) -> int:
    """Take away every mark, and every annotation that nobody has changed, and stop; how many went.

    Raises:
        LabelStudioError: it did not answer; what went by then is gone, and the command goes on from there.
        OutsideError: a worker is at it for long.
    """
    rule = read_rule(work.folder) or settle(work)
    if rule is not None:
        keep(work.folder, replace(rule, stopped=TAKEN_BACK))
    rows = list(work.desk.ledger.auto.standing(work.key).values())
    for start in range(0, len(rows), WRITES):
        report(f"{start} of {len(rows)}")
        with work.desk.lease("labels", work.key, wait_s=WAIT_S) as held:  # between two of them labels are followed
            if not held:
                raise OutsideError("nobody else may work on the project, but a worker does; try again when it is done")
            _remove(work, rows[start : start + WRITES])
    return len(rows)


def resume(work: ProjectDesk) -> None:
    """Look for a promise again, from all blind labels of now."""
    (work.folder.root / RULE_FILE).unlink(missing_ok=True)
    work.desk.queue.enqueue("auto_accept", work.key)


def _state(work: ProjectDesk, version: str, rule: Rule | None) -> str:
    """What a look depends on, by one small request: the next one is spared where it is the same."""
    moves = work.desk.client.pulse(work.id, _sure(version, rule)) if rule and rule.active else None
    asked = (version, work.settings.target_precision, work.settings.auto_accept)
    return json.dumps([*asked, rule and (rule.made_at, rule.stopped), moves and asdict(moves)])


def _sure(version: str, rule: Rule) -> list[Json]:
    """Filters for what may be accepted by its score."""
    return [*_open(version), score_from((rule.promise.threshold or 1.0) - MOVED)]


def _open(version: str) -> list[Json]:
    """Filters for what may be accepted at all: where one person of two has spoken, another one shall."""
    return [open_tasks(), unlabelled(), having_version(version)]


def _acceptable(work: ProjectDesk, version: str, rule: Rule) -> dict[int, tuple[Task, Shown]]:
    """Open tasks without a label whose prediction falls under the rule; the score of some tells their place alone."""
    wanted = (_sure(version, rule), [*_open(version), score_under(LED)])
    listed = (work.desk.client.tasks(work.id, filters=filters, all_fields=False) for filters in wanted)
    tasks = {task.id: task for part in listed for task in part}
    shown = work.desk.ledger.last_shown(work.key, tasks)
    values = {*work.control.space.values, work.control.space.oos_value}
    return {
        task_id: (tasks[task_id], row)
        for task_id, row in shown.items()
        if row.version == version and row.label in values and rule.accepts(row)
    }


def _keeps(row: AutoAccepted, kind: Kind, found: Mapping[int, tuple[Task, Shown]]) -> bool:
    return row.kind == kind and row.task_id in found and found[row.task_id][1].label == row.label


def _unmark(work: ProjectDesk, rows: Iterable[AutoAccepted]) -> int:
    """Take marks away from tasks without a label; others keep theirs. How many writes are left."""
    left = WRITES
    for row in rows:
        if not left:
            break
        with _unless_gone():
            task = work.desk.client.task(row.task_id)
            if task.unlabelled:
                _patch_without_mark(work, task)
        work.desk.ledger.auto.take_back(work.key, [row.task_id])
        left -= 1
    return left


def _mark(work: ProjectDesk, found: Mapping[int, tuple[Task, Shown]], left: int) -> bool:
    """Mark tasks; false where more is left."""
    known = work.desk.ledger.auto.standing(work.key)
    missing = [pair for pair in found.values() if pair[0].data.get(AUTO_KEY) != MARKED or pair[0].id not in known]
    chosen = missing[:left]
    work.desk.ledger.auto.add(work.key, [_row(shown, "mark") for task, shown in chosen if task.id not in known])
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda pair: _patch(work, pair[0]), chosen))
    return len(chosen) == len(missing)


def _annotate(work: ProjectDesk, found: Mapping[int, tuple[Task, Shown]], left: int) -> bool:
    """Annotate tasks as the token's account; false where more is left."""
    ledger = work.desk.ledger.auto
    known = ledger.standing(work.key)
    missing = [pair for pair in found.values() if pair[0].id not in known or not known[pair[0].id].annotation_id]
    chosen = missing[:left]  # what a person deleted is not written again
    for task, shown in chosen:
        if task.id not in known:
            ledger.add(work.key, [_row(shown, "annotation")])
        with _unless_gone():
            number = work.desk.client.create_annotation(task.id, [choice(work.control, shown.label)])
            ledger.name_annotation(work.key, task.id, number)
    return len(chosen) == len(missing)


def _row(shown: Shown, kind: Kind) -> AutoAccepted:
    return AutoAccepted(shown.task_id, shown.version, shown.label, shown.confidence, kind)


def _patch(work: ProjectDesk, task: Task) -> None:
    with _unless_gone():
        work.desk.client.patch_task(task.id, {**task.data, AUTO_KEY: MARKED})


def _remove(work: ProjectDesk, rows: Iterable[AutoAccepted]) -> None:
    how = work.desk.ledger.how_accepted(work.key)
    for row in rows:
        with _unless_gone():
            _remove_one(work, row, untouched=how.get(row.annotation_id, "auto") == "auto")
        work.desk.ledger.auto.take_back(work.key, [row.task_id])


def _remove_one(work: ProjectDesk, row: AutoAccepted, *, untouched: bool) -> None:
    task = work.desk.client.task(row.task_id)
    if row.kind == "mark":
        _patch_without_mark(work, task)
    for item in task.annotations:
        if item.id == row.annotation_id and untouched and label_of_annotation(item, work.control) == row.label:
            work.desk.client.delete_annotation(item.id)


def _patch_without_mark(work: ProjectDesk, task: Task) -> None:
    if AUTO_KEY in task.data:
        work.desk.client.patch_task(task.id, {name: value for name, value in task.data.items() if name != AUTO_KEY})


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Leave out a task that was deleted meanwhile."""
    try:
        yield
    except LabelStudioError as err:
        if not err.gone:
            raise

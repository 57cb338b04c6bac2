"""Follow what people do: read what changed in Label Studio, learn it, and keep the head of the label stream fresh."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from backend.core.artefacts import OWN_PREFIX
from backend.core.clock import age_s
from backend.core.projects import ProjectSettings, is_blind
from backend.labelstudio.filters import having_version, open_tasks
from backend.labelstudio.records import Annotation, Task
from backend.labelstudio.schema import TOP_KEY, WHY_KEY, Control
from backend.ledger import Accepted, AutoAccepted, How, OnScreen, ProjectRow, Shown
from backend.logs import present_trace
from backend.loop.changes import changes
from backend.loop.clocks import capped
from backend.loop.desk import ProjectDesk
from backend.loop.edited import edited
from backend.loop.gold import bucket_of
from backend.loop.pacing import BULK, Pace
from backend.loop.replacements import add_blind, refresh_tasks, renew_blind
from backend.loop.screen import on_screen
from backend.serving import Served
from training.dataset import how_accepted, label_of_annotation, task_label, trains

FEW_NEW = 50  # new tasks up to here are predicted at once, more by a job of their own
DUE = "due"  # the note of whose label made a training worth it
MIN_CHANGE = 5  # changed labels that make a retraining worth it, however small the project

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Followed:
    """What had changed since the last time."""

    n_learned: int  # labels
    n_edited: int  # open tasks whose text is another one now


def follow(work: ProjectDesk) -> Followed:
    """Catch up with Label Studio since the watermark.

    While a version is being pushed, predictions are left to the push: two writers would double them, and following
    every label would keep the push waiting for ever.
    """
    seen = changes(work)
    tasks = seen.tasks
    n_learned = learn(work, tasks)
    free_unlabelled(work, tasks)
    served, n_edited = work.served(), 0
    if served is not None and work.project.model_version == served.version:
        if n_learned:
            refresh_head(work, served)
        n_edited = _predict_new(work, served, tasks)
    elif served is not None:
        work.desk.queue.enqueue("predict_project", work.key)
    work.update(watermark=capped(work, seen.watermark))
    if any(task.annotations for task in tasks):
        work.desk.queue.enqueue("mark", work.key)
    log.info("followed", n_tasks=len(tasks), n_learned=n_learned, n_edited=n_edited)
    return Followed(n_learned, n_edited)


def learn(work: ProjectDesk, tasks: Sequence[Task]) -> int:
    """Enter new annotations into the ledger and changed labels into the index; how many labels changed."""
    _enter(work, [task for task in tasks if task.annotations])
    ledger = work.desk.ledger
    how = ledger.how_accepted(work.key)
    known = {row.task_id: row for row in ledger.index_rows(work.key)}
    moved: list[tuple[int, str, str, int]] = []
    for task in tasks:
        said = task_label(task, work.control, how)
        if said is not None and said.how == "auto" and not trains(said, work.settings):
            said = None
        before = known.get(task.id)
        if said is not None and (before is None or (before.text, before.label) != (said.text, said.label)):
            moved.append((task.id, said.text, said.label, bucket_of(work, said.text)))
        if said is None and before is not None and before.label:
            moved.append((task.id, "", "", before.bucket))
    ledger.put_index(work.key, moved)
    if moved:
        note_changes(work, len(moved), n_labels=len(known) + len(moved))
    return len(moved)


def free_unlabelled(work: ProjectDesk, tasks: Sequence[Task]) -> int:
    """Delete annotations that bulk accept made of our predictions without a tick; of how many tasks.

    A blind task carries such a prediction, which places it in the label stream. Nobody has said
    anything about it, so it is open again. The ledger keeps that there was one.
    """
    empty = {task.id: [item.id for item in task.annotations if _says_nothing(item, task)] for task in tasks}
    alone = [task.id for task in tasks if empty[task.id] and len(empty[task.id]) == len(task.annotations)]
    for some in Pace(BULK).pieces(alone):
        work.desk.client.delete_annotations_of(work.id, some)
    freed = set(alone)
    shared = [number for task in tasks if task.id not in freed for number in empty[task.id]]
    for numbers in Pace().pieces(shared):
        for annotation_id in numbers:
            work.desk.client.delete_annotation(annotation_id)
    n_freed = sum(bool(found) for found in empty.values())
    if n_freed:
        log.info("empty_annotations_removed", project=work.key, n_tasks=n_freed)
    return n_freed


def _says_nothing(item: Annotation, task: Task) -> bool:
    """Whether bulk accept made an annotation of a prediction of ours that ticks nothing."""
    parents = {each["id"]: str(each.get("model_version")) for each in task.predictions}
    of_ours = parents.get(item.parent_prediction or 0, "").startswith(OWN_PREFIX)
    return of_ours and item.updated_by is None and not item.result and not item.was_cancelled


def forget(work: ProjectDesk, task_ids: Iterable[int]) -> None:
    """Take vanished tasks out of the index, and out of what it once held."""
    gone = list(task_ids)
    work.desk.ledger.put_index(work.key, [(task_id, "", "", 0) for task_id in gone])
    work.desk.ledger.erase(work.key, gone)


def refresh_head(work: ProjectDesk, served: Served) -> int:
    """Predict the head of the label stream again, as `refresh_tasks` does; how many predictions were replaced."""
    filters = [open_tasks(), having_version(served.version)]
    head = work.desk.client.tasks(
        work.id, filters=filters, ordering="tasks:predictions_score", limit=work.settings.head
    )
    return refresh_tasks(work, served, list(head))


def note_changes(work: ProjectDesk, n_changed: int, *, n_labels: int) -> None:
    """Count changed labels, and note since when a training is worth it."""
    row = work.desk.ledger.project(work.key) or work.row
    now = time.time()
    total = row.changed_labels + n_changed
    due = worth_training(row, work.settings, total, n_labels)
    work.update(changed_labels=total, changed_at=now, due_at=(row.due_at or now) if due else 0.0)
    if due and not row.due_at:
        work.desk.queue.note(DUE, work.key, present_trace())


def worth_training(row: ProjectRow, settings: ProjectSettings, n_changed: int, n_labels: int) -> bool:
    """Whether enough labels changed since the last training."""
    if row.trained_labels == 0:
        return n_labels >= settings.min_labels
    return n_changed >= max(MIN_CHANGE, settings.growth * row.trained_labels)


def training_due(row: ProjectRow, settings: ProjectSettings, now: float) -> bool:
    """Whether to train now: worth it, quiet or patient enough, and not too soon after the last one."""
    if row.frozen or not row.due_at:
        return False
    quiet = age_s(row.changed_at, now) >= settings.quiet_s
    small = row.trained_labels <= settings.small
    interval_s = settings.small_interval_s if small else settings.large_interval_s
    waited = quiet or age_s(row.due_at, now) >= settings.patience_s
    return waited and age_s(row.trained_at, now) >= interval_s


def _enter(work: ProjectDesk, tasks: Sequence[Task]) -> None:
    """Enter the states of annotations that are new, beside what was on the screen when each was made."""
    ledger, ids = work.desk.ledger, [item.id for task in tasks for item in task.annotations]
    known = ledger.known_states(work.key, ids)
    first = ledger.accepted_as(work.key, ids)
    shown = ledger.all_shown(work.key, [task.id for task in tasks])
    ours = ledger.auto.standing(work.key, [task.id for task in tasks])
    ledger.add_accepted(
        work.key,
        [
            _accepted(work, item, task, first.get(item.id), shown.get(task.id, []), ours.get(task.id))
            for task in tasks
            for item in task.annotations
            if (item.id, item.updated_at) not in known
        ],
    )


def _accepted(
    work: ProjectDesk, item: Annotation, task: Task, first: Accepted | None, rows: Sequence[Shown],
    ours: AutoAccepted | None,
) -> Accepted:  # fmt: skip
    """A state of an annotation. One that was changed keeps what was shown when it was made."""
    seen = _on_record(first) if first else on_screen(item, task, rows)
    how = how_accepted(item, work.key, seen, first.how if first else None, work.settings.blind_share, task.id)
    if first is None and _is_ours(item, ours, work.control):
        how = "auto"
    told = seen.shown or _hidden(how, rows)
    return Accepted(
        task_id=task.id,
        annotation_id=item.id,
        annotation_updated_at=item.updated_at,
        annotator=item.completed_by,
        label=label_of_annotation(item, work.control),
        how=how,
        lead_time_s=item.lead_time_s,
        version=told.version if told else "",
        generation=told.generation if told else 0,
        shown_label=told.label if told else "",
        confidence=told.confidence if told else None,
        stage=told.stage if told else "",
    )


def _hidden(how: How, rows: Sequence[Shown]) -> Shown | None:
    """What would have been ticked in a blind task, and what was in an annotation of our own; nobody saw it."""
    return rows[-1] if rows and how in ("blind", "auto") else None


def _on_record(first: Accepted) -> OnScreen:
    """What was on the screen, as the ledger has it."""
    kind = "blind" if first.how == "blind" else "label" if first.shown_label else "abstain"
    shown = Shown(
        first.task_id,
        first.version,
        first.generation,
        first.shown_label,
        first.confidence or 0.0,
        first.stage,
        kind,
    )
    return OnScreen(shown if first.version else None, known=first.how != "unknown")


def _is_ours(annotation: Annotation, accepted: AutoAccepted | None, control: Control) -> bool:
    """Whether we wrote an annotation: it bears the number that we were told, or is the one that was announced."""
    if accepted is None or accepted.kind != "annotation":
        return False
    announced = not accepted.annotation_id and label_of_annotation(annotation, control) == accepted.label
    return announced or annotation.id == accepted.annotation_id


def _predict_new(work: ProjectDesk, served: Served, tasks: Sequence[Task]) -> int:
    """Predict open tasks that lack the present version, that Label Studio fetched it for, or that were edited.

    All that were edited, one by one: where time runs out, the rest is found by the next run.
    How many they were.
    """
    present = [task for task in reversed(tasks) if task.open]  # the newest first: somebody may be looking at it
    lacking = [task for task in present if not _has(task, served.version)]
    if len(lacking) > FEW_NEW:
        work.desk.queue.enqueue("predict_project", work.key)
        lacking = []
    fetched = [task for task in present if task.created_at > work.row.watermark and _has(task, served.version)]
    silent = [task for task in fetched if not _explained(work, task)]
    refresh_tasks(work, served, [*lacking, *silent][:FEW_NEW])
    add_blind(work, served, lacking)
    changed = edited(work, [task for task in present if _has(task, served.version)])
    refresh_tasks(work, served, changed)
    renew_blind(work, served, changed)
    return len(changed)


def _has(task: Task, version: str) -> bool:
    return any(item.get("model_version") == version for item in task.predictions)


def _explained(work: ProjectDesk, task: Task) -> bool:
    control = work.control
    blind = is_blind(work.key, task.id, work.settings.blind_share)
    wanted = [key for key, shown in ((WHY_KEY, control.shows_reason), (TOP_KEY, control.dynamic)) if shown]
    return blind or all(task.data.get(key) for key in wanted)

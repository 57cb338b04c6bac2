"""Where a project stands, in one line: versions, coverage, trainings, acceptance."""

import time
from collections import Counter
from dataclasses import dataclass

from backend.core.errors import PrelabelError
from backend.loop.desk import Desk, ProjectDesk


@dataclass(frozen=True)
class ProjectStatus:
    """One project as `prelabel status` shows it; texts, ready to print."""

    project: str
    version: str
    shown: str  # whether Label Studio shows that version
    tasks: str  # annotated / all
    trained_on: str  # labels of the last training, and those that changed since
    last_event: str
    reconciled: str
    kept: str  # share of shown labels that were accepted as they were, one by one
    state: str

    @staticmethod
    def columns() -> tuple[str, ...]:
        return ("project", "version", "shown", "tasks", "trained on", "last event", "reconciled", "kept", "state")

    def cells(self) -> tuple[str, ...]:
        return (
            self.project, self.version, self.shown, self.tasks, self.trained_on, self.last_event, self.reconciled,
            self.kept, self.state,
        )  # fmt: skip


def project_status(desk: Desk, key: str) -> ProjectStatus:
    """The status of a connected project; a project that cannot be read says why."""
    try:
        work = desk.project(key)
    except PrelabelError as err:
        return ProjectStatus(key, desk.loader.folder(key).current(), "", "", "", "", "", "", str(err))
    counters, row = work.project.counters, work.row
    words = ((f"pinned to {row.pinned}", row.pinned), ("frozen", row.frozen), ("push-only", row.push_only))
    state = [word for word, holds in words if holds]
    return ProjectStatus(
        project=f"{work.id} {work.project.title}",
        version=work.folder.current() or "none",
        shown="yes" if work.project.model_version == work.folder.current() else work.project.model_version or "no",
        tasks=f"{counters['num_tasks_with_annotations']}/{counters['task_number']}",
        trained_on=f"{row.trained_labels} (+{row.changed_labels})",
        last_event=_ago(row.webhook_at),
        reconciled=_ago(row.reconciled_at),
        kept=_kept(work),
        state=", ".join(state) or "ok",
    )


def _kept(work: ProjectDesk) -> str:
    counts: Counter[bool] = Counter()
    for how, kept, n in work.desk.ledger.acceptance(work.key):
        if how == "seen":
            counts[kept] += n
    total = counts.total()
    return f"{counts[True] / total:.0%} of {total}" if total else "-"


def _ago(unix: float) -> str:
    if not unix:
        return "never"
    seconds = int(time.time() - unix)
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago"

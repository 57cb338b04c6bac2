"""What jobs have seen in Label Studio, kept so that nobody need ask it again: open tasks, what reconciling found.

It lies in Redis: were it lost, the next reconcile sees it again.
"""

import json
from dataclasses import asdict, dataclass

from backend.job_queue import JobQueue

COVERAGE, RECONCILED = "coverage", "reconciled"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many open tasks there were, and how many of them had a prediction of the version that serves."""

    version: str
    n_open: int  # without those that hold no text
    n_predicted: int
    at: float  # unix
    n_textless: int = 0  # open, and never predicted

    @property
    def share(self) -> float | None:
        """0-1; None where no task is open."""
        return self.n_predicted / self.n_open if self.n_open else None


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What the last reconcile found that no webhook had said: config, labels, predictions."""

    found: tuple[str, ...]
    at: float  # unix


def keep_coverage(queue: JobQueue, key: str, coverage: Coverage) -> None:
    queue.note(COVERAGE, key, json.dumps(asdict(coverage)))


def keep_reconciled(queue: JobQueue, key: str, reconciled: Reconciled) -> None:
    queue.note(RECONCILED, key, json.dumps(asdict(reconciled)))


def last_coverage(queue: JobQueue, key: str) -> Coverage | None:
    """None where nobody has counted for a day."""
    kept = queue.noted(COVERAGE, key)
    return Coverage(**json.loads(kept)) if kept else None


def last_reconciled(queue: JobQueue, key: str) -> Reconciled | None:
    """None where nobody has reconciled for a day."""
    kept = json.loads(queue.noted(RECONCILED, key) or "null")
    return Reconciled(tuple(kept["found"]), kept["at"]) if kept else None

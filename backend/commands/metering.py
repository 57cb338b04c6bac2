"""What the language models of one run of a command may take, and what they took.

A run that was killed goes on with what it had left; one that ended is forgotten.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from backend.core.settings import Settings
from backend.core.spending import Spend
from backend.ledger import Ledger, open_ledger
from backend.pipeline.budget import Budget, MeteredBudget, NoBudget

RUN = "run-"  # how their names begin; a project's begins with a digit
NO_DAY = ""


class Run(Protocol):
    """One run of a command."""

    @property
    def budget(self) -> Budget: ...
    def figures(self) -> Mapping[str, Any]:
        """What its language models took."""
        ...


@dataclass(frozen=True, slots=True)
class UnmeteredRun:
    """A run without language models."""

    budget: Budget = field(default_factory=NoBudget)

    def figures(self) -> Mapping[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class MeteredRun:
    ledger: Ledger
    name: str
    limits: Spend

    @property
    def budget(self) -> Budget:
        return MeteredBudget(self.ledger.spending, self.name, lambda: self.limits, lambda: NO_DAY)

    def figures(self) -> Mapping[str, Any]:
        spent = self.ledger.spending.spent(self.name, NO_DAY)
        amounts = {"llm_tokens": spent.spend.tokens, "llm_seconds": round(spent.spend.seconds, 1)}
        return {**amounts, "llm_cost": round(spent.spend.cost, 4), "n_over_limit": spent.n_over}


@contextmanager
def metered(settings: Settings, limits: Spend, *, what: str) -> Iterator[MeteredRun]:
    """A run within limits.

    Args:
        what: it does: who does the same again goes on with what was left.

    Raises:
        StateError: the database takes no writes.
    """
    ledger = open_ledger(settings)
    run = MeteredRun(ledger, RUN + hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:16], limits)
    try:
        yield run
        ledger.spending.forget(run.name)
    finally:
        ledger.engine.dispose()

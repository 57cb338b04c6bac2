"""What language models may take: voters are asked through a budget, which counts and, at its limit, asks nobody.

What a call is expected to take is entered before the call and corrected after it, so that a process that is killed in
between has entered too much rather than too little. Over the limit the cheap levels' answer stands.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import structlog

from backend.core.deadline import Deadline
from backend.core.errors import StateError
from backend.core.spending import NOTHING, Bill, Spend, Spent
from backend.pipeline.question import Question, Vote, Voter

log = structlog.get_logger(__name__)


class Budget(Protocol):
    """Who may be asked how much."""

    def ask(self, voter: Voter, questions: Sequence[Question], *, deadline: Deadline) -> list[Vote | None]:
        """The voter's votes, in order; None where there was neither time nor means."""
        ...


@dataclass(frozen=True)
class NoBudget:
    """Anybody may be asked anything, and nobody counts."""

    def ask(self, voter: Voter, questions: Sequence[Question], *, deadline: Deadline) -> list[Vote | None]:
        return voter.vote(questions, deadline=deadline)


class Book(Protocol):
    """Where amounts are entered, for all processes; see backend.ledger.spending. Its methods raise StateError."""

    def spent(self, scope: str, day: str) -> Spent: ...
    def reserve(self, scope: str, day: str, spend: Spend, *, limits: Spend) -> bool: ...
    def add(self, scope: str, day: str, spend: Spend, *, n_over: int = 0) -> None: ...


def today() -> str:
    """The day, in UTC."""
    return datetime.now(UTC).date().isoformat()


@dataclass(frozen=True)
class MeteredBudget:
    """Enters in a book what a scope takes, and asks nobody where that would be over its limits."""

    book: Book
    scope: str  # a project's key, or the name of a run
    limits: Callable[[], Spend]  # read each time: people change them
    day: Callable[[], str] = today  # limits hold for a day; a run has but one
    _told: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @property
    def nbytes(self) -> int:
        """What it weighs in memory: the book is everybody's."""
        return 0

    def ask(self, voter: Voter, questions: Sequence[Question], *, deadline: Deadline) -> list[Vote | None]:
        """See Budget. Of questions that are too many as many are asked as there are means for."""
        day = self.day()
        try:
            until, n, reserved = self._afford(voter, questions, day)
        except StateError as err:
            self._tell("spending_unknown", "", reason=str(err))
            return [None] * len(questions)
        bill = Bill()
        votes = voter.vote(questions[:n], deadline=min(deadline, until, key=lambda each: each.at_s), bill=bill)
        n_over = len(questions) - n
        if n_over:
            self._tell("llm_limit_reached", day)
        self._settle(day, bill.total - reserved, n_over)
        return [*votes, *[None] * n_over]

    def _afford(self, voter: Voter, questions: Sequence[Question], day: str) -> tuple[Deadline, int, Spend]:
        """Until when how many of the questions may be asked, and what was entered for them."""
        limits, n = self.limits(), len(questions)
        left_s = limits.seconds - self.book.spent(self.scope, day).spend.seconds if limits.seconds else float("inf")
        while n:
            expected = voter.expected(questions[:n])
            if expected == NOTHING or self.book.reserve(self.scope, day, expected, limits=limits):
                return Deadline.after(max(left_s, 0.0)), n, expected
            n //= 2
        return Deadline.after(0.0), 0, NOTHING

    def _settle(self, day: str, difference: Spend, n_over: int) -> None:
        if difference == NOTHING and not n_over:
            return
        try:
            self.book.add(self.scope, day, difference, n_over=n_over)
        except StateError as err:
            self._tell("spending_not_entered", "", reason=str(err))

    def _tell(self, event: str, day: str, **more: str) -> None:
        """Logged once: it goes on until the day ends, or the database is back."""
        if event + day not in self._told:
            self._told.add(event + day)
            log.warning(event, scope=self.scope, **more)

"""What voters may take: counted before they are asked, stopped at the limit, and never an error."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import structlog.testing

from backend.core.deadline import FOREVER, Deadline
from backend.core.errors import StateError
from backend.core.settings import Settings
from backend.core.spending import NOTHING, Bill, Spend, Spent
from backend.core.types import Label
from backend.ledger import open_ledger
from backend.ledger.spending import SpendingLedger
from backend.pipeline.budget import MeteredBudget
from backend.pipeline.gate import Gate
from backend.pipeline.question import Question, Vote
from backend.pipeline.voting import Voting
from tests.pipeline.words import pipeline_of

KEY, DAY = "84-1795230264", "2026-01-31"
LABELS = (Label("a", "a"), Label("b", "b"))
EACH = Spend(100, 1.0, 0.5)


@dataclass
class Costly:
    """A voter each of whose votes takes the same; `thinks` is what it expects of one."""

    took: Spend = EACH
    thinks: Spend = EACH
    name: str = "costly"
    weight: float = 1.0
    lasting: bool = False
    asked: list[str] = field(default_factory=list)
    left_s: list[float] = field(default_factory=list)

    def prompt_for(self, question: Question) -> str:
        return question.text

    def vote(self, questions: Sequence[Question], *, deadline: Deadline, bill: Bill | None = None) -> list[Vote | None]:
        self.left_s.append(deadline.left_s)
        self.asked += [question.text for question in questions]
        if bill is not None:
            bill.add(self.took.times(len(questions)))
        return [Vote(np.full(len(each.candidates), 0.4, np.float32), 0.2, 100) for each in questions]

    def expected(self, questions: Sequence[Question]) -> Spend:
        return self.thinks.times(len(questions))


@dataclass(frozen=True)
class Away:
    """A book whose database does not answer."""

    def spent(self, scope: str, day: str) -> Spent:
        raise StateError("the database must answer, but does not")

    def reserve(self, scope: str, day: str, spend: Spend, *, limits: Spend) -> bool:
        raise StateError("the database must answer, but does not")

    def add(self, scope: str, day: str, spend: Spend, *, n_over: int = 0) -> None:
        raise StateError("the database must answer, but does not")


@pytest.fixture
def book(tmp_path: Path) -> SpendingLedger:
    return open_ledger(Settings(home=tmp_path)).spending


def budget_of(book: SpendingLedger | Away, limits: Spend = NOTHING, *, day: str = DAY) -> MeteredBudget:
    return MeteredBudget(book, KEY, lambda: limits, lambda: day)


def questions(n: int) -> list[Question]:
    return [Question(f"text {number}", LABELS) for number in range(n)]


def answered(votes: Sequence[Vote | None]) -> list[bool]:
    return [vote is not None for vote in votes]


def test_without_limits_all_are_asked_and_what_they_took_is_entered(book: SpendingLedger) -> None:
    voter = Costly(took=Spend(120, 2.0, 0.75))
    assert answered(budget_of(book).ask(voter, questions(4), deadline=FOREVER)) == [True] * 4
    assert book.spent(KEY, DAY) == Spent(Spend(480, 8.0, 3.0), 0)


@pytest.mark.parametrize("limits", [Spend(250), Spend(0, 2.5), Spend(0, 0.0, 1.25)], ids=["tokens", "time", "money"])
def test_of_what_is_too_much_a_part_is_asked_and_the_rest_counted(book: SpendingLedger, limits: Spend) -> None:
    voter = Costly()
    assert answered(budget_of(book, limits).ask(voter, questions(4), deadline=FOREVER)) == [True, True, False, False]
    assert book.spent(KEY, DAY).n_over == 2


def test_at_the_limit_nobody_is_asked_until_the_next_day(book: SpendingLedger) -> None:
    voter = Costly()
    budget_of(book, Spend(100)).ask(voter, questions(1), deadline=FOREVER)
    assert answered(budget_of(book, Spend(100)).ask(voter, questions(2), deadline=FOREVER)) == [False, False]
    assert len(voter.asked) == 1
    tomorrow = budget_of(book, Spend(100), day="2026-02-01")
    assert answered(tomorrow.ask(voter, questions(1), deadline=FOREVER)) == [True]


def test_a_limit_is_logged_once(book: SpendingLedger) -> None:
    budget = budget_of(book, Spend(1))
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            budget.ask(Costly(), questions(2), deadline=FOREVER)
    assert [line["event"] for line in logs] == ["llm_limit_reached"]
    assert book.spent(KEY, DAY).n_over == 6


def test_what_is_known_already_may_be_asked_over_the_limit(book: SpendingLedger) -> None:
    book.add(KEY, DAY, Spend(1000))
    remembers = Costly(took=NOTHING, thinks=NOTHING)
    assert answered(budget_of(book, Spend(100)).ask(remembers, questions(2), deadline=FOREVER)) == [True, True]


def test_no_call_may_take_longer_than_the_time_that_is_left(book: SpendingLedger) -> None:
    book.add(KEY, DAY, Spend(0, 50.0))
    voter = Costly(thinks=Spend(1))
    budget_of(book, Spend(0, 60.0)).ask(voter, questions(1), deadline=FOREVER)
    assert 5.0 < voter.left_s[0] <= 10.0


def test_what_a_killed_call_would_take_is_entered_before_it(book: SpendingLedger) -> None:
    @dataclass
    class Killed(Costly):
        def vote(
            self, questions: Sequence[Question], *, deadline: Deadline, bill: Bill | None = None
        ) -> list[Vote | None]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        budget_of(book, Spend(1000)).ask(Killed(), questions(3), deadline=FOREVER)
    assert book.spent(KEY, DAY).spend == Spend(300, 3.0, 1.5)


def test_a_database_that_is_away_stops_the_models_and_is_no_error() -> None:
    voter = Costly()
    assert answered(budget_of(Away(), Spend(1000)).ask(voter, questions(2), deadline=FOREVER)) == [False, False]
    assert voter.asked == []


def test_over_the_limit_the_cheap_levels_answer(book: SpendingLedger) -> None:
    pipeline = replace(pipeline_of(), voting=Voting((Costly(),)), gate=Gate({"retrieve": 2.0}))
    texts = ["cancel my order", "my card is gone"]
    stopped = pipeline.with_budget(budget_of(book, Spend(1))).run(texts, deadline_s=60.0)
    cheap = pipeline.without_llm().run(texts, deadline_s=60.0)
    assert [each and (each.stage, each.predicted_label) for each in stopped] == [
        each and ("retrieve", each.predicted_label) for each in cheap
    ]


def test_what_voters_would_be_asked_is_told_without_asking(book: SpendingLedger) -> None:
    voter = Costly()
    pipeline = replace(pipeline_of(), voting=Voting((voter,)), gate=Gate({"retrieve": 0.8}))
    assert pipeline.questions(["a bank card is gone", "cancel bank"])[0][0].text == "cancel bank"
    assert voter.asked == []

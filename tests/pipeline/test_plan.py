"""What a run would take, told before it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from backend.core.deadline import Deadline
from backend.core.spending import Bill, Spend
from backend.pipeline.gate import Gate
from backend.pipeline.pipeline import Pipeline
from backend.pipeline.plan import TRIED, evenly, plan
from backend.pipeline.question import Question, Vote
from backend.pipeline.voting import Voting
from tests.pipeline.words import pipeline_of

SHARED = 500  # tokens that the first vote takes for all


@dataclass
class Wordy:
    """A voter that takes ten tokens a word, at 0.01 s each, and remembers what it was asked."""

    lasting: bool = True
    name: str = "wordy"
    weight: float = 1.0
    price: float = 0.001  # of a token
    known: set[str] = field(default_factory=set)

    def prompt_for(self, question: Question) -> str:
        return question.text

    def expected(self, questions: Sequence[Question]) -> Spend:
        texts = {question.text for question in questions} - self.known
        tokens = sum(10 * len(text.split()) for text in texts) + (0 if self.known or not texts else SHARED)
        return Spend(tokens, 0.0, self.price * tokens)

    def vote(self, questions: Sequence[Question], *, deadline: Deadline, bill: Bill | None = None) -> list[Vote | None]:
        took = replace(self.expected(questions), seconds=0.01 * self.expected(questions).tokens)
        if bill is not None:
            bill.add(took)
        self.known.update(question.text for question in questions)
        return [Vote(np.full(len(each.candidates), 0.3, np.float32), 0.1, took.tokens) for each in questions]


def asking(*voters: Wordy) -> Pipeline:
    return replace(pipeline_of(), voting=Voting(voters), gate=Gate({"retrieve": 0.8}))


def unsure(n: int) -> list[str]:
    """Texts of three words that name two labels; where the third one says more, it is left out."""
    texts = [f"cancel bank {number}" for number in range(2 * n + 8)]
    calls = asking(Wordy()).questions(texts)
    return [question.text for call in calls for question in call][:n]


@pytest.mark.parametrize("n", [1, TRIED, 3 * TRIED])
def test_a_voter_that_lasts_takes_what_the_plan_has_not_taken_yet(n: int) -> None:
    texts = [*unsure(n), *["a bank card is gone"] * n]
    found = plan(asking(Wordy()), texts, n_texts=len(texts))
    (asked,) = found.voters
    assert (found.n_texts, found.n_unsure, asked.n_texts) == (2 * n, n, n)
    assert asked.tried.tokens == SHARED + 30 * min(n, TRIED)
    assert asked.spend.tokens == 30 * max(n - TRIED, 0)
    assert asked.spend.seconds == pytest.approx(0.01 * asked.spend.tokens)
    assert asked.spend.cost == pytest.approx(0.001 * asked.spend.tokens)


def test_a_voter_that_forgets_takes_all_of_it_again() -> None:
    found = plan(asking(Wordy(lasting=False)), unsure(200), n_texts=200)
    assert found.spend.tokens == SHARED + 200 * 30


def test_a_part_tells_of_the_whole() -> None:
    found = plan(asking(Wordy()), unsure(200), n_texts=2000)
    assert (found.n_looked_at, found.n_unsure) == (200, 2000)
    (asked,) = found.voters
    assert asked.spend.tokens + asked.tried.tokens - SHARED == pytest.approx(30 * 2000)


def test_all_voters_are_added_up_and_none_is_nothing() -> None:
    one = plan(asking(Wordy()), unsure(100), n_texts=100).spend
    two = plan(asking(Wordy(), Wordy(name="other")), unsure(100), n_texts=100).spend
    assert two.tokens == 2 * one.tokens
    assert plan(pipeline_of(), unsure(3), n_texts=3).spend == Spend()
    assert plan(asking(Wordy()), [], n_texts=0).n_unsure == 0


@pytest.mark.parametrize(("n", "taken", "places"), [(3, 5, [0, 1, 2]), (10, 5, [0, 2, 4, 6, 8]), (0, 5, [])])
def test_rows_are_taken_at_equal_distances(n: int, taken: int, places: list[int]) -> None:
    assert evenly(n, taken) == places

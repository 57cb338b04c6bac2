"""What chat models take: expected before they are asked, billed also where it was in vain, and never paid for twice."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from backend.core.chat import Answered, Asked
from backend.core.deadline import FOREVER, Deadline
from backend.core.spending import NOTHING, Bill, Spend
from backend.core.types import Label
from backend.models.chat_server import ChatServer
from backend.models.server_options import ServerOptions
from backend.pipeline.chat_vote import ChatVoter
from backend.pipeline.choice import load_choice_prompt
from backend.pipeline.question import Question
from tests.models.chat_servers import ChatServerOfTests, serving, written

LABELS = (Label("card_lost", "card_lost"), Label("weather", "weather"))
TOKENS = Answered("A", {"A": -0.1, "B": -3.0, "C": -4.0}, 100, 0.5)


@dataclass
class Says:
    """A model that always gives the same answer, once it may."""

    answer: Answered = TOKENS
    may: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    name: str = "says"

    def ask(self, questions: Sequence[Asked], *, deadline: Deadline) -> list[Answered | None]:
        self.asked += [question.user for question in questions]
        self.began.set()
        self.may.wait(min(deadline.left_s, 60.0))
        return [self.answer for _ in questions]


def voter_of(model: Says, *, held: bool = False) -> ChatVoter:
    if not held:
        model.may.set()
    return ChatVoter(model, load_choice_prompt("en"), n_samples=1)


def questions(*texts: str) -> list[Question]:
    return [Question(text, LABELS) for text in texts]


def test_before_anything_was_asked_tokens_are_guessed_by_length() -> None:
    voter = voter_of(Says())
    short, long = (voter.expected(questions(text)) for text in ("rain", "rain " * 100))
    assert 0 < short.tokens < long.tokens
    assert (long.seconds, long.cost) == (0.0, 0.0)


def test_what_prompts_took_tells_what_others_of_their_length_will() -> None:
    voter, bill = voter_of(Says()), Bill()
    voter.vote(questions("rain 1", "rain 2"), deadline=FOREVER, bill=bill)
    assert (bill.total.tokens, bill.total.cost) == (300, 1.5), "two texts, and one that says nothing"
    expected = voter.expected(questions("rain 3", "rain 4"))
    assert expected.tokens == 300
    assert expected.cost == pytest.approx(1.5)
    assert expected.seconds == pytest.approx(bill.total.seconds)


def test_what_was_asked_before_takes_nothing() -> None:
    voter, bill = voter_of(Says()), Bill()
    voter.vote(questions("rain"), deadline=FOREVER)
    assert voter.expected(questions("rain")) == NOTHING
    voter.vote(questions("rain"), deadline=FOREVER, bill=bill)
    assert bill.total == NOTHING


def test_an_answer_that_cannot_be_read_is_billed_all_the_same() -> None:
    voter, bill = voter_of(Says(Answered("", {}, 100, 0.5))), Bill()
    assert voter.vote(questions("rain"), deadline=FOREVER, bill=bill) == [None]
    assert (bill.total.tokens, bill.total.cost) == (100, 0.5)


def test_equal_texts_at_the_same_time_are_paid_for_once() -> None:
    model, bills = Says(), (Bill(), Bill())
    voter = voter_of(model, held=True)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(voter.vote, questions("rain"), deadline=FOREVER, bill=bills[0])
        model.began.wait(60.0)
        second = pool.submit(voter.vote, questions("rain", "snow"), deadline=FOREVER, bill=bills[1])
        model.may.set()
        votes = [*first.result(), *second.result()]
    assert all(votes)
    assert sum("rain" in user for user in model.asked) == 1
    assert sum("snow" in user for user in model.asked) == 1


def test_who_waits_for_the_vote_of_another_gives_up_at_the_deadline() -> None:
    model = Says()
    voter = voter_of(model, held=True)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(voter.vote, questions("rain"), deadline=FOREVER)
        model.began.wait(60.0)
        assert voter.vote(questions("rain"), deadline=Deadline.after(0.01)) == [None]
        model.may.set()
        assert all(first.result())


def test_a_server_tells_the_price_of_each_answer() -> None:
    options = ServerOptions(price_in=1000.0, price_out=100_000.0)
    with serving(ChatServerOfTests([written("A"), written("not a letter")])) as server:
        client = ChatServer(server.uri, options)
        answers = client.ask([Asked("", "", ("A", "B"))] * 2, deadline=FOREVER)
        assert sum(answer.cost for answer in answers if answer) == pytest.approx(client.spent)
        assert client.spent > 0
        client.close()


def test_amounts_are_added_taken_off_and_multiplied() -> None:
    one = Spend(10, 1.5, 0.5)
    assert one + one == one.times(2)
    assert one - one == NOTHING

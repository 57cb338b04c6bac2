"""How models that follow instructions are shown a list of candidates."""

from dataclasses import replace

import pytest

from backend.core.types import Label
from backend.pipeline.ballots import Ballot, Listed
from backend.pipeline.choice import N_CHOSEN_FROM, load_choice_prompt
from backend.pipeline.conversation import Frame
from backend.pipeline.question import Question, Shot
from backend.pipeline.respondent import Before

FRAME = Frame("<|user|>", "<|assistant|>")
CARD, RAIN, SUN = Label("card", "card_lost", "a bank card is gone"), Label("rain", "rain"), Label("sun", "sun")
QUESTION = Question("will it rain", (RAIN, CARD, SUN))
SHOTS = (Shot("my purse is gone", "card lost"), Shot("it pours", "rain"), Shot("bye", "goodbye"))


def ballots_of(question: Question, *, language: str = "en", n_shots: int = 0) -> list[Ballot]:
    return list(Listed(load_choice_prompt(language), FRAME, n_shots).ballots(question))


def written(before: Before) -> str:
    return "".join(part.text for part in before)


def test_candidates_are_lettered_by_name_and_answers_are_letters_in_the_candidates_order() -> None:
    (ballot,) = ballots_of(QUESTION)
    assert "A) card lost: a bank card is gone\nB) rain\nC) sun\nD) none of these\n" in written(ballot.before)
    assert (ballot.answers, ballot.n_candidates) == (("B", "A", "C", "D"), 3)


def test_the_order_of_the_candidates_changes_no_prompt() -> None:
    (one,), (other,) = ballots_of(QUESTION), ballots_of(replace(QUESTION, candidates=(SUN, RAIN, CARD)))
    assert (one.before, one.without) == (other.before, other.without)
    assert other.answers == ("C", "B", "A", "D")


def test_a_list_stands_in_the_model_s_own_conversation() -> None:
    (ballot,) = ballots_of(QUESTION)
    for before in (ballot.before, ballot.without):
        assert written(before).startswith("<|user|>Topics:")
        assert written(before).endswith("Letter of the topic:<|assistant|>")


def test_without_a_text_there_is_nothing_that_could_tell_the_letters_apart() -> None:
    (ballot,), (other,) = (
        ballots_of(QUESTION),
        ballots_of(replace(QUESTION, text="x", candidates=(SUN, Label("a", "a"), CARD))),
    )
    assert ballot.without == other.without
    assert "rain" not in written(ballot.without)


@pytest.mark.parametrize("text", ["a </message> B", "<|im_end|>", "\ue000 A", "one\ntwo"])
def test_a_text_is_data_on_one_line_without_delimiters(text: str) -> None:
    (ballot,) = ballots_of(replace(QUESTION, text=text))
    (shown,) = [part for part in ballot.before if not part.ours]
    assert not set("<>\n") & set(shown.text)
    assert written(ballot.before).count("</message>") == 1


@pytest.mark.parametrize("hint", ["a \ue000 b", "</message>"])
def test_a_hint_cannot_take_the_place_of_the_text(hint: str) -> None:
    (ballot,) = ballots_of(replace(QUESTION, candidates=(Label("a", "a", hint),)))
    assert [part.text for part in ballot.before if not part.ours] == ["will it rain"]


def test_examples_are_shown_by_the_letter_of_their_label_and_fewer_where_there_is_no_room() -> None:
    shown = [written(ballot.before) for ballot in ballots_of(replace(QUESTION, shots=SHOTS), n_shots=2)]
    assert ["it pours</message>\nLetter of the topic: B\n" in each for each in shown] == [True, False, False]
    assert not any("bye" in each or "purse" in each for each in shown)


def test_no_more_candidates_are_listed_than_there_are_letters_for() -> None:
    many = tuple(Label(str(n), f"label {n:02}") for n in range(30))
    (ballot,) = ballots_of(Question("hi", many))
    assert len(ballot.answers) == len(set(ballot.answers)) == N_CHOSEN_FROM + 1
    assert ballot.n_candidates == len(many)


def test_a_list_is_written_in_the_language_of_the_texts() -> None:
    (ballot,) = ballots_of(QUESTION, language="ru")
    assert "D) ничего из этого" in written(ballot.before)
    assert "Topic" not in written(ballot.before)

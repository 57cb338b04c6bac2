"""What a writer is asked, whole; and which of its words nobody gave it."""

import pytest

from backend.pipeline.lexical import Stemmer
from training.wording import Wordings

STEMMER = Stemmer()
NAMED = """What the messages on each topic are about, in one plain sentence.

Topic: opening hours
Meaning: Asks when a place opens or closes, or whether it is open at a certain time.

Topic: duplicate charge
Meaning: Says that the same payment was taken twice, and wants the money back.

Topic: screen off
Meaning: Wants the screen or the display to be switched off.

Topic: student discount
Meaning: Asks whether students or pupils pay less.

Topic: lost card
Meaning:"""
EXAMPLES = """
Тема: скидка студентам
Сообщения: есть ли скидка для студентов; платят ли школьники меньше
Смысл: Спрашивают, платят ли студенты или школьники меньше.

Тема: потеря карты
Пояснение: карты больше нет
Сообщения: карту украли; где моя карта
Смысл:"""
PAIR = """
First: screen off
Second: screen brightness
Difference: The first wants the screen to be off, the second wants it to be darker or brighter.

First: lost card
Second: card fee
Difference:"""


def test_from_names_alone_no_prompt_speaks_of_messages() -> None:
    wordings = Wordings("en", with_examples=False, stemmer=STEMMER)
    assert wordings.describe.before + wordings.describe.asked("lost card", "", ()) == NAMED
    assert (wordings.differ.before + wordings.differ.asked("lost card", (), "card fee", ())).endswith(PAIR)


def test_hint_and_examples_stand_where_the_prompts_own_stand() -> None:
    wording = Wordings("ru", with_examples=True, stemmer=STEMMER).describe
    asked = wording.asked("потеря карты", "карты больше нет", ("карту украли", "где моя карта"))
    assert (wording.before + asked).endswith(EXAMPLES)


def test_a_label_without_examples_is_asked_about_beside_labels_with_some() -> None:
    asked = Wordings("en", with_examples=True, stemmer=STEMMER).differ.asked("lost card", ("i lost it",), "fee", ())
    assert asked == " lost card (i lost it)\nSecond: fee\nDifference:"


def test_other_languages_are_asked_in_english_and_each_prompt_has_its_hash() -> None:
    mixed, english, russian = (Wordings(name, False, STEMMER) for name in ("mixed", "en", "ru"))
    assert mixed.hash == english.hash != russian.hash
    assert len(english.hash) == 8


WORDS = [
    ("forms of what was shown", "Says that cards were lost.", ["card lost", "i am losing it"], []),
    ("invented", "Wants a refund for the card.", ["card"], ["refund"]),
    ("in the order of the text, each once", "Refund or fee, a refund.", [], ["refund", "fee"]),
    ("the prompt's own example", "Asks about the screen of a card.", ["card"], ["screen"]),
    ("ways to speak of texts", "The person asks whether someone needs it, and doesn't say.", [], []),
    ("numbers are no words", "Asks for the 2nd of 3.", [], []),
    ("Russian forms", "Пишут о картах и карте.", ["потеря карты"], []),
    ("Russian, invented", "Спрашивают, когда ещё выключат экран.", ["когда"], ["выключат", "экран"]),
    ("an underscore parts words", "Card lost.", ["card_lost"], []),
    ("nothing written", "", ["card"], []),
]


@pytest.mark.parametrize(("written", "shown", "expected"), [row[1:] for row in WORDS], ids=[row[0] for row in WORDS])
def test_words_that_nobody_gave_the_model_are_found(written: str, shown: list[str], expected: list[str]) -> None:
    wordings = Wordings("ru" if any("а" <= letter <= "я" for letter in written) else "en", True, STEMMER)
    assert wordings.unfounded(written, shown, wordings.describe) == expected

"""Keyword rules are a feature that a person writes in plain words."""

import pytest

from backend.core.errors import BadInputError
from backend.pipeline.clean import clean
from backend.pipeline.keywords import KeywordRules
from tests.pipeline.words import SPACE


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("please CANCEL it", True),
        ("cancelled already", False),
        ("refunding me", True),
        ("a card", False),
    ],
)
def test_a_word_matches_whole_words_and_a_star_their_beginnings(text: str, hit: bool) -> None:
    rules = KeywordRules.of({"cancel_order": ["cancel", "refund*"]}, SPACE)
    (feature,) = rules.append([text], 4)
    assert bool(feature.present[0, 0]) is hit
    assert not feature.present[0, 1:].any()


WRITTEN = [
    ("signs at the end", "c++", "I love C++ templates", True),
    ("a sign at the end", "c#", "written in c# today", True),
    ("a sign before", ".net", "use .NET here", True),
    ("a sign before a number", "№", "заказ №55", True),
    ("a number sign and a word", "№ заказа", "мой № заказа 55", True),
    ("a currency before a number", "$", "pay $5 now", True),
    ("a currency apart", "$", "pay 5 $ now", True),
    ("a share", "5%", "a discount of 5%", True),
    ("an emoji", "\U0001f621", "the waiter \U0001f621", True),
    ("e for io", "счет", "пришлите счёт", True),
    ("io for e", "счёт", "пришлите СЧЕТ", True),
    ("decomposed letters", "сче\u0308т", "пришлите счёт", True),
    ("wide letters", "refund", "ＲＥＦＵＮＤ please", True),
    ("an apostrophe of another kind", "don't", "I don’t want it", True),
    ("a hyphen of another kind", "e-mail", "by e\u2011mail", True),
    ("a blank for a hyphen", "call-back", "call back", True),
    ("a hyphen for a blank", "call back", "call-back", True),
    ("a sharp s", "straße", "in der STRASSE", True),
    ("a star after signs", "c++*", "c++20 is out", True),
    ("a part of a word", "net", "the internet", False),
    ("the beginning of a word alone", "счёт", "счётчик", False),
    ("another sign", "c++", "c# and c", False),
    ("a star alone", "*", "anything", False),
    ("nothing but a sign that nobody sees", "\u200b", "anything", False),
]


@pytest.mark.parametrize(("case", "word", "text", "hit"), WRITTEN)
def test_a_rule_matches_however_people_write_it(case: str, word: str, text: str, hit: bool) -> None:
    features = KeywordRules.of({"cancel_order": [word]}, SPACE).append([clean(text)], 4)
    assert bool(features and features[0].present[0, 0]) is hit


def test_rules_of_two_spellings_of_a_label_count_together() -> None:
    rules = KeywordRules.of({"cancel_order": ["stop"], " cancel_order\u200b": ["end"]}, SPACE)
    (feature,) = rules.append(["stop it", "end it", "stop the end"], 4)
    assert feature.values[:, 0].tolist() == [1, 1, 1]


def test_without_rules_there_is_no_feature() -> None:
    assert KeywordRules.of({}, SPACE).append(["cancel"], 4) == ()


def test_a_rule_for_an_unknown_label_is_refused() -> None:
    with pytest.raises(BadInputError, match="must name labels of the project"):
        KeywordRules.of({"no such": ["x"]}, SPACE)

"""Keyword rules are a feature that a person writes in plain words."""

import pytest

from backend.core.errors import BadInputError
from backend.pipeline.keywords import KeywordRules
from tests.pipeline.words import SPACE


@pytest.mark.parametrize(
    ("text", "hit"),
    [("please CANCEL it", True), ("cancelled already", False), ("refunding me", True), ("a card", False)],
)
def test_a_word_matches_whole_words_and_a_star_their_beginnings(text: str, hit: bool) -> None:
    rules = KeywordRules.of({"cancel_order": ["cancel", "refund*"]}, SPACE)
    (feature,) = rules.append([text], 4)
    assert bool(feature.present[0, 0]) is hit
    assert not feature.present[0, 1:].any()


def test_without_rules_there_is_no_feature() -> None:
    assert KeywordRules.of({}, SPACE).append(["cancel"], 4) == ()


def test_a_rule_for_an_unknown_label_is_refused() -> None:
    with pytest.raises(BadInputError, match="must name labels of the project"):
        KeywordRules.of({"no such": ["x"]}, SPACE)

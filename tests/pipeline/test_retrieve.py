"""What the index finds, and how it changes between trainings."""

import numpy as np
import pytest

from backend.core.types import Example, LabelSpace
from backend.pipeline.levels import min_max
from backend.pipeline.retrieve import Index, Retrieved
from tests.pipeline.words import WordEmbedder, index_of

EXAMPLES = [
    Example("1", "do not send my parcel", "cancel_order"),
    Example("2", "one more of these", "repeat_order"),
    Example("3", "how tall is everest", "other"),
]


def search(index: Index, text: str) -> Retrieved:
    return index.search([text], WordEmbedder().embed([text]))


def test_the_nearest_example_comes_first_and_carries_its_label() -> None:
    nearest = search(index_of(EXAMPLES), "do not send the parcel").neighbours[0][0]
    assert (nearest.example_id, nearest.label) == ("1", "cancel_order")


def test_out_of_scope_examples_have_the_last_column() -> None:
    found = search(index_of(EXAMPLES), "how tall is everest")
    assert found.cosines[0, -1] == pytest.approx(1.0)


def test_without_out_of_scope_examples_their_column_is_unknown_and_not_zero() -> None:
    assert np.isnan(search(index_of(EXAMPLES[:2]), "how tall is everest").cosines[0, -1])


def test_examples_of_unknown_labels_and_without_words_are_left_out() -> None:
    odd = [Example("1", "parcel", "no such label"), Example("2", "<br>", "cancel_order")]
    assert search(index_of(odd), "parcel").neighbours == ((),)


def test_a_live_example_is_found_at_once() -> None:
    live = index_of(EXAMPLES).with_live([Example("9", "purple elephant", "lost_card")], WordEmbedder())
    assert search(live, "purple elephant").neighbours[0][0].example_id == "9"


def test_a_live_example_replaces_the_one_with_its_id() -> None:
    live = index_of(EXAMPLES).with_live([Example("1", "do not send my parcel", "lost_card")], WordEmbedder())
    found = search(live, "do not send my parcel").neighbours[0]
    assert [(near.example_id, near.label) for near in found if near.example_id == "1"] == [("1", "lost_card")]


def test_an_empty_label_forgets_an_example_by_meaning_and_by_words() -> None:
    index = index_of(EXAMPLES)
    forgotten = index.with_live([Example("1", "", "")], WordEmbedder())
    found = search(forgotten, "do not send my parcel")
    assert "1" not in {near.example_id for near in found.neighbours[0]}
    assert found.lexical[0, 0] < search(index, "do not send my parcel").lexical[0, 0]


def test_a_second_call_replaces_what_the_first_added() -> None:
    once = index_of(EXAMPLES).with_live([Example("1", "", "")], WordEmbedder())
    assert search(once.with_live([], WordEmbedder()), "do not send my parcel").neighbours[0][0].example_id == "1"


def test_word_forms_count_as_the_same_word_in_both_languages() -> None:
    index = index_of([Example("1", "заказы отменены", "cancel_order"), Example("2", "parcels lost", "lost_card")])
    assert search(index, "отменённый заказ").lexical[0].argmax() == 0
    assert search(index, "lose a parcel").lexical[0].argmax() == 2


def test_scores_are_stretched_to_0_1_and_constant_ones_give_0() -> None:
    scores = np.array([[2.0, 4.0, 3.0], [5.0, 5.0, 5.0]], np.float32)
    known = np.ones(scores.shape, np.bool_)
    assert min_max(scores, known).tolist() == [[0.0, 1.0, 0.5], [0.0, 0.0, 0.0]]


def test_an_index_without_labels_answers() -> None:
    empty = index_of([], space=LabelSpace(()))
    assert search(empty, "anything").cosines.shape == (1, 1)

"""Which examples judge a model: for ever the same ones, and never a copy of what it learned from."""

import pytest

from backend.core.types import Example
from tests.training.material import examples_of
from training.splits import HOLDOUT_BUCKETS, HOLDOUT_FROM, bucket_of, folds, group_of, split, without

SAME = [
    ("case and punctuation", "Cancel my order!", "cancel my order"),
    ("markup and links", "<b>cancel</b> my order https://a.example", "cancel my order"),
    ("order of words", "my order cancel", "cancel my order"),
    ("repeated words", "cancel cancel my order", "cancel my order"),
    ("Russian letters", "Всё ещё жду", "все еще жду"),
]


@pytest.mark.parametrize(("one", "other"), [case[1:] for case in SAME], ids=[case[0] for case in SAME])
def test_texts_that_say_the_same_are_of_one_group(one: str, other: str) -> None:
    assert group_of(one) == group_of(other)


def test_a_bucket_never_changes() -> None:
    assert [bucket_of(text) for text in ("cancel my order", "где мой заказ", "", "!!!")] == [11, 58, 52, 11]


def test_few_labels_are_all_trained_on() -> None:
    parts = split(examples_of(20))
    assert (len(parts.train), parts.holdout) == (80, ())


def test_from_500_labels_on_the_first_buckets_are_held_out() -> None:
    examples = examples_of(HOLDOUT_FROM // 4)
    parts = split(examples)
    assert {example.id for example in parts.holdout} == {e.id for e in examples if bucket_of(e.text) < HOLDOUT_BUCKETS}
    assert len(parts.train) + len(parts.holdout) == len(examples)
    assert parts.holdout


def test_a_copy_of_a_held_out_text_is_not_trained_on_even_where_it_may_not_judge() -> None:
    parts = split(
        [Example("1", "cancel my order", "a"), Example("2", "Cancel my order!", "a"), Example("3", "tea", "b")],
        holdout=frozenset({"1"}),
    )
    assert [e.id for e in parts.holdout] == ["1"]
    assert [e.id for e in parts.train] == ["3"]


def test_labels_that_may_not_judge_are_in_no_holdout() -> None:
    examples = examples_of(HOLDOUT_FROM // 4)
    held = split(examples).holdout
    parts = split(examples, judges=frozenset(example.id for example in held[:5]))
    assert {example.id for example in parts.holdout} == {example.id for example in held[:5]}
    assert not {example.id for example in held} & {example.id for example in parts.train}


def test_what_gold_examples_say_is_not_trained_on() -> None:
    kept = without([Example("1", "Tea!", "a"), Example("2", "coffee", "b")], [Example("g", "tea", "a")])
    assert [example.id for example in kept] == ["2"]


def test_copies_lie_in_one_fold_and_every_row_in_exactly_one() -> None:
    examples = [*examples_of(10), *(Example(f"copy-{e.id}", e.text.upper(), e.label) for e in examples_of(10))]
    parts = folds(examples)
    assert sorted(row for part in parts for row in part.tolist()) == list(range(len(examples)))
    fold_of = {row: number for number, part in enumerate(parts) for row in part.tolist()}
    assert all(fold_of[row] == fold_of[row + 40] for row in range(40))

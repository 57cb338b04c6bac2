"""A trial says what would have been saved, and also that nothing would."""

import random

import pytest

from backend.assembly import Assembly
from tests.training.judged import outcomes_like
from tests.training.material import SPACE, examples_of
from training.evaluate import Outcome
from training.run import TrainingOptions
from training.trial import Labelled, run_trial, summary

ENGLISH = TrainingOptions(language="en")


def history(n_each: int, *, shuffled: bool = False) -> list[Labelled]:
    examples = examples_of(n_each)
    labels = [example.label for example in examples]
    if shuffled:
        random.Random(0).shuffle(labels)
    return [Labelled(example.text, label, 6.0) for example, label in zip(examples, labels, strict=True)]


def test_labels_that_can_be_learned_are_worth_it(assembly: Assembly) -> None:
    done: list[int] = []
    found = run_trial(history(25), SPACE, options=ENGLISH, assembly=assembly, report=done.append)
    assert (found.n, found.n_right + found.n_wrong + found.n_none, done[-1]) == (100, 100, 100)
    assert found.objection == ""
    assert found.n_right > 70
    assert found.n_frequent < 40
    assert found.minutes == pytest.approx(10.0)
    assert found.saved_share == pytest.approx((0.5 * found.n_right - 0.1 * found.n_wrong) / 100)
    assert found.promises[0].message.startswith("needs at least 90 accepted labels for 0.95, has 50")


def test_labels_that_follow_no_rule_are_not_worth_it(assembly: Assembly) -> None:
    found = run_trial(history(20, shuffled=True), SPACE, options=ENGLISH, assembly=assembly, report=lambda _: None)
    assert found.objection == "ticks may be right no more often than the most frequent label is"


def test_few_labels_tell_nothing() -> None:
    found = summary(outcomes_like([True] * 9), [None] * 9)
    assert found.objection == "9 labels are too few to tell, at least 50 are needed"
    assert (found.minutes, found.saved) == (None, None)


VERDICTS = [
    ("right for the most part", 160, 200, "worth it: 34% to 41% of the time"),
    ("hardly ever right", 20, 200, "not worth it: "),
    ("it may be either", 20, 60, "not known to be worth it: "),
]


@pytest.mark.parametrize(("n_right", "n", "told"), [row[1:] for row in VERDICTS], ids=[row[0] for row in VERDICTS])
def test_a_verdict_is_told_as_far_as_it_is_known(n_right: int, n: int, told: str) -> None:
    outcomes = [
        Outcome(str(place), str(place % 20), str(place % 20) if place * n_right % n < n_right else "none", 0.9, 0.0)
        for place in range(n)
    ]
    assert summary(outcomes, [None] * n).verdict.startswith(told)


def test_who_went_for_coffee_counts_as_three_medians() -> None:
    found = summary(outcomes_like([True] * 60), [6.0] * 59 + [3600.0])
    assert found.minutes == pytest.approx((59 * 6 + 18) / 60)

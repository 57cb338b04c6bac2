"""What is promised is kept, and where it cannot be promised that is said."""

import numpy as np
import pytest

from tests.training.judged import outcomes_like
from training.promise import MISS, Claim, claims_of, promise

TARGET = 0.98
SPREAD = 0.15  # of the confidences below


def precision_above(threshold: float) -> float:
    """Of the population below: a text of confidence c is right with chance c, confidences are 1 - 0.15 u^2."""
    return 1.0 - (1.0 - threshold) / 3


def population(n: int, rng: np.random.Generator) -> list[Claim]:
    confidence = 1 - SPREAD * rng.random(n) ** 2
    right = rng.random(n) < confidence
    return [Claim("a", float(c), bool(r)) for c, r in zip(confidence, right, strict=True)]


def test_the_promise_is_broken_no_more_often_than_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [promise(population(1500, rng), TARGET) for _ in range(300)]
    made = [each.threshold for each in found if each.threshold is not None]
    assert len(made) > 150, "a promise that is hardly ever made is worth nothing"
    n_broken = sum(precision_above(threshold) < TARGET for threshold in made)
    assert n_broken <= 300 * MISS + 3 * np.sqrt(300 * MISS)
    assert np.mean([each.coverage for each in found]) > 0.2


def test_the_first_threshold_that_fails_ends_it() -> None:
    sure = [Claim("a", 0.995, True)] * 300
    unsure = [Claim("a", 0.9, i % 3 > 0) for i in range(300)]  # every third is wrong
    lucky = [Claim("a", 0.8, True)] * 100_000  # would make the whole good again
    found = promise([*sure, *unsure], TARGET)
    assert found.threshold is not None
    assert (found.n, found.n_wrong, found.coverage) == (300, 0, 0.5)
    assert promise([*unsure, *sure, *lucky], TARGET).threshold is not None
    assert not found.accepts("a", 0.9)
    assert found.accepts("a", 0.995)


@pytest.mark.parametrize(
    ("what", "claims", "message"),
    [
        ("no labels", [], "needs at least 228 accepted labels for 0.98, has 0"),
        ("too few", [Claim("a", 0.99, True)] * 100, "needs at least 228 accepted labels for 0.98, has 100"),
        ("too many wrong", [Claim("a", 0.99, i % 10 > 0) for i in range(500)], "cannot be promised at any confidence"),
        ("abstentions", [Claim("", 0.99, False)] * 500, "cannot be promised at any confidence"),
    ],
)
def test_where_nothing_can_be_promised_it_says_why(what: str, claims: list[Claim], message: str) -> None:
    found = promise(claims, TARGET)
    assert found.threshold is None, what
    assert message in found.message
    assert not found.accepts("a", 1.0)


def test_labels_with_enough_counts_are_told_by_themselves() -> None:
    good = [Claim("often", 0.999, i % 500 > 0) for i in range(6000)]
    bad = [Claim("wrong", 0.999, i % 4 > 0) for i in range(100)]
    rare = [Claim("rare", 0.999, True)] * 10
    found = promise([*good, *bad, *rare], TARGET)
    assert {row.label: row.verdict for row in found.labels} == {"often": "holds", "wrong": "under", "rare": "too few"}
    assert found.accepts("often", 0.9995)
    assert not found.accepts("wrong", 0.9995)


def test_an_abstention_claims_nothing() -> None:
    (first,) = outcomes_like([True])
    assert claims_of([first]) == [Claim("a", 1.0, True)]

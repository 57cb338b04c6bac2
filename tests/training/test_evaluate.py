"""Metrics against numbers worked by hand."""

import numpy as np
import pytest

from training.evaluate import Outcome, at_target, ece, metrics_of

OUTCOMES = [
    Outcome("1", "a", "a", 0.9, 0.05),
    Outcome("2", "a", "b", 0.6, 0.10),
    Outcome("3", "b", "b", 0.8, 0.10),
    Outcome("4", "oos", "oos", 0.7, 0.70),
    Outcome("5", "oos", "b", 0.3, 0.25, abstained=True),
]


def test_accuracy_counts_all_and_in_scope_accuracy_only_texts_with_a_label() -> None:
    found = metrics_of(OUTCOMES, oos_value="oos")
    assert (found["n"], found["n_out_of_scope"]) == (5, 2)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["in_scope_accuracy"] == pytest.approx(2 / 3)
    assert found["oos_recall"] == pytest.approx(1 / 2)
    assert found["oos_auroc"] == 1.0
    assert found["coverage"] == pytest.approx(4 / 5)


def test_macro_f1_is_the_mean_over_labels_and_weighted_f1_by_their_size() -> None:
    found = metrics_of(OUTCOMES, oos_value="oos")  # a: 2/3; b: p 1/3, r 1 = 1/2; oos: 2/3
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert found["weighted_f1"] == pytest.approx((2 * 2 / 3 + 1 / 2 + 2 * 2 / 3) / 5)


def test_brier_is_the_mean_squared_distance_of_confidence_and_being_right() -> None:
    assert metrics_of(OUTCOMES)["brier"] == pytest.approx((0.01 + 0.36 + 0.04 + 0.09 + 0.09) / 5)


def test_ece_weighs_each_bin_by_its_size() -> None:
    correct, confidence = np.array([True, False, True]), np.array([0.81, 0.83, 0.1], np.float32)
    assert ece(correct, confidence) == pytest.approx((2 / 3) * abs(0.5 - 0.82) + (1 / 3) * 0.9, abs=1e-6)


@pytest.mark.parametrize(
    ("what", "correct", "expected"),
    [
        ("all right", [1, 1, 1, 1], (1.0, 1.0)),
        ("one wrong at the end", [1, 1, 1, 0], (1.0, 0.75)),
        ("the surest is wrong", [0, 1, 1, 1], (0.0, 0.0)),
    ],
)
def test_coverage_at_a_precision_takes_the_surest_part_that_reaches_it(
    what: str, correct: list[int], expected: tuple[float, float]
) -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    assert at_target(np.array(correct, np.bool_), confidence, 0.95) == expected, what


def test_equal_confidences_are_taken_together() -> None:
    confidence = np.array([0.9, 0.5, 0.5], np.float32)
    assert at_target(np.array([True, True, False]), confidence, 0.95) == (1.0, 1 / 3)


def test_nothing_judged_is_not_an_error() -> None:
    assert metrics_of([]) == {"n": 0.0}

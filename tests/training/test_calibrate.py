"""Calibration finds again what was put in."""

import numpy as np
import pytest

from backend.core.types import Stage
from backend.pipeline.fuse import TEMPERATURES
from training.calibrate import Predicted, calibrate, names_prior, soften

LAST: Stage = "classify"


def drawn(temperature: float, *, n: int = 4000, knows_oos: bool = True, bias: float = 0.0) -> Predicted:
    """Labels drawn from the probabilities that these settings give."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (n, 5)).astype(np.float32)
    exact = logits / temperature
    exact[:, -1] += bias
    probs = np.exp(exact) / np.exp(exact).sum(axis=1, keepdims=True)
    columns = np.array([generator.choice(5, p=row / row.sum()) for row in probs.astype(float)], np.int64)
    return Predicted({LAST: logits}, np.zeros_like(logits), np.full(n, -3.0, np.float32), columns, knows_oos, 0.5)


@pytest.mark.parametrize(("temperature", "bias"), [(0.5, 0.0), (2.0, 0.0), (1.0, 2.0)])
def test_temperature_and_bias_are_found(temperature: float, bias: float) -> None:
    found = calibrate(drawn(temperature, bias=bias), last=LAST)
    assert found.temperatures[LAST] == pytest.approx(temperature, rel=0.15)
    assert found.last.oos_bias == pytest.approx(bias, abs=0.4)


def test_without_predictions_the_stated_values_stand() -> None:
    found = calibrate(drawn(1.0, n=0), last=LAST)
    assert found.temperatures == TEMPERATURES


def test_five_labels_do_not_overrule_the_stated_temperature() -> None:
    found = calibrate(drawn(5.0, n=5), last=LAST)
    assert 0.5 < found.temperatures[LAST] / TEMPERATURES[LAST] < 2.0


def test_calibrated_probabilities_are_as_often_right_as_they_say() -> None:
    predicted = drawn(3.0)
    found = calibrate(predicted, last=LAST)
    probs = soften(predicted, LAST, found.last)
    best = probs.argmax(axis=1)
    assert probs.max(axis=1).mean() == pytest.approx((best == predicted.columns).mean(), abs=0.03)


def test_labels_own_words_weigh_less_the_more_examples_there_are_and_more_with_hints() -> None:
    bare = [names_prior(n_per_label=n, hinted=0.0) for n in (0.5, 5, 50)]
    assert bare == sorted(bare, reverse=True)
    assert names_prior(n_per_label=5, hinted=1.0) > names_prior(n_per_label=5, hinted=0.0)

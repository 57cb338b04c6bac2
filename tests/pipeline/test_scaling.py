"""How sure the best label may be is moved along a line, and nothing else is."""

import numpy as np
import pytest

from backend.core.types import FloatArray
from backend.pipeline.fuse import joined
from backend.pipeline.scaling import Scaling, best_odds

NOWHERE = -60.0  # log odds of out-of-scope


def drawn(n_labels: int, *, spread: float = 3.0) -> FloatArray:
    return np.random.default_rng(n_labels).normal(0, spread, (40, n_labels)).astype(np.float32)


def ordinary(logits: FloatArray) -> FloatArray:
    """Names that are as near as those that lines were fitted on."""
    return np.full(logits.shape, 4.0, np.float32)


def confidences(logits: FloatArray) -> FloatArray:
    probs = joined(logits, np.full(len(logits), NOWHERE, np.float32))
    return np.asarray(probs[:, :-1].max(axis=1), np.float32)


@pytest.mark.parametrize("n_labels", [3, 20, 150])
def test_the_best_label_has_the_log_odds_that_the_line_gives_it(n_labels: int) -> None:
    logits, line = drawn(n_labels), Scaling(bias=-0.7, slope=0.4)
    said = confidences(line.scaled(logits, ordinary(logits)))
    wanted = 1 / (1 + np.exp(-(-0.7 + 0.4 * best_odds(logits))))
    reachable = wanted > 1 / n_labels  # nothing that is best can be less likely
    assert said[reachable] == pytest.approx(wanted[reachable], abs=1e-3)
    assert said[~reachable] == pytest.approx(1 / n_labels, abs=0.01)


@pytest.mark.parametrize("line", [Scaling(-3.0, 0.02), Scaling(-0.7, 0.4), Scaling(1.0, 1.5)])
def test_the_order_of_the_labels_stays(line: Scaling) -> None:
    logits = drawn(20)
    order = np.argsort(line.scaled(logits, ordinary(logits)), axis=1)
    assert (order == np.argsort(logits, axis=1)).all()


def test_without_a_line_all_stays_as_the_weights_have_it() -> None:
    logits = drawn(20)
    scaled = Scaling().scaled(logits, ordinary(logits))
    assert confidences(scaled) == pytest.approx(confidences(logits), abs=1e-3)


def test_weights_that_many_examples_have_fitted_are_believed() -> None:
    logits, line = drawn(20), Scaling(bias=-3.0, slope=0.1, scale=0.5, own=1.0)
    assert confidences(line.scaled(logits, ordinary(logits))) == pytest.approx(confidences(logits), abs=1e-3)


@pytest.mark.parametrize("n_labels", [0, 1])
def test_where_there_is_nothing_to_choose_there_is_nothing_to_scale(n_labels: int) -> None:
    logits = np.zeros((3, n_labels), np.float32)
    assert Scaling(-0.7, 0.4).scaled(logits, logits).shape == (3, n_labels)


def test_labels_that_all_seem_alike_are_equally_likely() -> None:
    logits = np.zeros((2, 5), np.float32)
    assert confidences(Scaling(-0.7, 0.4).scaled(logits, logits)) == pytest.approx(0.2)


def test_a_label_whose_own_words_are_nearer_is_believed_more_until_examples_tell() -> None:
    logits = drawn(20)
    near, far = ordinary(logits) + 2, ordinary(logits) - 2
    cold, known = Scaling(-0.7, 0.4, affinity=0.2), Scaling(-0.7, 0.4, affinity=0.2, known=4.0)
    assert (confidences(cold.scaled(logits, near)) >= confidences(cold.scaled(logits, far))).all()
    gained = [
        np.ptp([confidences(line.scaled(logits, names)).mean() for names in (near, far)]) for line in (cold, known)
    ]
    assert gained[0] > 0.05 > 0.01 > gained[1]


def test_answers_are_surer_the_more_examples_came_since_the_training() -> None:
    logits = drawn(20)
    line = Scaling(-0.7, 0.4, bias_growth=0.1, slope_growth=0.05, trained=1.0, known=1.0)
    later = Scaling(-0.7, 0.4, bias_growth=0.1, slope_growth=0.05, trained=1.0, known=4.0)
    names = ordinary(logits)
    assert confidences(later.scaled(logits, names)).mean() > confidences(line.scaled(logits, names)).mean()

"""Calibration finds again what was put in."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backend.assembly import decided_by
from backend.core.types import IntArray, Label, LabelSpace, Stage
from backend.pipeline.evidence import Evidence, Feature, Finding
from backend.pipeline.fuse import SIGNS, WEIGHTS, joined, novelty, weighted
from backend.pipeline.scaling import Scaling
from backend.pipeline.voting import stated
from tests.pipeline.tables import voter_of
from training.calibrate import FITTED, Calibration, calibrate, fit_signs, fit_weights, threshold

N_LABELS = 6
SPACE = LabelSpace(tuple(Label(f"l{n}", f"l{n}") for n in range(N_LABELS)), "other")
STAGE: Stage = "classify"
TOGETHER = FITTED[STAGE]
EXPECTED = Scaling(-0.7, 0.4)


def evidence_of(features: Mapping[str, npt.NDArray[Any]]) -> Evidence:
    found = []
    for name, values in features.items():
        array = np.asarray(values, np.float32)
        found.append(Feature(name, array, array, np.ones(array.shape, np.bool_)))
    n = len(found[0].values)
    return Evidence.of(["text"] * n, SPACE).append(Finding(STAGE, tuple(found)), where=np.ones(n, np.bool_))


def drawn(weight: float, *, n: int = 4000) -> tuple[Evidence, IntArray]:
    """Labels drawn from the probabilities that the classifier's values give at this weight."""
    generator = np.random.default_rng(0)
    values = generator.normal(-2, 1, (n, N_LABELS + 1))
    evidence = evidence_of({"classifier": values})
    probs = joined(weighted(evidence, {"classifier": weight})[:, :-1], np.full(n, -60.0, np.float32))
    columns = [generator.choice(N_LABELS, p=row[:-1].astype(float) / row[:-1].astype(float).sum()) for row in probs]
    return evidence, np.array(columns, np.int64)


@pytest.mark.parametrize("weight", [0.5, 2.0, 5.0])
def test_a_weight_is_found_again(weight: float) -> None:
    found = fit_weights(*drawn(weight), WEIGHTS[STAGE], TOGETHER)
    assert found["classifier"] == pytest.approx(weight, rel=0.15)


def test_calibrated_probabilities_are_as_often_right_as_they_say() -> None:
    evidence, columns = drawn(2.0)
    weights = fit_weights(evidence, columns, WEIGHTS[STAGE], TOGETHER)
    probs = joined(weighted(evidence, weights)[:, :-1], np.full(len(columns), -60.0, np.float32))
    assert probs.max(axis=1).mean() == pytest.approx((probs.argmax(axis=1) == columns).mean(), abs=0.02)


def test_five_labels_do_not_overrule_the_stated_weight() -> None:
    found = fit_weights(*drawn(0.2, n=5), WEIGHTS[STAGE], TOGETHER)
    assert found["classifier"] > 0.2 * WEIGHTS[STAGE]["classifier"]


def test_a_feature_that_speaks_against_the_right_label_is_left_out_rather_than_turned_round() -> None:
    evidence, columns = drawn(2.0)
    values = evidence.values[:, :, 0]
    against = np.random.default_rng(2).normal(0, 1, values.shape)
    against[np.arange(len(columns)), columns] -= 1.0
    both = evidence_of({"classifier": values, "lexical": against})
    found = fit_weights(both, columns, WEIGHTS[STAGE], (("classifier",), ("lexical",)))
    assert found["lexical"] == 0


def test_features_fitted_together_keep_their_proportions() -> None:
    evidence, columns = drawn(2.0)
    found = fit_weights(evidence, columns, WEIGHTS[STAGE], FITTED[STAGE])
    stated = WEIGHTS[STAGE]
    assert found["dense"] / found["classifier"] == pytest.approx(stated["dense"] / stated["classifier"], rel=1e-3)


def scored(best: float, *, n: int) -> Evidence:
    """Texts whose best label's classifier value is about this."""
    values = np.full((n, N_LABELS + 1), -4.0)
    values[:, 0] = best + np.random.default_rng(1).normal(0, 0.5, n)
    return evidence_of({"classifier": values})


def test_texts_whose_label_was_left_out_teach_what_out_of_scope_looks_like() -> None:
    columns = np.zeros(200, np.int64)
    known, unknown = scored(-0.5, n=200), scored(-2.5, n=200)
    found = fit_signs(known, unknown, columns, SIGNS[STAGE])
    assert novelty(known, found).mean() < -1.0 < 1.0 < novelty(unknown, found).mean()


def test_with_few_labels_or_few_examples_the_stated_signs_stand() -> None:
    columns = np.zeros(20, np.int64)
    assert fit_signs(scored(-0.5, n=20), scored(-2.5, n=20), columns, SIGNS[STAGE]) == SIGNS[STAGE]


def test_without_examples_the_stated_values_stand() -> None:
    found = calibrate({}, {}, np.zeros(0, np.int64), share=0.1, expected=EXPECTED)
    assert found == Calibration.before(EXPECTED)
    assert (found.weights, found.signs) == (WEIGHTS, SIGNS)


def test_the_last_stage_weighs_what_the_level_before_it_does_and_votes_what_their_voters_state() -> None:
    evidence, columns = drawn(2.0, n=200)
    found = calibrate({STAGE: evidence}, {STAGE: evidence}, columns, share=0.01, expected=EXPECTED)
    assert found.weights["vote"] == found.weights["classify"] != WEIGHTS["vote"]
    assert found.signs["vote"] == found.signs["classify"]
    voter = voter_of(weight=0.5)
    fuser = decided_by(found.parameters(), classifies=True, voters=[voter])["fuser"]
    assert fuser.weights["vote"] == {**found.weights["vote"], **stated([voter])}


@pytest.mark.parametrize(
    ("case", "cheap_right", "expected"),
    [
        ("always as good", [True, True, True, True], 0.6),
        ("worse where unsure", [True, True, False, False], 0.8),
        ("worse where sure", [False, True, True, True], 1.0),
    ],
)
def test_a_cheap_level_decides_alone_from_the_confidence_on_at_which_it_loses_nothing(
    case: str, cheap_right: list[bool], expected: float
) -> None:
    confidences = np.array([0.9, 0.8, 0.7, 0.6])
    columns = np.zeros(4, np.int64)
    cheap = np.array([[c, 1 - c] if ok else [1 - c, c] for c, ok in zip(confidences, cheap_right, strict=True)])
    costly = np.array([[0.99, 0.01]] * 4)
    assert threshold(cheap.astype(np.float32), costly.astype(np.float32), columns) == pytest.approx(expected), case

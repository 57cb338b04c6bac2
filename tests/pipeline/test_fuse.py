"""Features to probabilities, by hand-worked numbers."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.types import LabelSpace
from backend.pipeline.evidence import Evidence, Feature, Finding
from backend.pipeline.fuse import FixedFuser
from tests.pipeline.words import SPACE

ALL = np.ones(1, np.bool_)


def evidence_of(name: str, values: Sequence[float], present: Sequence[bool], *, space: LabelSpace = SPACE) -> Evidence:
    row = np.array([values], np.float32)
    feature = Feature(name, row, row, np.array([present], np.bool_))
    return Evidence.of(["a text"], space).append(Finding("retrieve", (feature,)), where=ALL)


def fuser(**settings: object) -> FixedFuser:
    fixed = {"weights": {"classifier": 1.0}, "temperatures": {"retrieve": 1.0, "classify": 1.0, "vote": 1.0}}
    return FixedFuser(**{**fixed, **settings})  # type: ignore[arg-type]


def test_log_probabilities_of_one_feature_come_back_as_they_were() -> None:
    logs = np.log([0.5, 0.2, 0.2, 0.1])
    probs = fuser(knows_oos=True).fuse(evidence_of("classifier", logs.tolist(), [True] * 4))
    assert probs[0].tolist() == pytest.approx([0.5, 0.2, 0.2, 0.1], abs=1e-6)


def test_a_temperature_of_2_takes_the_square_root_of_the_odds() -> None:
    logs = [float(np.log(16.0)), 0.0, -30.0, -30.0]
    probs = fuser(knows_oos=True, temperatures={"retrieve": 2.0, "classify": 1.0, "vote": 1.0}).fuse(
        evidence_of("classifier", logs, [True] * 4)
    )
    assert probs[0, 0] / probs[0, 1] == pytest.approx(4.0, rel=1e-4)


def test_a_missing_value_adds_nothing() -> None:
    probs = fuser(knows_oos=True).fuse(evidence_of("classifier", [9.0, 0.0, 0.0, 0.0], [False, True, True, True]))
    assert probs[0].tolist() == pytest.approx([0.25] * 4)


def test_an_unknown_feature_weighs_nothing() -> None:
    probs = fuser(knows_oos=True).fuse(evidence_of("astrology", [9.0, 0.0, 0.0, 0.0], [True] * 4))
    assert probs[0].tolist() == pytest.approx([0.25] * 4)


@pytest.mark.parametrize(("affinity", "expected"), [(0.0, 0.5), (3.0, 0.047), (-3.0, 0.953)])
def test_unknown_out_of_scope_is_likelier_the_less_any_label_resembles_the_text(
    affinity: float, expected: float
) -> None:
    probs = fuser().fuse(evidence_of("dense", [affinity, -9.0, -9.0, 0.0], [True, True, True, False]))
    assert probs[0, -1] == pytest.approx(expected, abs=1e-3)


def test_a_project_without_a_choice_for_it_seldom_has_out_of_scope_texts() -> None:
    values, present = [0.0, -9.0, -9.0, 0.0], [True, True, True, False]
    without = fuser().fuse(evidence_of("dense", values, present, space=LabelSpace(SPACE.labels)))
    assert without[0, -1] < fuser().fuse(evidence_of("dense", values, present))[0, -1]


@given(st.lists(st.floats(-50, 50), min_size=4, max_size=4), st.lists(st.booleans(), min_size=4, max_size=4))
def test_probabilities_are_not_negative_and_sum_to_1(values: list[float], present: list[bool]) -> None:
    for knows_oos in (True, False):
        probs = fuser(knows_oos=knows_oos, oos_bias=1.0).fuse(evidence_of("classifier", values, present))
        assert probs.min() >= 0
        assert probs.sum() == pytest.approx(1.0, abs=1e-4)

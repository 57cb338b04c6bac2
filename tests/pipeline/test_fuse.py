"""Features to probabilities, by hand-worked numbers."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.types import STAGES, LabelSpace
from backend.pipeline.evidence import NONE, VOTE, Evidence, Feature, Finding
from backend.pipeline.fuse import Fuser, signs
from tests.pipeline.words import SPACE

ALL = np.ones(1, np.bool_)
HALF = 0.5  # share at which the odds are the signs' alone


def evidence_of(name: str, values: Sequence[float], present: Sequence[bool], *, space: LabelSpace = SPACE) -> Evidence:
    row = np.array([values], np.float32)
    feature = Feature(name, row, row, np.array([present], np.bool_))
    return Evidence.of(["a text"], space).append(Finding("retrieve", (feature,)), where=ALL)


def fuser(share: float = HALF, **odds: float) -> Fuser:
    """The classifier's values as logits; out of scope as likely as not where no sign is given."""
    weights = {"classifier": 1.0, VOTE + "a": 3.0, NONE + "a": 2.0, "keywords": 2.0}
    return Fuser(dict.fromkeys(STAGES, weights), dict.fromkeys(STAGES, odds), share)


def test_log_probabilities_of_one_feature_come_back_as_they_were() -> None:
    logs = [*np.log([0.5, 0.3, 0.2]).tolist(), 0.0]
    probs = fuser().fuse(evidence_of("classifier", logs, [True, True, True, False]))
    assert probs[0].tolist() == pytest.approx([0.25, 0.15, 0.1, 0.5], abs=1e-6)


def test_a_missing_value_adds_nothing() -> None:
    probs = fuser().fuse(evidence_of("classifier", [9.0, 0.0, 0.0, 0.0], [False, True, True, False]))
    assert probs[0, :3].tolist() == pytest.approx([1 / 6] * 3)


def test_an_unknown_feature_weighs_nothing() -> None:
    probs = fuser().fuse(evidence_of("astrology", [9.0, 0.0, 0.0, 0.0], [True] * 4))
    assert probs[0, :3].tolist() == pytest.approx([1 / 6] * 3)


@pytest.mark.parametrize(("affinity", "expected"), [(0.0, 0.5), (3.0, 0.047), (-3.0, 0.953)])
def test_out_of_scope_is_likelier_the_less_any_label_resembles_the_text(affinity: float, expected: float) -> None:
    evidence = evidence_of("dense", [affinity, -9.0, -9.0, 0.0], [True, True, True, False])
    assert fuser(near=-1.0).fuse(evidence)[0, -1] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 0.5), (0.1, 0.1), (0.01, 0.01)])
def test_where_nothing_tells_out_of_scope_is_as_likely_as_it_is_assumed_to_be(share: float, expected: float) -> None:
    probs = fuser(share).fuse(evidence_of("classifier", [0.0] * 4, [True] * 3 + [False]))
    assert probs[0, -1] == pytest.approx(expected, abs=1e-4)


def test_a_vote_for_none_of_these_counts_for_out_of_scope_by_its_own_weight() -> None:
    probs = fuser().fuse(evidence_of(NONE + "a", [0.0, 0.0, 0.0, 1.5], [False, False, False, True]))
    # the evidence is one of retrieval, whose weights hold the vote here, too: 2 * 1.5 logits
    assert probs[0, -1] == pytest.approx(1 / (1 + np.exp(-3.0)), abs=1e-4)


def test_votes_for_labels_say_nothing_about_out_of_scope() -> None:
    probs = fuser().fuse(evidence_of(VOTE + "a", [1.0, 0.0, 0.0, 0.0], [True, True, True, False]))
    assert probs[0, -1] == pytest.approx(0.5)
    assert probs[0, 0] / probs[0, 1] == pytest.approx(np.exp(3.0), rel=1e-4)


def test_a_rule_for_out_of_scope_counts_against_the_best_label_of_the_rules() -> None:
    probs = fuser().fuse(evidence_of("keywords", [1.0, 0.0, 0.0, 2.0], [True] * 4))
    assert probs[0, -1] == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-4)


def test_a_classifier_that_knows_out_of_scope_texts_is_compared_with_its_best_label() -> None:
    found = signs(evidence_of("classifier", [-1.0, -4.0, -4.0, -0.5], [True] * 4))
    assert (found["score"][0], found["oos"][0]) == (-1.0, 0.5)


def test_a_project_without_labels_has_nothing_but_out_of_scope() -> None:
    assert fuser().fuse(Evidence.of(["tea"], LabelSpace(()))).tolist() == [[1.0]]


@given(st.lists(st.floats(-50, 50), min_size=4, max_size=4), st.lists(st.booleans(), min_size=4, max_size=4))
def test_probabilities_are_not_negative_and_sum_to_1(values: list[float], present: list[bool]) -> None:
    probs = fuser(0.1, bias=1.0, score=-1.0).fuse(evidence_of("classifier", values, present))
    assert probs.min() >= 0
    assert probs.sum() == pytest.approx(1.0, abs=1e-4)

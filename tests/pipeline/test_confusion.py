"""What is remembered of labels that a voter mistakes for each other."""

import numpy as np
import pytest

from backend.core.types import LabelSpace
from backend.pipeline.confusion import Confusion, confused, preferred
from backend.pipeline.evidence import CONFUSED, VOTE, Feature
from tests.pipeline.words import SPACE

FIRST, SECOND, THIRD = SPACE.values


def vote_of(*rows: list[float], space: LabelSpace = SPACE) -> Feature:
    """A voter's probabilities of the labels, and of none of them; 0 for labels that it was not asked about."""
    raw = np.array(rows, np.float32)
    present = raw > 0.0
    present[:, len(space)] = False
    return Feature(f"{VOTE}one", raw, raw, present)


def values_of(confusion: Confusion, *row: float) -> dict[str, float]:
    """What a text's candidates get, by label."""
    found = confused(vote_of(list(row)), SPACE, [confusion])
    return {SPACE.values[at]: float(found.values[0, at]) for at in np.flatnonzero(found.present[0])}


def test_a_label_that_a_voter_mistakes_for_another_loses_to_that_one() -> None:
    values = values_of(Confusion.of([FIRST] * 6 + [SECOND] * 6, [THIRD] * 6 + [SECOND] * 6), 0.6, 0.2, 0.1, 0.1)
    assert values[THIRD] > 0.0 > values[FIRST]
    assert values[THIRD] > values[SECOND]


def test_the_more_examples_tell_the_more_is_believed() -> None:
    values = [values_of(Confusion.of([FIRST] * n, [THIRD] * n), 0.6, 0.2, 0.1, 0.1)[THIRD] for n in (1, 3, 30)]
    assert values == sorted(set(values))


@pytest.mark.parametrize(
    ("case", "confusion"),
    [
        ("nothing was asked", Confusion()),
        ("other labels were", Confusion.of([SECOND], [SECOND])),
        ("the one example is left out", Confusion.of([FIRST], [THIRD]).without(FIRST, THIRD)),
    ],
)
def test_of_a_label_without_examples_nothing_is_said(case: str, confusion: Confusion) -> None:
    assert values_of(confusion, 0.6, 0.2, 0.1, 0.1) == {}


def test_a_voter_that_errs_alike_about_all_labels_has_nothing_more_to_say() -> None:
    labels = [FIRST, SECOND, THIRD]
    pairs = [(said, right) for said in labels for right in labels for _ in range(6 if said == right else 3)]
    confusion = Confusion.of([said for said, _ in pairs], [right for _, right in pairs])
    assert values_of(confusion, 0.6, 0.2, 0.1, 0.1) == pytest.approx(dict.fromkeys(labels, 0.0), abs=0.05)


def test_only_candidates_are_judged() -> None:
    assert set(values_of(Confusion.of([FIRST], [THIRD]), 0.6, 0.3, 0.0, 0.1)) == {FIRST, SECOND}


def test_a_text_that_nobody_voted_on_says_nothing() -> None:
    assert preferred(vote_of([0.0, 0.0, 0.0, 0.0]), SPACE) == [""]
    assert values_of(Confusion.of([FIRST], [THIRD]), 0.0, 0.0, 0.0, 0.0) == {}


def test_what_is_said_stands_under_the_voter_s_name() -> None:
    found = confused(vote_of([0.6, 0.2, 0.1, 0.1]), SPACE, [Confusion.of([FIRST], [THIRD])])
    assert found.name == f"{CONFUSED}one"
    np.testing.assert_allclose(found.raw[0, :3].sum(), 1.0, rtol=1e-5)
    assert not found.present[0, len(SPACE)]

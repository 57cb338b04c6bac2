"""What a classifier would say without an example is what it says when it was made without it."""

import numpy as np
import pytest

from backend.core.types import FloatArray, IntArray
from backend.models.kernel import Prior
from training import fit
from training.fit import Fitted, Rows, fit_kernel, supporting

LABELS, DIM, N = 4, 16, 120


def rows() -> Rows:
    """Four clouds of texts; every third text stands twice."""
    generator = np.random.default_rng(0)
    columns = np.arange(N) % LABELS
    centres = generator.normal(0, 1, (LABELS, DIM))
    vectors = centres[columns] + generator.normal(0, 1.2, (N, DIM))
    groups = np.where(np.arange(N) % 3 == 0, np.arange(N) // 24, N + np.arange(N))
    return Rows(("tea",) * N, unit(vectors), columns, groups)


def unit(vectors: object) -> FloatArray:
    array = np.asarray(vectors, np.float32)
    return np.asarray(array / np.linalg.norm(array, axis=1, keepdims=True), np.float32)


def fitted(of: Rows) -> Fitted:
    return fit_kernel(
        of,
        Prior.of(np.eye(LABELS, DIM, dtype=np.float32)),
        background=np.zeros(DIM, np.float32),
        n_columns=LABELS + 1,
        seed=0,
    )


def without(of: Rows, left: IntArray) -> FloatArray:
    """What a classifier made of the other rows says about those left out."""
    kept = fitted(of.take(np.setdiff1d(np.arange(N), left))).classifier
    asked = of.take(left)
    return np.nan_to_num(kept.predict(asked.texts, asked.vectors))


@pytest.mark.parametrize("row", [0, 1, 50])
def test_blind_scores_are_those_of_a_classifier_that_never_saw_the_texts_group(row: int) -> None:
    every = rows()
    left = np.flatnonzero(every.groups == every.groups[row])
    # the centre is that of all rows
    assert np.abs(fitted(every).blind[left] - without(every, left)).max() < 0.06


def test_unknown_scores_are_those_of_a_classifier_that_never_saw_the_texts_label() -> None:
    every = rows()
    left = np.flatnonzero(every.columns == 2)
    others = [0, 1, 3]
    found, expected = fitted(every).unknown[left][:, others], without(every, left)[:, others]
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.97


def test_more_examples_than_can_spread_leave_each_label_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "MAX_SUPPORT", 20)
    every = rows()
    chosen = supporting(every, seed=0)
    assert np.bincount(every.columns[chosen]).tolist() == [5, 5, 5, 5]
    found = fitted(every)
    assert np.isfinite(found.blind).all()
    assert np.isnan(found.unknown).all(axis=1).sum() == N - 20

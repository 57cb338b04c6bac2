"""Unlabelled texts teach what names leave open."""

import numpy as np

from backend.core.types import FloatArray, IntArray
from backend.models.kernel import Prior, unit
from training.pool import prior_of

N_LABELS, DIM = 12, 32


def project(n: int, *, seed: int = 0) -> tuple[FloatArray, FloatArray, IntArray]:
    """Names that lie beside what their texts are about, texts, and the right label of each."""
    generator = np.random.default_rng(0)
    topics = generator.normal(0, 1, (N_LABELS, DIM))
    names = unit((topics + generator.normal(0, 1.6, topics.shape)).astype(np.float32))
    drawn = np.random.default_rng(seed)
    columns = drawn.integers(0, N_LABELS, n)
    return names, unit((topics[columns] + drawn.normal(0, 0.8, (n, DIM))).astype(np.float32)), columns


def accuracy(prior: Prior) -> float:
    _, texts, columns = project(500, seed=9)
    return float((prior.predict(texts)[:, :-1].argmax(axis=1) == columns).mean())


def test_texts_without_labels_make_names_better_on_texts_that_were_not_among_them() -> None:
    names, pool, _ = project(600)
    assert accuracy(prior_of(names, pool)) > accuracy(Prior.of(names)) + 0.05


def test_a_handful_of_texts_changes_nothing() -> None:
    names, pool, _ = project(20)
    assert accuracy(prior_of(names, pool)) == accuracy(Prior.of(names))


def test_probabilities_of_labels_sum_to_1_and_leave_out_of_scope_open() -> None:
    names, pool, _ = project(300)
    probs = prior_of(names, pool).predict(pool)
    assert np.allclose(probs.sum(axis=1), 1.0, atol=1e-5)
    assert not probs[:, -1].any()

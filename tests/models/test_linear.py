"""The linear classifier and its files."""

from pathlib import Path

import numpy as np
import pytest

from backend.core.errors import ArtefactError
from backend.core.types import FloatArray
from backend.models.linear import SETTINGS, LinearClassifier
from training.fit import Rows, fit_linear

TEXTS = ("cancel my order", "stop the order", "card is lost", "lost my visa", "чай хороший", "хороший зелёный чай")


def vectors(n: int) -> FloatArray:
    return np.random.default_rng(0).normal(0, 1, (n, 8)).astype(np.float32)


def fitted(columns: tuple[int, ...] = (0, 0, 1, 1, 3, 3)) -> LinearClassifier:
    rows = Rows(TEXTS, vectors(len(TEXTS)), np.array(columns, np.int64), n_names=0)
    return fit_linear(rows, n_columns=4, seed=0)


def test_columns_without_examples_are_unknown_and_the_others_sum_to_1() -> None:
    logs = fitted().predict_log_proba(TEXTS, vectors(len(TEXTS)))
    assert np.isneginf(logs[:, 2]).all()
    assert np.exp(logs).sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert logs.argmax(axis=1).tolist() == [0, 0, 1, 1, 3, 3]


def test_two_classes_are_told_apart() -> None:
    classifier = fitted((0, 0, 0, 3, 3, 3))
    assert classifier.predict_log_proba(TEXTS, vectors(len(TEXTS))).argmax(axis=1).tolist() == [0, 0, 0, 3, 3, 3]


def test_a_loaded_classifier_says_the_same(tmp_path: Path) -> None:
    classifier = fitted()
    classifier.save(tmp_path)
    asked = (*TEXTS, "quite another thing", "", "ß ё")
    expected = classifier.predict_log_proba(asked, vectors(len(asked)))
    found = LinearClassifier.load(tmp_path).predict_log_proba(asked, vectors(len(asked)))
    assert np.allclose(expected, found, atol=1e-5)


def test_no_texts_no_rows() -> None:
    assert fitted().predict_log_proba([], vectors(0)).shape == (0, 4)


def test_another_format_is_refused(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    path = tmp_path / SETTINGS
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(ArtefactError, match="must have format 1, was 99"):
        LinearClassifier.load(tmp_path)

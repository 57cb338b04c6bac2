"""The kernel classifier, what corrects it, and its files."""

from pathlib import Path

import numpy as np
import pytest

from backend.core.errors import ArtefactError
from backend.core.types import FloatArray
from backend.models.kernel import SETTINGS, KernelClassifier, Prior
from training.fit import Rows, fit_kernel

TEXTS = ("cancel my order", "stop the order", "card is lost", "lost my visa", "чай хороший", "хороший зелёный чай")
DIM = 8


def vectors(n: int, *, seed: int = 0) -> FloatArray:
    drawn = np.random.default_rng(seed).normal(0, 1, (n, DIM)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


NAMES = vectors(3, seed=7)


def fitted(columns: tuple[int, ...] = (0, 0, 1, 1, 3, 3)) -> KernelClassifier:
    n = len(columns)
    rows = Rows(TEXTS[:n], vectors(len(TEXTS))[:n], np.array(columns, np.int64), np.arange(n))
    return fit_kernel(rows, Prior.of(NAMES), background=np.zeros(DIM, np.float32), n_columns=4, seed=0).classifier


def test_examples_are_learned_and_labels_without_any_keep_what_their_name_says() -> None:
    scores = fitted().predict((*TEXTS, "a name"), np.concatenate([vectors(len(TEXTS)), NAMES[2:]]))
    assert scores.argmax(axis=1).tolist() == [0, 0, 1, 1, 3, 3, 2]


def test_before_any_example_the_nearest_name_is_best_and_nothing_is_known_of_out_of_scope() -> None:
    scores = fitted(()).predict(("a", "b", "c"), NAMES)
    assert scores[:, :3].argmax(axis=1).tolist() == [0, 1, 2]
    assert np.isnan(scores[:, 3]).all()


def test_a_live_example_decides_about_its_text_and_hardly_about_others() -> None:
    before, (text, vector) = fitted(), ("purple elephant", vectors(1, seed=5))
    after = before.with_live([text], vector, np.array([2]))
    assert after.predict([text], vector)[0].argmax() == 2
    assert np.abs(after.predict(TEXTS, vectors(6)) - before.predict(TEXTS, vectors(6))).max() < 0.35


def test_live_examples_alone_teach_what_a_training_on_them_teaches() -> None:
    live = fitted(()).with_live(TEXTS, vectors(6), np.array([0, 0, 1, 1, 3, 3]))
    asked = vectors(20, seed=3)
    words = ["order"] * 20
    agree = live.predict(words, asked).argmax(axis=1) == fitted().predict(words, asked).argmax(axis=1)
    assert agree.mean() >= 0.8


def test_a_second_call_replaces_what_the_first_added() -> None:
    before = fitted()
    asked = vectors(4, seed=4)
    again = before.with_live(["tea"], asked[:1], np.array([1])).with_live([], asked[:0], np.zeros(0, np.int64))
    assert np.array_equal(again.predict(["tea"] * 4, asked), before.predict(["tea"] * 4, asked))


@pytest.mark.parametrize("columns", [(0, 0, 1, 1, 3, 3), ()], ids=["trained", "cold"])
def test_a_loaded_classifier_says_the_same(columns: tuple[int, ...], tmp_path: Path) -> None:
    classifier = fitted(columns)
    classifier.save(tmp_path)
    asked = (*TEXTS, "quite another thing", "", "ß ё")
    expected = classifier.predict(asked, vectors(len(asked)))
    found = KernelClassifier.load(tmp_path).predict(asked, vectors(len(asked)))
    assert np.allclose(expected, found, atol=1e-5, equal_nan=True)


def test_no_texts_no_rows() -> None:
    assert fitted().predict([], vectors(0)).shape == (0, 4)


def test_another_format_is_refused(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    path = tmp_path / SETTINGS
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(ArtefactError, match="must have format 1, was 99"):
        KernelClassifier.load(tmp_path)

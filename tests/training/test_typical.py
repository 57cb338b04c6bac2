"""Typical texts: central first, none like the other."""

import numpy as np

from backend.core.types import FloatArray
from training.typical import typical


def units(*angles: float) -> FloatArray:
    return np.array([(np.cos(angle), np.sin(angle)) for angle in angles], np.float32)


def test_the_most_central_comes_first_then_what_is_unlike_it() -> None:
    vectors = np.array([(0, 1, 0), (0.995, 0.1, 0), (1, 0, 0), (0, 0, 1)], np.float32)
    assert typical(["left", "middle", "almost the middle", "right"], vectors, k=3) == ("middle", "right", "left")


def test_what_says_the_same_stands_once() -> None:
    assert typical(["stop it", "It: STOP!", "go on"], units(0.0, 0.01, 0.5), k=3) == ("It: STOP!", "go on")


def test_fewer_texts_than_asked_for_are_all_there_are() -> None:
    assert typical([], units(), k=3) == ()
    assert typical(["a"], units(0.0), k=3) == ("a",)
    assert typical(["a", "b"], units(0.0, 0.1), k=0) == ()

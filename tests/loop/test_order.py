"""Which task comes next, and what a score still tells of its confidence."""

import random

import numpy as np

from backend.loop.order import LED, MOVED, STEP, in_turn, is_place, places, representative


def shown(confidences: list[float], labels: list[str]) -> list[int]:
    scores = in_turn(confidences, labels)
    return sorted(range(len(scores)), key=scores.__getitem__)


def test_equally_uncertain_tasks_of_one_label_do_not_follow_one_another_while_another_label_is_as_uncertain() -> None:
    labels = ["refund"] * 4 + ["delivery"] * 2
    order = [labels[at] for at in shown([0.301, 0.302, 0.303, 0.304, 0.3039, 0.3045], labels)]
    assert order == ["refund", "delivery", "refund", "delivery", "refund", "refund"]


def test_the_less_certain_one_comes_first_and_a_score_still_tells_the_confidence() -> None:
    drawn = random.Random(0)
    confidences = [round(drawn.random(), 4) for _ in range(500)] + [0.0, 1.0, 1.0]
    labels = [drawn.choice("abc") for _ in confidences]
    scores = in_turn(confidences, labels)
    assert all(abs(score - confidence) <= MOVED for score, confidence in zip(scores, confidences, strict=True))
    assert all(0.0 <= score <= 1.0 for score in scores)
    order = [round(confidences[at] / STEP) for at in shown(confidences, labels)]
    assert order == sorted(order)
    assert list(in_turn([], [])) == []


def test_places_come_before_every_score_that_tells_a_confidence() -> None:
    first = places(2_000)
    assert first == sorted(set(first))
    assert all(is_place(score) for score in first)
    assert not any(is_place(score) for score in in_turn([0.0, 0.0002, 1.0], ["a", "b", "a"]))
    assert min(in_turn([0.0], ["a"])) == LED


def around(*centres: tuple[float, float], n: int) -> list[tuple[float, float]]:
    drawn = np.random.default_rng(0)
    return [(x + drawn.normal(0, 0.05), y + drawn.normal(0, 0.05)) for x, y in centres for _ in range(n)]


def test_texts_like_many_others_come_first_and_one_of_each_kind_before_the_next_of_any() -> None:
    texts = np.array([*around((1, 0), n=12), *around((0, 1), n=6), (-1.0, -1.0)], np.float32)
    first, second, third = representative(texts, np.zeros((0, 2), np.float32), k=3)
    assert (first < 12, 12 <= second < 18, third) == (True, True, 18)


def test_a_kind_of_text_that_is_labelled_comes_after_those_that_are_not() -> None:
    texts = np.array([*around((1, 0), n=12), *around((0, 1), n=6)], np.float32)
    chosen = representative(texts, np.array([(1.0, 0.0)], np.float32), k=18)
    assert chosen[0] >= 12
    assert sorted(chosen) == list(range(18)), "each once, however many are asked for"
    assert representative(texts[:0], texts, k=3) == []

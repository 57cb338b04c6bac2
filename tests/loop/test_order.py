"""Which task comes next: the least certain one, and never the same label again while another is as uncertain."""

import random

from backend.loop.order import MOVED, STEP, in_turn


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

"""In which order people are shown tasks, as scores: Label Studio can only sort by score, the lowest first.

A score is the confidence rounded to STEP, moved within half of it to carry the order; whoever reads scores rounds them.
Among equally uncertain tasks each label comes in turn: equal and near-equal texts mostly get one label, and so stand
apart. Tasks that come before the least certain ones, however certain they are, have scores under LED, which tell their
place alone; their confidence stands in the ledger.
"""

from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np

from backend.core.types import FloatArray

STEP = 0.01  # of confidence; nearer than that, tasks are equally uncertain
MOVED = STEP  # that a score may differ from its confidence by, rounding and order together
LED = 0.001  # scores under it are places; a confidence that is lower counts as this


def in_turn(confidences: Sequence[float], labels: Sequence[str]) -> "array[float]":
    """Scores, LED to 1, that show the tasks in turn.

    Args:
        confidences: 0-1, a task each.
        labels: what each task shows.
    """
    rounded = array("d", (round(confidence / STEP) * STEP for confidence in confidences))
    turns: Counter[tuple[float, str]] = Counter()
    turn = array("q", bytes(8 * len(rounded)))
    for at in sorted(range(len(rounded)), key=confidences.__getitem__):
        turn[at] = turns[rounded[at], labels[at]]
        turns[rounded[at], labels[at]] += 1
    sizes, begun = Counter(rounded), Counter[float]()
    scores = array("d", rounded)
    for at in sorted(range(len(rounded)), key=lambda at: (rounded[at], turn[at], confidences[at])):
        place = (begun[rounded[at]] + 0.5) / sizes[rounded[at]]  # 0-1 among the equally uncertain
        begun[rounded[at]] += 1
        scores[at] = min(1.0, max(LED, rounded[at] + STEP * (place - 0.5)))
    return scores


def places(n: int) -> list[float]:
    """Scores of n tasks that come first, rising."""
    return [LED * (place + 1) / (n + 1) for place in range(n)]


def is_place(score: float) -> bool:
    """Whether a score tells a place and no confidence."""
    return score < LED


def representative(vectors: FloatArray, known: FloatArray, *, k: int) -> list[int]:
    """Up to k rows, each of which adds most to how near all texts are to some known or chosen one.

    Greedy facility location (Wei, Iyer and Bilmes 2015): texts like many others come first, and none like one that is
    known. Costs the square of the texts, k times.

    Args:
        vectors: (n_texts, dim), of the texts to choose from.
        known: (n_known, dim), of texts that are labelled.
    """
    if not len(vectors):
        return []
    centre = vectors.mean(axis=0)
    units = _unit(vectors - centre)
    like = np.asarray(units @ units.T, np.float32)
    nearest = (units @ _unit(known - centre).T).max(axis=1, initial=-1.0)
    left = np.ones(len(units), np.bool_)
    chosen: list[int] = []
    for _ in range(min(k, len(units))):
        gains = np.maximum(like - nearest[:, None], 0.0).sum(axis=0)
        row = int(np.where(left, gains, -np.inf).argmax())
        chosen.append(row)
        left[row] = False
        nearest = np.maximum(nearest, like[row])
    return chosen


def _unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)

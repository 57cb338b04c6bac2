"""In which order people are shown tasks: the least certain first, and among equally uncertain ones each label in turn.

Label Studio can only sort by score. So a score is the confidence rounded to STEP, moved within half of it to carry the
order; whoever reads scores rounds them. Equal and near-equal texts mostly get one label: taking turns parts them.
"""

from array import array
from collections import Counter
from collections.abc import Sequence

STEP = 0.01  # of confidence; nearer than that, tasks are equally uncertain
MOVED = STEP  # that a score may differ from its confidence by, rounding and order together


def in_turn(confidences: Sequence[float], labels: Sequence[str]) -> "array[float]":
    """Scores, 0-1, that show the tasks in turn.

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
        scores[at] = min(1.0, max(0.0, rounded[at] + STEP * (place - 0.5)))
    return scores

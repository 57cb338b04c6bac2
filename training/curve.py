"""The learning curve: how good a model is by how many labels it has, and what more of them should bring."""

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.assembly import Assembly
from backend.core.artefacts import Manifest
from backend.core.bounds import share_interval
from backend.core.types import Example
from training.intervals import Interval
from training.judge import Judged
from training.run import TrainingOptions, train

MOST = 4_000  # labels of a model that is trained for the curve alone: more take longer than the evaluation
FEWEST = 20  # labels under which chance decides
N_JUDGED = 1_000  # texts that judge each point
MORE_LABELS = 200  # whose worth is told
WORTH, SHOWN = 0.003, 0.001  # accuracy: less is not worth labelling, not worth a number
GROWTH = 2  # from point to point: halves cost together as much as the whole


@dataclass(frozen=True, slots=True)
class Point:
    """A model of so many labels."""

    n_labels: int
    accuracy: float
    interval: Interval

    @classmethod
    def of(cls, n_labels: int, accuracy: float, n_judged: int) -> "Point":
        return cls(n_labels, accuracy, share_interval(round(accuracy * n_judged), n_judged))


def learning_curve(
    manifest: Manifest, known: Sequence[Example], judged: Judged, *, assembly: Assembly, report: Callable[[str], None]
) -> list[Point]:  # fmt: skip
    """Train on growing parts of what a model was trained on; the last point is the model itself.

    Args:
        known: what it was trained on; without any there is no curve.
        judged: what the model said about other texts.
    """
    if not known or not judged.outcomes:
        return []
    chosen = np.random.default_rng(manifest.seed).permutation(len(judged.examples))[:N_JUDGED]
    judging = [judged.examples[row] for row in chosen]
    own = float(np.mean([judged.outcomes[row].correct for row in chosen]))
    order = np.random.default_rng(manifest.seed).permutation(len(known))
    points = []
    for size in sizes(len(known), fewest=len(manifest.labels)):
        report(f"learning curve: {size} labels")
        accuracy = _accuracy(manifest, [known[row] for row in order[:size]], judging, assembly)
        points.append(Point.of(size, accuracy, len(judging)))
    return [*points, Point.of(len(known), own, len(judging))]


def sizes(n: int, *, fewest: int) -> list[int]:
    """How many labels the smaller models have, ascending; at least one for each choice."""
    found = []
    size = n // GROWTH
    while size >= max(FEWEST, fewest):
        found.append(size)
        size //= GROWTH
    return [size for size in reversed(found) if size <= MOST]


def gain(points: Sequence[Point], n_more: int) -> float | None:
    """Accuracy that so many more labels should bring, 0-1; None where there are too few points.

    Each doubling is taken to bring what the last ones brought: accuracy grows with the logarithm of the labels, and
    ever less than that, so that this errs towards more labels.
    """
    last = points[-3:]
    if len(last) < 2 or last[-1].n_labels <= last[0].n_labels:
        return None
    logs = np.log([point.n_labels for point in last])
    slope = float(np.polyfit(logs, [point.accuracy for point in last], 1)[0])
    return max(slope, 0.0) * math.log1p(n_more / last[-1].n_labels)


def outlook(points: Sequence[Point]) -> str:
    """What more labels should bring, in a sentence; empty where there are too few points."""
    more = gain(points, MORE_LABELS)
    if more is None:
        return ""
    points_more = f"about {100 * more:.1f}" if more >= SHOWN else f"less than {100 * SHOWN:.1f}"
    enough = ": hardly worth the work" if more < WORTH else ""
    return f"The next {MORE_LABELS} labels should bring {points_more} points of accuracy{enough}."


def _accuracy(manifest: Manifest, known: Sequence[Example], judging: Sequence[Example], assembly: Assembly) -> float:
    options = TrainingOptions(
        language=manifest.language, profile=manifest.profile, family=manifest.family, seed=manifest.seed
    )
    with tempfile.TemporaryDirectory() as folder:
        made = train(
            known, manifest.labels, out=Path(folder) / "model", options=options, assembly=assembly, gold=judging
        )
    return float(made.metrics.get("accuracy", 0.0))

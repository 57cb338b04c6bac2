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
from training.judge import FILE, GOLD, Judged
from training.run import TrainingOptions, train

MOST = 4_000  # labels of a model that is trained for the curve alone: more take longer than the evaluation
FEWEST = 20  # labels under which chance decides
N_JUDGED = 1_000  # texts that judge each point
MORE_LABELS = 200  # whose worth is told
ADVISED_FROM = 200  # labels; the curve is too steep before to say that more are not worth it
WORTH = 0.01  # of accuracy; less from MORE_LABELS is hardly worth labelling them
WIDEST = 0.1  # of accuracy; an upper end beyond it tells nobody anything
REPRESENTING = (GOLD, FILE)  # what judges without having been chosen by a model: labels of a project mostly are
N_HALVES = 2  # points before the newest that its slope is of
Z = 1.96  # standard errors, beyond which lie 2.5 %
GROWTH = 2  # from point to point: halves cost together as much as the whole


@dataclass(frozen=True, slots=True)
class Point:
    """A model of so many labels."""

    n_labels: int
    accuracy: float
    interval: Interval
    n_judged: int
    on: str  # what judged it

    @classmethod
    def of(cls, n_labels: int, accuracy: float, n_judged: int, on: str) -> "Point":
        interval = share_interval(round(accuracy * n_judged), n_judged)
        return cls(n_labels, accuracy, interval, n_judged, on)

    @property
    def represents(self) -> bool:
        """Whether it was judged on texts like those to come."""
        return self.on in REPRESENTING

    @property
    def variance(self) -> float:
        """Of the accuracy, also where all or none were right (Agresti and Coull 1998)."""
        share = (self.accuracy * self.n_judged + 2) / (self.n_judged + 4)
        return share * (1 - share) / (self.n_judged + 4)


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
        points.append(Point.of(size, accuracy, len(judging), judged.on))
    return [*points, Point.of(len(known), own, len(judging), judged.on)]


def sizes(n: int, *, fewest: int) -> list[int]:
    """How many labels the smaller models have, ascending; at least one for each choice."""
    found = []
    size = n // GROWTH
    while size >= max(FEWEST, fewest):
        found.append(size)
        size //= GROWTH
    return [size for size in reversed(found) if size <= MOST]


def most_gained(points: Sequence[Point], n_more: int) -> float | None:
    """The accuracy that so many more labels should bring at most, but for a chance of 2.5 %; 0-1.

    Each doubling is taken to bring what the last two brought: accuracy grows with the logarithm of the labels, and ever
    less than that. So there is an upper end, and no lower one that would hold. The points' errors are taken to be
    independent; those of models that the same texts judged are less than that apart.

    Returns:
        None where the newest point does not represent the data, or too few others do.
    """
    found = _halves(points)
    if len(found) < 2:
        return None
    logs = np.log([point.n_labels for point in found])
    weights = 1.0 / np.array([point.variance for point in found])
    logs = logs - np.average(logs, weights=weights)
    precision = float((weights * logs**2).sum())
    slope = float((weights * logs * [point.accuracy for point in found]).sum()) / precision
    steepest = max(slope + Z / math.sqrt(precision), 0.0)
    return steepest * math.log1p(n_more / found[0].n_labels)


def _halves(points: Sequence[Point]) -> list[Point]:
    """The newest point and up to N_HALVES that each have half of the labels of the one before, at most."""
    if not points or not points[-1].represents:
        return []
    found = [points[-1]]
    for point in reversed(points):
        if len(found) <= N_HALVES and point.represents and point.n_labels * GROWTH <= found[-1].n_labels:
            found.append(point)
    return found


def outlook(points: Sequence[Point]) -> str:
    """What more labels should bring, in a sentence; empty where that is not known, or not closely enough."""
    most = most_gained(points, MORE_LABELS)
    if most is None or points[-1].n_labels < ADVISED_FROM or most > WIDEST:
        return ""
    enough = f", less than {100 * WORTH:.0f}: hardly worth the work" if most < WORTH else ""
    return f"The next {MORE_LABELS} labels should bring {100 * most:.1f} points of accuracy at most{enough}."


def _accuracy(manifest: Manifest, known: Sequence[Example], judging: Sequence[Example], assembly: Assembly) -> float:
    options = TrainingOptions(
        language=manifest.language, profile=manifest.profile, family=manifest.family, seed=manifest.seed
    )
    with tempfile.TemporaryDirectory() as folder:
        made = train(
            known, manifest.labels, out=Path(folder) / "model", options=options, assembly=assembly, gold=judging
        )
    return float(made.metrics.get("accuracy", 0.0))

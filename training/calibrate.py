"""Calibration: what is fitted of the fuser, by likelihood on evidence about examples that it had not seen.

Weights of the features, the same for all labels, how sure their sum may be, and the scale of the signs that a text is
out of scope of all of them. Few examples cannot tell these, so each is drawn towards what was stated or expected, and
none may turn its meaning round.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.core.types import STAGES, BoolArray, FloatArray, IntArray, Stage
from backend.pipeline.evidence import Evidence
from backend.pipeline.fuse import SIGNS, WEIGHTS, Fuser, Weights, log_sum_exp, novelty, signs, weighted
from backend.pipeline.gate import THRESHOLDS
from backend.pipeline.scaling import OWN_BY, OWN_FROM, Scaling
from training.scaling import fit_scaling

FITTED: Mapping[Stage, Sequence[Sequence[str]]] = {  # rules, votes and rerankers keep their stated weights
    "retrieve": (("names",), ("neighbours",), ("lexical",)),
    # together: examples resemble each other more than they do texts to come, and alone the nearest gained from that
    "classify": (("names",), ("lexical",), ("classifier", "dense", "neighbours")),
}
PULL = 10.0  # examples' worth of belief in a stated weight, per its share squared
SIGNS_PULL = 1.0  # the same for signs, in logits
REAL_HALF = 10.0  # out-of-scope examples that weigh as much as all left-out labels together
MIN_LABELS = 5  # with fewer, what one of them is to the others is not what out-of-scope texts are to all
MIN_ROWS = 30  # examples of labels from which signs are fitted
MIN_REAL = 5  # examples out of scope from which they are, where there are too few labels to leave one out
MAX_ROWS = 4_000  # examples that a handful of numbers needs
LEAST_VARIANCE = 1e-9  # of logits, where all labels are alike
ALLOWED_LOSS = 0.001  # of accuracy, by letting cheap levels decide alone where they are sure
LEAST_SURE = 0.995  # however little is lost: under it, what retrieval ranks alone cost 0.5 points of out-of-scope AUROC
MIN_GATED = 300  # examples from which that can be told
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    weights: Weights
    signs: Weights
    thresholds: Mapping[Stage, float]
    scalings: Mapping[Stage, Scaling]

    @classmethod
    def before(cls, expected: Scaling) -> "Calibration":
        """What stands before the first example."""
        return cls(WEIGHTS, SIGNS, THRESHOLDS, dict.fromkeys(STAGES, expected))

    def parameters(self) -> dict[str, Any]:
        """As they stand in a manifest."""
        lines = {stage: asdict(scaling) for stage, scaling in self.scalings.items()}
        return {"weights": self.weights, "signs": self.signs, "thresholds": self.thresholds, "scalings": lines}

    def fuser(self, assumed_share: float) -> Fuser:
        return Fuser(self.weights, self.signs, assumed_share, self.scalings)


def calibrate(
    seen: Mapping[Stage, Evidence],
    unknown: Mapping[Stage, Evidence],
    columns: IntArray,
    *,
    share: float,
    expected: Scaling,
) -> Calibration:
    """Fit every level that there is evidence of; voters are too slow to be asked, and add to the level before.

    Args:
        seen: by level, about examples as if each had not been seen; the same examples in `columns`.
        unknown: by level, about texts whose label is not there.
        columns: (n_examples,), the last column is out-of-scope.
        share: assumed, of texts out of scope.
        expected: how sure the best label was to be expected to be.
    """
    before = Calibration.before(expected)
    if not len(columns):
        return before
    fitted = {stage: fit_weights(seen[stage], columns, WEIGHTS[stage], FITTED[stage]) for stage in seen}
    found_odds = {stage: fit_signs(seen[stage], unknown[stage], columns, SIGNS[stage]) for stage in seen}
    last = [stage for stage in STAGES if stage in seen][-1]
    weights = {**WEIGHTS, **fitted, "vote": fitted[last]}
    odds = {**SIGNS, **found_odds, "vote": found_odds[last]}
    unscaled = Fuser(weights, odds, share)
    lines = {stage: _line(unscaled, stage, seen[stage], columns, expected) for stage in seen}
    scalings = {**before.scalings, **lines, "vote": lines[last]}
    found = Calibration(weights, odds, THRESHOLDS, scalings)
    if set(seen) <= {"retrieve"} or len(columns) < MIN_GATED:
        return found
    probs = {stage: found.fuser(share).fuse(evidence) for stage, evidence in seen.items()}
    cheap = threshold(probs["retrieve"], probs["classify"], columns)
    return replace(found, thresholds={**THRESHOLDS, "retrieve": max(cheap, LEAST_SURE)})


def _line(fuser: Fuser, stage: Stage, evidence: Evidence, columns: IntArray, expected: Scaling) -> Scaling:
    """What examples say about how sure the best label may be.

    Odds are compared at the scale that logits have at stated weights: few examples have moved the weights somewhere,
    and the expectation is one of stated ones.
    """
    logits = fuser.logits(evidence, stage)
    if logits.shape[1] < 2:
        return expected
    stated = Fuser(WEIGHTS, fuser.signs).logits(evidence, stage)
    scale = float(np.sqrt(logits.var(axis=1).mean() / max(stated.var(axis=1).mean(), LEAST_VARIANCE))) or 1.0
    own = (expected.trained - OWN_FROM) / (OWN_BY - OWN_FROM)
    before = replace(expected, scale=round(scale, 6), own=round(min(max(own, 0.0), 1.0), 6))
    answers = replace(fuser, scalings={stage: before}).answers(evidence, stage, columns)
    return fit_scaling(answers, before)


def fit_weights(
    evidence: Evidence, columns: IntArray, stated: Mapping[str, float], groups: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Weights of highest penalised likelihood of the right label, given that it is one.

    Args:
        groups: names of features; those of one group keep the proportions of their stated weights.
    """
    rows = np.flatnonzero(columns < len(evidence.labels))
    if not len(rows):
        return dict(stated)
    values = np.stack([_sum(evidence, stated, group)[rows] for group in groups], axis=2)
    fixed = _sum(evidence, stated, [name for name in stated if all(name not in group for group in groups)])[rows]
    right, place = columns[rows], np.arange(len(rows))

    def loss(factors: Matrix) -> tuple[float, Matrix]:
        logits = values @ factors.astype(np.float32) + fixed
        total = log_sum_exp(logits)
        probs = np.exp(logits - total[:, None])
        gradient = np.einsum("rl,rlf->f", probs, values) - values[place, right].sum(axis=0)
        pulled = factors - 1.0
        value = float((total - logits[place, right]).sum() + PULL * (pulled**2).sum())
        return value, gradient.astype(np.float64) + 2 * PULL * pulled

    factors = _minimum(loss, np.ones(len(groups)), [(0.0, None)] * len(groups))
    factor = {name: factor for group, factor in zip(groups, factors, strict=True) for name in group}
    return {name: round(weight * factor.get(name, 1.0), 6) for name, weight in stated.items()}


def fit_none(evidence: Evidence, odds: FloatArray, columns: IntArray, stated: Mapping[str, float]) -> dict[str, float]:
    """Weights of what voters say of none of the labels, beside the log odds (n_examples,) by all else."""
    names = [name for name in stated if stated[name] and evidence.feature(name) is not None]
    if not names:
        return dict(stated)
    each = [weighted(evidence, {name: stated[name]})[:, -1] for name in names]
    values = np.stack(each, axis=1).astype(np.float64)
    sign = np.where(columns == len(evidence.labels), 1.0, -1.0)

    def loss(factors: Matrix) -> tuple[float, Matrix]:
        margins = sign * (odds + values @ factors)
        slope = -sign / (1.0 + np.exp(np.clip(margins, -60, 60)))
        pulled = factors - 1.0
        value = float(np.logaddexp(0.0, -margins).sum() + PULL * (pulled**2).sum())
        return value, slope @ values + 2 * PULL * pulled

    factors = _minimum(loss, np.ones(len(names)), [(0.0, None)] * len(names))
    return {**stated, **{name: round(stated[name] * by, 6) for name, by in zip(names, factors, strict=True)}}


def _sum(evidence: Evidence, stated: Mapping[str, float], names: Sequence[str]) -> FloatArray:
    """(n_examples, n_labels): what these features add at their stated weights."""
    return weighted(evidence, {name: stated[name] for name in names if name in stated})[:, :-1]


def fit_signs(seen: Evidence, unknown: Evidence, columns: IntArray, stated: Mapping[str, float]) -> dict[str, float]:
    """How far apart texts in and out of scope lie along the stated signs, and where between them the odds are even.

    Only that is fitted: a label that was left out is nearer to the others than texts out of scope are, and out of it
    alone the signs would learn to tell such labels.
    """
    outside = columns == len(seen.labels)
    enough = len(seen.labels) >= MIN_LABELS
    if (~outside).sum() < MIN_ROWS or (not enough and outside.sum() < MIN_REAL):
        return dict(stated)
    along = {name: weight for name, weight in stated.items() if name != "bias"}
    inside, real = novelty(seen, along)[~outside], novelty(seen, along)[outside]
    left = novelty(unknown, along)[~outside & ~np.isnan(signs(unknown).get("score", np.zeros(len(columns))))]
    share = len(real) / (len(real) + REAL_HALF) if enough else 1.0
    each = [1.0, share * len(inside) / max(len(real), 1), (1 - share) * len(inside) / max(len(left), 1)]
    counts = np.repeat(each, [len(inside), len(real), len(left)])
    x = np.concatenate([inside, real, left]).astype(np.float64)
    sign = np.repeat([-1.0, 1.0], [len(inside), len(real) + len(left)])
    prior = np.array([stated["bias"], 1.0])

    def loss(fitted: Matrix) -> tuple[float, Matrix]:
        margins = sign * (fitted[0] + fitted[1] * x)
        slope = -counts * sign / (1.0 + np.exp(np.clip(margins, -60, 60)))
        pulled = fitted - prior
        value = float((counts * np.logaddexp(0.0, -margins)).sum() + SIGNS_PULL * (pulled**2).sum())
        return value, np.array([slope.sum(), (slope * x).sum()]) + 2 * SIGNS_PULL * pulled

    bias, slope = _minimum(loss, prior, [(None, None), (0.0, None)])
    return {"bias": bias, **{name: round(slope * weight, 6) for name, weight in along.items()}}


def _minimum(
    loss: Callable[[Matrix], tuple[float, Matrix]], start: Matrix, bounds: list[tuple[float | None, float | None]]
) -> list[float]:
    from scipy.optimize import minimize  # half a second that only who trains pays

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200})
    return [round(float(value), 6) for value in found.x]


def threshold(cheap: FloatArray, costly: FloatArray, columns: IntArray) -> float:
    """The least confidence of the cheap level from which on its answers may stand, at ALLOWED_LOSS of accuracy."""
    lost = _right(costly, columns).astype(np.int64) - _right(cheap, columns)
    confidence = cheap.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    within = np.cumsum(lost[order]) / len(columns) <= ALLOWED_LOSS
    n_kept = int(np.argmin(within)) if not within.all() else len(order)
    return float(confidence[order[n_kept - 1]]) if n_kept else 1.0


def _right(probs: FloatArray, columns: IntArray) -> BoolArray:
    return np.asarray(probs.argmax(axis=1) == columns, np.bool_)

"""The line of Platt scaling: what to expect before labels tell, and how out-of-fold answers move it.

What is known of a project before its labels tell how often answers are right: how many there are, whether there are
unlabelled texts, and how near the best label's own words are to a text. `python -m benchmarks.scaling` fits the
coefficients below on draws of many data sets, and says how far off they are on sets that were left out. From the first
label on, the project's own answers count beside it.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from backend.core.types import BoolArray, FloatArray, IntArray
from backend.pipeline.scaling import LEAST_SLOPE, Scaling, faded

BIAS = {"one": -0.65, "pool": -0.04, "examples": 0.15}
SLOPE = {"one": 0.34, "pool": -0.05, "examples": 0.07}
AFFINITY = 0.15  # see Scaling.affinity
BIAS_WORTH, SLOPE_WORTH = 12.0, 200.0  # inverse variances of what sets that were left out had beside that
CORRELATION = 0.1  # of whether two answers on a label are right
Matrix = npt.NDArray[np.float64]


def features(known: float, *, has_pool: bool) -> dict[str, float]:
    """By the names of the coefficients.

    Args:
        known: experience with the labels; see backend/pipeline/scaling.py.
        has_pool: there are unlabelled texts, enough to have moved the classifier's prior.
    """
    return {"one": 1.0, "pool": float(has_pool), "examples": known}


def expected(known: float, *, has_pool: bool) -> Scaling:
    """The line before any answer has been looked at; arguments as those of `features`."""
    of = features(known, has_pool=has_pool)
    return Scaling(
        bias=round(sum(weight * of[name] for name, weight in BIAS.items()), 6),
        slope=round(sum(weight * of[name] for name, weight in SLOPE.items()), 6),
        affinity=AFFINITY,
        bias_growth=BIAS["examples"],
        slope_growth=SLOPE["examples"],
        trained=known,
        known=known,
    )


@dataclass(frozen=True, slots=True)
class Answers:
    """What was said of examples that it had not seen, and whether it was right."""

    odds: FloatArray  # (n_examples,): log odds of the best label at the scale of stated weights
    near: FloatArray  # (n_examples,): how near its words are; see `best_affinity`
    outside: FloatArray  # (n_examples,): probability that no label is right
    right: BoolArray  # (n_examples,)
    counted: FloatArray  # (n_examples,): how much each tells; see `counted`


def counted(columns: IntArray) -> FloatArray:
    """(n_examples,): how much each example tells beside those of its label.

    Answers on one label go right or wrong together. With n of them and a correlation r, they tell as much as
    n / (1 + (n - 1) r) that have nothing to do with each other (the design effect of a cluster sample).
    """
    counts = np.bincount(columns)[columns] if len(columns) else np.zeros(0)
    return np.asarray(1.0 / (1.0 + np.maximum(counts - 1, 0) * CORRELATION), np.float32)


def fit_scaling(answers: Answers, before: Scaling) -> Scaling:
    """The likeliest line, where `before` is what was to be expected."""
    if not len(answers.odds):
        return before
    from scipy.optimize import minimize  # half a second that only who trains pays

    odds = answers.odds.astype(np.float64)
    named = before.affinity * faded(answers.near, before.known).astype(np.float64)
    counts = answers.counted.astype(np.float64)
    inside, wanted = 1.0 - answers.outside.astype(np.float64), answers.right.astype(np.float64)
    start = np.array([before.bias, before.slope])
    worth = np.array([BIAS_WORTH, SLOPE_WORTH]) * np.exp(-before.known)  # much is expected only where little is known

    def loss(line: Matrix) -> tuple[float, Matrix]:
        best = 1.0 / (1.0 + np.exp(-np.clip(line[0] + line[1] * odds + named, -60, 60)))
        said = np.clip(best * inside, 1e-9, 1 - 1e-9)
        slope = counts * (said - wanted) / (said * (1 - said)) * inside * best * (1 - best)
        moved = line - start
        value = -(counts * (wanted * np.log(said) + (1 - wanted) * np.log(1 - said))).sum()
        gradient = np.array([slope.sum(), (slope * odds).sum()]) + worth * moved
        return float(value + (worth * moved**2).sum() / 2), gradient

    bounds = [(None, None), (LEAST_SLOPE, None)]
    bias, slope = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return replace(before, bias=round(float(bias), 6), slope=round(float(slope), 6))

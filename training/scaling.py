"""The line of Platt scaling: what to expect before labels tell, and how out-of-fold answers move it.

What is known of a project before its labels tell how often answers are right: how many there are, whether there are
unlabelled texts, and how near the best label's own words are to a text. `python -m benchmarks.scaling` fits the
coefficients below on draws of many data sets, and says how far off they are on sets that were left out. From the first
label on, the project's own answers count beside it.
"""

from dataclasses import replace

from backend.pipeline.scaling import Answers, Scaling, fitted

BIAS = {"one": -0.65, "pool": -0.04, "examples": 0.15}
SLOPE = {"one": 0.34, "pool": -0.05, "examples": 0.07}
AFFINITY = 0.15  # see Scaling.affinity


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


def fit_scaling(answers: Answers, before: Scaling) -> Scaling:
    """The likeliest line, where `before` is what was to be expected."""
    if not len(answers.odds):
        return before
    bias, slope = fitted(answers, before)
    return replace(before, bias=bias, slope=slope, answered=round(float(answers.counted.sum()), 6))

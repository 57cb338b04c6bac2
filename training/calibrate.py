"""Calibration: what is fitted of the fuser, by likelihood on out-of-fold predictions.

A temperature per cost level, the out-of-scope bias, and how much a label's own words weigh beside its examples. Few
labels cannot tell these, so each is drawn towards a stated value.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from backend.core.types import FloatArray, IntArray, Stage
from backend.pipeline.fuse import TEMPERATURES, WEIGHTS, probabilities

PRIOR_STRENGTH = 10.0  # examples' worth of belief in a stated value, per unit of its logarithm squared
BIAS_PENALTY = 0.1  # nats per logit squared: out-of-scope examples are few
NAMES_AT_FIRST, NAMES_AT_LAST = 1.5, 0.1  # weight of a label's own words before its first example, and after many
HINT_WORTH = 5.0  # a description keeps its weight beside so many times more examples than a bare name does
MAX_ROWS = 4_000  # rows that three numbers need; more cost time and move no digit
STEPS = (0.3, 0.5, 1.0)  # of the search: logarithm of temperature, logarithm of weight, bias
BOUNDS = ((math.log(0.02), math.log(20.0)), (math.log(0.01), math.log(5.0)), (-20.0, 20.0))


@dataclass(frozen=True, slots=True)
class Predicted:
    """Logits about examples that the model behind them had not seen, before temperature."""

    base: Mapping[
        Stage, FloatArray
    ]  # (n_rows, n_labels + 1) each, as that level leaves them, without the labels' words
    names: FloatArray  # (n_rows, n_labels + 1), the feature of the labels' own words
    novelty: FloatArray  # (n_rows,)
    columns: IntArray  # (n_rows,): the right column
    knows_oos: bool
    names_prior: float  # what the weight of the labels' own words is drawn towards


@dataclass(frozen=True, slots=True)
class Knobs:
    """The numbers that are fitted for one cost level."""

    temperature: float
    names_weight: float
    oos_bias: float  # logits; 0 where out-of-scope was never seen

    @classmethod
    def of(cls, parameters: npt.NDArray[np.float64], *, knows_oos: bool) -> "Knobs":
        temperature, names_weight = np.exp(parameters[:2])
        return cls(float(temperature), float(names_weight), float(parameters[2]) if knows_oos else 0.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    last: Knobs  # of the costliest level that was fitted
    temperatures: Mapping[Stage, float]

    def parameters(self) -> dict[str, Any]:
        """As they stand in a manifest."""
        return {
            "temperatures": dict(self.temperatures),
            "oos_bias": self.last.oos_bias,
            "names_weight": self.last.names_weight,
        }


def calibrate(predicted: Predicted, *, last: Stage) -> Calibration:
    """Fit the level `last`; the cheaper ones get a temperature of their own."""
    if not len(predicted.columns):
        return Calibration(Knobs(TEMPERATURES[last], predicted.names_prior, 0.0), TEMPERATURES)
    knobs = fit(predicted, last)
    fitted: dict[Stage, float] = dict(TEMPERATURES)
    for stage in predicted.base:
        fitted[stage] = knobs.temperature if stage == last else fit(predicted, stage, fixed=knobs).temperature
    fitted["vote"] = knobs.temperature  # voters are too slow to be asked about all examples; they add to these logits
    return Calibration(knobs, fitted)


def names_prior(*, n_per_label: float, hinted: float) -> float:
    """What the labels' own words weigh before there is evidence: much at first, little beside many examples.

    Args:
        n_per_label: examples that a label has on average.
        hinted: share of labels with a description, 0-1.
    """
    if not n_per_label:
        return WEIGHTS["names"]
    return NAMES_AT_LAST + NAMES_AT_FIRST / (1.0 + n_per_label / (1.0 + HINT_WORTH * hinted))


def fit(predicted: Predicted, stage: Stage, *, fixed: Knobs | None = None) -> Knobs:
    """The knobs of highest penalised likelihood; with `fixed` only the temperature moves."""
    weight, bias = (fixed.names_weight, fixed.oos_bias) if fixed else (predicted.names_prior, 0.0)
    prior = np.array([np.log(TEMPERATURES[stage]), np.log(weight), bias], np.float64)
    free = 1 if fixed else 3

    def loss(moved: npt.NDArray[np.float64]) -> float:
        parameters = np.concatenate([moved, prior[free:]])
        pull = PRIOR_STRENGTH * float(((parameters[:2] - prior[:2]) ** 2).sum()) + BIAS_PENALTY * parameters[2] ** 2
        probs = soften(predicted, stage, Knobs.of(parameters, knows_oos=predicted.knows_oos))
        right = probs[np.arange(len(probs)), predicted.columns]
        return float(pull - np.log(np.maximum(right, 1e-9)).sum())

    steps = np.vstack([np.zeros(free), np.diag(STEPS[:free])])
    found = minimize(
        loss, prior[:free], method="Nelder-Mead", bounds=BOUNDS[:free],
        options={"xatol": 1e-2, "fatol": 0.1, "initial_simplex": prior[:free] + steps},
    )  # fmt: skip
    return Knobs.of(np.concatenate([found.x, prior[free:]]), knows_oos=predicted.knows_oos)


def soften(predicted: Predicted, stage: Stage, knobs: Knobs) -> FloatArray:
    """(n_rows, n_labels + 1) probabilities."""
    n = len(predicted.columns)
    logits = predicted.base[stage] + knobs.names_weight * predicted.names
    bias = np.full(n, knobs.oos_bias, np.float32) if predicted.knows_oos else predicted.novelty
    temperatures = np.full(n, knobs.temperature, np.float32)
    return probabilities(logits.astype(np.float32), temperatures, bias, knows_oos=predicted.knows_oos)

"""Calibration: temperatures per cost level, and the out-of-scope bias, by likelihood on out-of-fold predictions.

The temperature of a few labels is drawn towards the stated one: ten labels cannot tell it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from backend.core.types import FloatArray, IntArray, Stage
from backend.pipeline.fuse import TEMPERATURES, probabilities

PRIOR_STRENGTH = 10.0  # examples' worth of belief in the stated temperature, per unit of its logarithm squared
MAX_BIAS = 8.0  # logits


@dataclass(frozen=True, slots=True)
class Predicted:
    """Logits of a fuser about examples that the model behind it had not seen."""

    logits: Mapping[Stage, FloatArray]  # (n_rows, n_labels + 1) each, before temperature, as that level leaves them
    novelty: FloatArray  # (n_rows,)
    columns: IntArray  # (n_rows,): the right column
    knows_oos: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    temperatures: Mapping[Stage, float]
    oos_bias: float  # logits, 0 where out-of-scope was never seen

    def parameters(self) -> dict[str, Any]:
        return {"temperatures": dict(self.temperatures), "oos_bias": self.oos_bias}


def calibrate(predicted: Predicted, *, last: Stage) -> Calibration:
    """Fit a temperature for each level; the bias is the one of the level `last`."""
    fitted: dict[Stage, float] = dict(TEMPERATURES)
    bias = 0.0
    for stage, logits in predicted.logits.items():
        temperature, found = fit(logits, predicted, prior=TEMPERATURES[stage])
        fitted[stage] = temperature
        bias = found if stage == last else bias
    fitted["vote"] = fitted[last]  # voters are too slow to be asked about all examples; they add to these logits
    return Calibration(fitted, bias)


def fit(logits: FloatArray, predicted: Predicted, *, prior: float) -> tuple[float, float]:
    """Temperature and out-of-scope bias of the highest penalised likelihood."""
    if not len(logits):
        return prior, 0.0

    def loss(parameters: npt.NDArray[np.float64]) -> float:
        pull = PRIOR_STRENGTH * (parameters[0] - np.log(prior)) ** 2
        probs = soften(
            logits, predicted, float(np.exp(parameters[0])), float(parameters[1]) if predicted.knows_oos else 0.0
        )
        right = probs[np.arange(len(probs)), predicted.columns]
        return float(pull + 0.1 * parameters[1] ** 2 - np.log(np.maximum(right, 1e-9)).sum())

    bounds = [(float(np.log(0.02)), float(np.log(20.0))), (-MAX_BIAS, MAX_BIAS)]
    start = np.array([np.log(prior), 0.0], np.float64)
    found = minimize(loss, start, method="Nelder-Mead", bounds=bounds)
    return float(np.exp(found.x[0])), float(found.x[1]) if predicted.knows_oos else 0.0


def soften(logits: FloatArray, predicted: Predicted, temperature: float, oos_bias: float) -> FloatArray:
    """(n_rows, n_labels + 1) probabilities."""
    bias = np.full(len(logits), oos_bias, np.float32) if predicted.knows_oos else predicted.novelty
    temperatures = np.full(len(logits), temperature, np.float32)
    return probabilities(logits, temperatures, bias, knows_oos=predicted.knows_oos)

"""Metrics of decisions against labels, under the names that the field uses.

Confidence is compared with whether `predicted_label` was right, also where the decision was to abstain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score

from backend.core.types import BoolArray, Decision, FloatArray

N_BINS = 15  # of equal width, for the expected calibration error
TARGET_PRECISION = 0.95
RETENTION = 0.95  # share of in-scope texts that stay when out-of-scope ones are sought


@dataclass(frozen=True, slots=True)
class Outcome:
    """One judged example."""

    id: str
    label: str  # the right one
    predicted: str
    confidence: float
    p_out_of_scope: float
    abstained: bool = False

    @property
    def correct(self) -> bool:
        return self.label == self.predicted


def outcome_of(example_id: str, label: str, decision: Decision) -> Outcome:
    return Outcome(
        example_id, label, decision.predicted_label, decision.confidence, decision.p_out_of_scope,
        decision.kind == "abstain",
    )  # fmt: skip


def metrics_of(
    outcomes: Sequence[Outcome], *, oos_value: str = "", target: float = TARGET_PRECISION
) -> dict[str, float]:
    """Flat metrics; those that the data cannot tell are left out. Empty outcomes give {"n": 0}."""
    if not outcomes:
        return {"n": 0.0}
    labels, predicted = [o.label for o in outcomes], [o.predicted for o in outcomes]
    correct = np.array([o.correct for o in outcomes], np.bool_)
    confidence = np.array([o.confidence for o in outcomes], np.float32)
    precision, coverage = at_target(correct, confidence, target)
    found = {
        "n": float(len(outcomes)),
        "accuracy": float(correct.mean()),
        "macro_f1": float(f1_score(labels, predicted, labels=sorted(set(labels)), average="macro", zero_division=0)),
        "weighted_f1": float(
            f1_score(labels, predicted, labels=sorted(set(labels)), average="weighted", zero_division=0)
        ),
        "ece": ece(correct, confidence),
        "brier": float(np.mean((confidence - correct) ** 2)),
        "coverage": float(np.mean([not o.abstained for o in outcomes])),
        "target_precision": target,
        "precision_at_target": precision,
        "coverage_at_target": coverage,
    }
    return (
        {**found, **out_of_scope(outcomes, oos_value)}
        if oos_value
        else {**found, "in_scope_accuracy": found["accuracy"]}
    )


def out_of_scope(outcomes: Sequence[Outcome], oos_value: str) -> dict[str, float]:
    """How well texts without a label are told from the others."""
    is_oos = np.array([o.label == oos_value for o in outcomes], np.bool_)
    correct = np.array([o.correct for o in outcomes], np.bool_)
    found = {"n_out_of_scope": float(is_oos.sum())}
    if not is_oos.all():
        found["in_scope_accuracy"] = float(correct[~is_oos].mean())
    if is_oos.any() and not is_oos.all():
        p = np.array([o.p_out_of_scope for o in outcomes])
        found["oos_auroc"] = float(roc_auc_score(is_oos, p))
        found["oos_recall_at_95_retention"] = float(np.mean(p[is_oos] > np.quantile(p[~is_oos], RETENTION)))
        found["oos_recall"] = float(correct[is_oos].mean())
    return found


def ece(correct: BoolArray, confidence: FloatArray) -> float:
    """Expected calibration error: the mean distance of confidence and accuracy over N_BINS bins, by their size."""
    return float(
        sum(abs(row["accuracy"] - row["confidence"]) * row["share"] for row in reliability(correct, confidence))
    )


def reliability(correct: BoolArray, confidence: FloatArray, *, n_bins: int = N_BINS) -> list[Mapping[str, float]]:
    """For each bin that is not empty: mean confidence, accuracy, share of all, lower edge."""
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    return [
        {
            "confidence": float(confidence[bins == b].mean()), "accuracy": float(correct[bins == b].mean()),
            "share": float(np.mean(bins == b)), "lower": b / n_bins,
        }
        for b in range(n_bins) if np.any(bins == b)
    ]  # fmt: skip


def at_target(correct: BoolArray, confidence: FloatArray, target: float) -> tuple[float, float]:
    """Precision and coverage of the largest most-confident part whose precision is at least the target; else 0, 0."""
    order = np.argsort(-confidence, kind="stable")
    precision = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    last = np.append(np.diff(confidence[order]) != 0, True)  # a threshold cannot part equal confidences
    reached = np.flatnonzero((precision >= target) & last)
    return (float(precision[reached[-1]]), float((reached[-1] + 1) / len(order))) if len(reached) else (0.0, 0.0)

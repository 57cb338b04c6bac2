"""Metrics of decisions against labels, under the names that the field uses.

Confidence is compared with whether `predicted_label` was right, also where the decision was to abstain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backend.core.types import BoolArray, Decision, FloatArray, IntArray

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
    stage: str = ""  # the cost level that decided; empty where nobody noted it
    milliseconds: float = 0.0  # the text's share of its batch; 0 where nobody took the time
    tokens: int = 0  # evaluated by LLMs

    @property
    def correct(self) -> bool:
        return self.label == self.predicted


def outcome_of(example_id: str, label: str, decision: Decision) -> Outcome:
    return Outcome(
        example_id, label, decision.predicted_label, decision.confidence, decision.p_out_of_scope,
        decision.kind == "abstain", decision.stage, decision.milliseconds, decision.tokens,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """Outcomes by column, labels as numbers: some of its rows are quickly judged again."""

    label: IntArray  # (n_rows,)
    predicted: IntArray  # (n_rows,)
    confidence: FloatArray  # (n_rows,)
    p_out_of_scope: FloatArray  # (n_rows,)
    decided: BoolArray  # (n_rows,): did not abstain
    oos: int = -1  # the number of the out-of-scope label; -1 where there is none

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], *, oos_value: str = "") -> "Table":
        values = {value for outcome in outcomes for value in (outcome.label, outcome.predicted)} | {oos_value}
        number = {value: place for place, value in enumerate(sorted(values))}
        return cls(
            np.array([number[o.label] for o in outcomes], np.int64),
            np.array([number[o.predicted] for o in outcomes], np.int64),
            np.array([o.confidence for o in outcomes], np.float32),
            np.array([o.p_out_of_scope for o in outcomes], np.float32),
            np.array([not o.abstained for o in outcomes], np.bool_),
            number[oos_value] if oos_value else -1,
        )

    def __len__(self) -> int:
        return len(self.label)

    @property
    def correct(self) -> BoolArray:
        return np.asarray(self.label == self.predicted)

    def take(self, rows: IntArray) -> "Table":
        columns = {name: getattr(self, name)[rows] for name in self.__slots__ if name != "oos"}
        return replace(self, **columns)


def metrics_of(
    outcomes: Sequence[Outcome], *, oos_value: str = "", target: float = TARGET_PRECISION
) -> dict[str, float]:
    """Flat metrics; those that the data cannot tell are left out. Empty outcomes give {"n": 0}."""
    return figures(Table.of(outcomes, oos_value=oos_value), target=target) if outcomes else {"n": 0.0}


def figures(table: Table, *, target: float = TARGET_PRECISION) -> dict[str, float]:
    """The metrics of at least one row."""
    from sklearn.metrics import precision_recall_fscore_support  # a second that only who judges pays

    correct, labels = table.correct, np.unique(table.label)
    precision, coverage = at_target(correct, table.confidence, target)
    _, _, f1, n_each = precision_recall_fscore_support(table.label, table.predicted, labels=labels, zero_division=0)
    found = {
        "n": float(len(table)),
        "accuracy": float(correct.mean()),
        "macro_f1": float(f1.mean()),
        "weighted_f1": float(np.average(f1, weights=n_each)),
        "ece": ece(correct, table.confidence),
        "brier": float(np.mean((table.confidence - correct) ** 2)),
        "coverage": float(table.decided.mean()),
        "target_precision": target,
        "precision_at_target": precision,
        "coverage_at_target": coverage,
    }
    return {**found, **(out_of_scope(table) if table.oos >= 0 else {"in_scope_accuracy": found["accuracy"]})}


def out_of_scope(table: Table) -> dict[str, float]:
    """How well texts without a label are told from the others."""
    from sklearn.metrics import roc_auc_score

    is_oos, correct = table.label == table.oos, table.correct
    found = {"n_out_of_scope": float(is_oos.sum())}
    if not is_oos.all():
        found["in_scope_accuracy"] = float(correct[~is_oos].mean())
    if is_oos.any() and not is_oos.all():
        p = table.p_out_of_scope
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

"""The evaluation report: metrics.json, report.html and its pictures. Shows labels and numbers, never a text."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_fscore_support

from backend.core.artefacts import write_atomically
from backend.core.types import BoolArray, FloatArray
from training.evaluate import Outcome, reliability

TEMPLATES = Path(__file__).parent / "templates"
RELIABILITY, COVERAGE = "reliability.png", "coverage.png"
K_PAIRS = 30  # most confused pairs shown
DPI = 120


@dataclass(frozen=True, slots=True)
class Report:
    version: str  # of the model
    data: str  # the name of the file
    metrics: Mapping[str, float]
    outcomes: Sequence[Outcome]


@dataclass(frozen=True, slots=True)
class Pair:
    """A label and what it was taken for."""

    label: str
    predicted: str
    n: int


@dataclass(frozen=True, slots=True)
class LabelRow:
    label: str
    n: int
    precision: float
    recall: float
    f1: float


def write_report(folder: Path, report: Report) -> None:
    """Write metrics.json, report.html and the pictures beside it; what stood there under these names is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    correct = np.array([outcome.correct for outcome in report.outcomes], np.bool_)
    confidence = np.array([outcome.confidence for outcome in report.outcomes], np.float32)
    _save(reliability_figure(correct, confidence), folder / RELIABILITY)
    _save(coverage_figure(correct, confidence), folder / COVERAGE)
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, keep_trailing_newline=True)
    page = environment.get_template("report.html.j2").render(
        version=report.version, data=report.data,
        pairs=confused_pairs(report.outcomes), labels=per_label(report.outcomes),
        metrics={name: f"{value:.4g}" for name, value in report.metrics.items()},
        reliability=RELIABILITY, coverage=COVERAGE,
    )  # fmt: skip
    write_atomically(folder / "report.html", page)
    write_atomically(folder / "metrics.json", json.dumps(dict(report.metrics), indent=2) + "\n")


def confused_pairs(outcomes: Sequence[Outcome], *, k: int = K_PAIRS) -> list[Pair]:
    """What was taken for what, most frequent first."""
    wrong = Counter((outcome.label, outcome.predicted) for outcome in outcomes if not outcome.correct)
    ordered = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))
    return [Pair(label, predicted, n) for (label, predicted), n in ordered[:k]]


def per_label(outcomes: Sequence[Outcome]) -> list[LabelRow]:
    """Precision, recall and F1 of each label that occurs, worst F1 first."""
    labels = sorted({outcome.label for outcome in outcomes})
    columns = precision_recall_fscore_support(
        [outcome.label for outcome in outcomes], [outcome.predicted for outcome in outcomes],
        labels=labels, zero_division=0,
    )  # fmt: skip
    rows = [
        LabelRow(label, int(n), float(precision), float(recall), float(f1))
        for label, precision, recall, f1, n in zip(labels, *columns, strict=True)
    ]
    return sorted(rows, key=lambda row: (row.f1, row.label))


def reliability_figure(correct: BoolArray, confidence: FloatArray) -> Figure:
    bins = reliability(correct, confidence)
    figure = Figure(figsize=(4.5, 4.5))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    sizes = [20 + 300 * row["share"] for row in bins]
    axes.scatter([row["confidence"] for row in bins], [row["accuracy"] for row in bins], s=sizes, alpha=0.7)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    return figure


def coverage_figure(correct: BoolArray, confidence: FloatArray) -> Figure:
    order = np.argsort(-confidence, kind="stable")
    n = np.arange(1, len(order) + 1)
    precision = np.cumsum(correct[order]) / n
    figure = Figure(figsize=(4.5, 4.5))
    axes = figure.subplots()
    axes.plot(n / len(order), precision)
    axes.set(xlabel="coverage", ylabel="precision", xlim=(0, 1), ylim=(min(0.9, float(precision.min())), 1.005))
    return figure


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    figure.tight_layout()
    figure.savefig(path, dpi=DPI)

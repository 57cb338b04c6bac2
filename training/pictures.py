"""The pictures of a report, as SVG: sharp at any size, with text that can be searched and copied."""

import io
from collections.abc import Callable, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, ScalarFormatter
from sklearn.metrics import roc_curve

from backend.core.bounds import share_interval
from backend.core.types import IntArray
from training.curve import Point
from training.evaluate import RETENTION, Table
from training.promise import PROMISES

SIZE = (5.4, 3.9)  # inches
INK, FAINT, MAIN, AREA, OTHER = "#27313c", "#c9d1d9", "#1f5fa8", "#cfe0f3", "#c05a12"
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],  # the first is measured with, the page may show another
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e9edf1",
    "xtick.color": INK,
    "ytick.color": INK,
}
TEXTS_A_BIN = 30  # of the reliability diagram: fewer say nothing about a share
MOST_BINS, FEWEST_BINS = 12, 3
DRAWN_POINTS = 400  # of a curve: more make the page large and look the same


def reliability(table: Table) -> str:
    """How often the best label was right, by how sure the model was; bins of equally many texts."""

    def draw(axes: Axes) -> None:
        order = np.argsort(table.confidence, kind="stable")
        bins = np.array_split(order, int(np.clip(len(order) // TEXTS_A_BIN, FEWEST_BINS, MOST_BINS)))
        filled = [rows for rows in bins if len(rows)]
        sure = np.array([table.confidence[rows].mean() for rows in filled])
        hits = [int(table.correct[rows].sum()) for rows in filled]
        right = np.array([n / len(rows) for n, rows in zip(hits, filled, strict=True)])
        ends = np.array([share_interval(n, len(rows)) for n, rows in zip(hits, filled, strict=True)])
        low = 0.0 if min(sure.min(), right.min()) < 0.5 else 0.5
        share = axes.twinx()
        share.hist(table.confidence, bins=30, range=(low, 1.0), color=AREA, weights=np.full(len(table), 1 / len(table)))
        share.set(ylim=(0, 2), yticks=[])
        share.spines[:].set_visible(False)
        share.grid(visible=False)
        axes.set_zorder(share.get_zorder() + 1)
        axes.patch.set_visible(False)
        axes.plot([0, 1], [0, 1], color=OTHER, linewidth=1, linestyle=(0, (4, 3)))
        bars = np.maximum(np.abs(ends.T - right), 0.0)
        axes.errorbar(sure, right, yerr=bars, color=MAIN, marker="o", markersize=4.5, linewidth=1.2, elinewidth=1)
        axes.set(xlabel="confidence", ylabel="share that was right", xlim=(low, 1.01), ylim=(low, 1.02))
        _percents(axes)

    return _svg(draw, "reliability")


def risk_coverage(table: Table) -> str:
    """How much is wrong among the most confident part of the texts."""

    def draw(axes: Axes) -> None:
        order = np.argsort(-table.confidence, kind="stable")
        n = np.arange(1, len(order) + 1)
        risk, coverage = 1 - np.cumsum(table.correct[order]) / n, n / len(order)
        shown = _spread(len(n))
        axes.fill_between(coverage[shown], 0, risk[shown], color=AREA)
        axes.plot(coverage[shown], risk[shown], color=MAIN, linewidth=1.6)
        top = max(1.15 * float(risk[len(risk) // 5 :].max()), 0.06)
        for promised in PROMISES:
            axes.axhline(1 - promised, color=OTHER, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(f"{promised:.0%} right", (0.01, 1 - promised + top / 80), color=OTHER, fontsize=9)
        axes.set(xlabel="coverage: the most confident part", ylabel="share that is wrong", xlim=(0, 1), ylim=(0, top))
        _percents(axes)

    return _svg(draw, "risk-coverage")


def learning(points: Sequence[Point]) -> str:
    """Accuracy by the number of labels, on a scale of doublings."""

    def draw(axes: Axes) -> None:
        n = [point.n_labels for point in points]
        right = np.array([point.accuracy for point in points])
        ends = np.array([point.interval for point in points])
        axes.fill_between(n, ends[:, 0], ends[:, 1], color=AREA)
        axes.plot(n, right, color=MAIN, marker="o", markersize=4.5, linewidth=1.6)
        axes.set_xscale("log", base=2)
        axes.set_xticks(n)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        low = max(float(ends.min()) - 0.03, 0.0)
        axes.set(xlabel="labels trained on", ylabel="share that was right", ylim=(low, 1.0))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))

    return _svg(draw, "learning-curve")


def oos_roc(table: Table) -> str:
    """Out-of-scope texts found against texts with a label lost, by the probability of being out of scope."""

    def draw(axes: Axes) -> None:
        lost, found, _ = roc_curve(table.label == table.oos, table.p_out_of_scope)
        shown = _spread(len(lost))
        axes.fill_between(lost[shown], 0, found[shown], color=AREA)
        axes.plot(lost[shown], found[shown], color=MAIN, linewidth=1.6)
        axes.axvline(1 - RETENTION, color=OTHER, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(f"{1 - RETENTION:.0%} lost", (1 - RETENTION + 0.01, 0.03), color=OTHER, fontsize=9)
        axes.set(
            xlabel="texts with a label that are lost", ylabel="out of scope that is found", xlim=(0, 1), ylim=(0, 1.01)
        )
        _percents(axes)

    return _svg(draw, "out-of-scope")


def _percents(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if axes.get_ylim()[1] > 0.1 else 1))


def _spread(n: int) -> IntArray:
    """Rows of a curve that are drawn: all, or DRAWN_POINTS evenly apart, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, DRAWN_POINTS)).round().astype(np.int64))


def _svg(draw: Callable[[Axes], None], name: str) -> str:
    """The drawing as an <svg> element; the same for the same data."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        page = io.StringIO()
        figure.savefig(page, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = page.getvalue()
    return text[text.index("<svg") :]

"""How right a project's answers are, and how far their confidence can be trusted, from no label to 3,000.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with fetched weights> python -m benchmarks.life \
        [--sets NAME ...] [--draws 10] [--labels 0 10 ...] [--texts 3000] [--out FOLDER]
        [--read life.json ...]

Labels are random rows of a train split. Each number of them is trained on without and with 2,000 other texts of the
project that have no label, and up to LIVE labels also come one by one to a cold version that has such texts, as they
do between trainings. Judged on test texts. The calibration error of a few hundred texts is never 0: `honest_ece` is
what it would be on them, were every confidence right. Figures of a set are means over draws; those over all sets have
the 95 % interval of a bootstrap over sets and draws. Language models are off. With --out, life.json and life.png are
written; --read puts such files together in place of a run.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

import numpy as np
from rich.console import Console
from rich.table import Table

from backend.assembly import Assembly
from backend.core.settings import load_settings
from backend.core.types import Example, FloatArray
from backend.logs import configure_logs
from backend.pipeline.pipeline import Pipeline
from benchmarks.datasets import DataSet, data_sets
from benchmarks.vectors import KeptAssembly
from training.evaluate import Outcome, ece
from training.judge import judge
from training.run import TrainingOptions, train

N_LABELS = (0, 10, 30, 100, 300, 1_000, 3_000)
LIVE = 30  # labels from which on a project has long been trained on them
N_POOL = 2_000
N_BOOTSTRAPS = 1_000
N_CHANCES = 50
SURE = 0.9
ALONE, TEXTS, SINCE = "labels alone", "with unlabelled texts", "labels since the training"
FIGURES = ("accuracy", "ece", "honest_ece", "brier", "ticked", "right_ticks", "sure", "right_if_sure")


@dataclass(frozen=True, slots=True)
class Point:
    """One draw's figures; shares of the texts, but for `right_if_sure`, which is NaN where none is sure."""

    set: str
    way: str
    n_labels: int
    draw: int
    accuracy: float
    ece: float
    honest_ece: float  # that chance alone gives, were each answer right with just its confidence
    brier: float
    ticked: float
    right_ticks: float
    sure: float  # with a confidence of at least SURE
    right_if_sure: float


@dataclass(frozen=True)
class Life:
    """One project's course: its labels in the order in which they come."""

    data: DataSet
    draw: int
    assembly: Assembly
    folder: Path
    n_texts: int

    def points(self, numbers: Sequence[int]) -> Iterator[Point]:
        tasks = self._drawn(self.data.train)
        judged = self._drawn(self.data.test)[: self.n_texts]
        cold = self._trained([], self._others(tasks, 0))
        for n in numbers:
            if n >= len(tasks):
                continue
            known, others = tasks[:n], self._others(tasks, n)
            yield self._point(ALONE, n, self._trained(known, []), judged)
            yield self._point(TEXTS, n, self._trained(known, others), judged)
            if 0 < n <= LIVE:
                yield self._point(SINCE, n, cold.with_live(known), judged)

    def _drawn(self, examples: Sequence[Example]) -> list[Example]:
        order = np.random.default_rng(self.draw).permutation(len(examples))
        return [examples[at] for at in order.tolist()]

    def _others(self, tasks: Sequence[Example], n: int) -> list[str]:
        """Texts that have no label, the same ones for all numbers of labels where there are enough."""
        return [task.text for task in tasks[n:][-N_POOL:]]

    def _trained(self, examples: Sequence[Example], pool: Sequence[str]) -> Pipeline:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            out = Path(folder) / "model"
            train(
                examples,
                self.data.space,
                out=out,
                options=TrainingOptions(language=self.data.language),
                assembly=self.assembly,
                pool=pool,
                holdout=frozenset(),
            )
            return self.assembly.pipeline(out, llm=False)

    def _point(self, way: str, n: int, pipeline: Pipeline, judged: Sequence[Example]) -> Point:
        outcomes = judge(pipeline, judged)
        return Point(self.data.name, way, n, self.draw, **figures_of(outcomes))


def figures_of(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The figures of a point."""
    confidence = np.array([one.confidence for one in outcomes], np.float32)
    right = np.array([one.correct for one in outcomes])
    ticked = np.array([not one.abstained for one in outcomes])
    sure = confidence >= SURE
    chances = np.random.default_rng(0).random((N_CHANCES, len(outcomes)))
    return {
        "accuracy": float(right.mean()),
        "ece": float(ece(right, confidence)),
        "honest_ece": float(np.mean([ece(drawn < confidence, confidence) for drawn in chances])),
        "brier": float(((confidence - right) ** 2).mean()),
        "ticked": float(ticked.mean()),
        "right_ticks": float((ticked & right).mean()),
        "sure": float(sure.mean()),
        "right_if_sure": float(right[sure].mean()) if sure.any() else float("nan"),
    }


@dataclass(frozen=True)
class Course:
    """The points of all draws and sets."""

    points: Sequence[Point]

    @property
    def ways(self) -> list[str]:
        return list(dict.fromkeys(point.way for point in self.points))

    @property
    def sets(self) -> list[str]:
        return list(dict.fromkeys(point.set for point in self.points))

    def numbers(self, way: str) -> list[int]:
        return sorted({point.n_labels for point in self.points if point.way == way})

    def of_sets(self, way: str, n: int, figure: str) -> list[FloatArray]:
        """The draws' figures, set by set; without draws that have none."""
        found = []
        for name in self.sets:
            values = [
                getattr(point, figure)
                for point in self.points
                if (point.set, point.way, point.n_labels) == (name, way, n)
            ]
            some = np.array([value for value in values if not np.isnan(value)], np.float32)
            if len(some):
                found.append(some)
        return found

    def mean(self, way: str, n: int, figure: str) -> tuple[float, float, float]:
        """Over all sets, each weighing the same, with its interval; NaN where no set has it."""
        sets = self.of_sets(way, n, figure)
        if not sets:
            return (float("nan"),) * 3
        random = np.random.default_rng(0)
        drawn = [
            np.mean([random.choice(sets[at], len(sets[at])).mean() for at in chosen])
            for chosen in random.integers(0, len(sets), (N_BOOTSTRAPS, len(sets)))
        ]
        low, high = np.quantile(drawn, [0.025, 0.975])
        return float(np.mean([values.mean() for values in sets])), float(low), float(high)


def tables(course: Course) -> Iterator[Table]:
    """All sets together by number of labels, then the calibration error of each set."""
    for way in course.ways:
        table = Table(way, *FIGURES, box=None, header_style="bold")
        for n in course.numbers(way):
            means = [course.mean(way, n, figure) for figure in FIGURES]
            table.add_row(f"{n:,}", *(f"{mean:.3f} ({low:.3f}-{high:.3f})" for mean, low, high in means))
        yield table
        numbers = course.numbers(way)
        table = Table(f"ece, {way}", *(f"{n:,}" for n in numbers), box=None, header_style="bold")
        for name in course.sets:
            only = Course([point for point in course.points if point.set == name])
            table.add_row(name, *(f"{only.mean(way, n, 'ece')[0]:.3f}" for n in numbers))
        yield table


def drawn(course: Course, path: Path) -> None:
    """The picture of the course: accuracy, calibration error, right ticks, and how right sure answers are."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.5), layout="constrained")
    titles = {
        "accuracy": "accuracy of the best label",
        "ece": "calibration error (15 bins); dotted: of honest confidences",
        "right_ticks": "right ticks, share of texts",
        "right_if_sure": f"right where the confidence is at least {SURE}",
    }
    for axes, (name, title) in zip(figure.subplots(2, 2).flat, titles.items(), strict=True):
        for way in course.ways:
            numbers = course.numbers(way)
            means = np.array([course.mean(way, n, name) for n in numbers])
            (line,) = axes.plot(numbers, means[:, 0], marker="o", markersize=3, label=way)
            if name == "ece":
                honest = [course.mean(way, n, "honest_ece")[0] for n in numbers]
                axes.plot(numbers, honest, linestyle=":", color=line.get_color())
            axes.fill_between(numbers, means[:, 1], means[:, 2], alpha=0.15, color=line.get_color())
        axes.set_xscale("symlog", linthresh=10)
        axes.set_xticks(N_LABELS, [f"{n:,}" for n in N_LABELS])
        axes.set_title(title, fontsize=10)
        axes.set_ylim(0, None if name == "ece" else 1)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8, loc="lower right")
    figure.supxlabel("labels", fontsize=10)
    figure.savefig(path, dpi=110)


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=sorted(data_sets()), default=list(data_sets()))
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--labels", nargs="+", type=int, default=list(N_LABELS))
    parser.add_argument("--texts", type=int, default=3_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--read", nargs="+", type=Path, default=[])
    return parser.parse_args()


def measured(told: argparse.Namespace) -> Iterator[Point]:
    assembly = KeptAssembly(load_settings())
    with tempfile.TemporaryDirectory() as folder:
        for name in told.sets:
            data = data_sets()[name]()
            for draw in range(told.draws):
                yield from Life(data, draw, assembly, Path(folder), told.texts).points(told.labels)


def read(paths: Sequence[Path]) -> Iterator[Point]:
    for path in paths:
        yield from (Point(**row) for row in json.loads(path.read_text(encoding="utf-8")))


def main() -> None:
    configure_logs("WARNING")
    told = asked()
    course = Course(list(read(told.read) if told.read else measured(told)))
    console = Console(width=200)
    for table in tables(course):
        console.print(table)
    if told.out is not None:
        told.out.mkdir(parents=True, exist_ok=True)
        found = json.dumps([asdict(point) for point in course.points], indent=1)
        (told.out / "life.json").write_text(found, encoding="utf-8")
        drawn(course, told.out / "life.png")


if __name__ == "__main__":
    main()

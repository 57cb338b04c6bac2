"""What the order of showing does to a project's first labels: accuracy, corrections, right ticks.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with weights> python -m benchmarks.order \
        [--sets NAME ...] [--orders NAME ...] [--draws N] [--labels N] [--split validation] [--picture FILE]

An annotator takes tasks of a train split in an order and gives the right label. As in service, an order is made of what
a version says when it is pushed, a version is trained at TRAINED_AT labels, and between two of them each answer is
known to the index and the classifier. All orders meet the same draws, and other rows judge the models. What one draw
gave is kept in the state folder's benchmark-order.jsonl and not computed again.
"""

import argparse
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import t

from backend.core.deadline import FOREVER
from backend.core.settings import load_settings
from backend.core.types import Example, FloatArray, IntArray
from backend.logs import configure_logs
from backend.loop.leading import TYPICAL_UNTIL
from backend.loop.order import in_turn, representative
from backend.pipeline.pipeline import Pipeline
from benchmarks.datasets import DataSet, data_sets
from benchmarks.vectors import KeptAssembly
from training.run import TrainingOptions, train

TRAINED_AT = (0, 10, 20, 30, 50, 70, 100, 150, 200, 300, 450, 650, 1_000)  # labels; a project trains more often
MEASURED_AT = (30, 100, 300, 1_000)  # labels
N_TASKS, N_JUDGED = 2_000, 1_000
N_FIRST = 50  # shown tasks whose ticks are counted
BLOCKS = ((100, 5), (300, 10), (1_000, 25))  # up to so many labels, so many are given between two looks
CHUNK = 256  # texts asked about at once
SETS = ("clinc", "clinc-domains", "massive-en", "massive-ru", "massive-de", "massive-zh", "sample-en", "sample-ru")
KEPT = "benchmark-order.jsonl"


@dataclass(frozen=True)
class Seen:
    """What is known when a version is pushed."""

    vectors: FloatArray  # (n_tasks, dim), of all tasks
    done: IntArray  # rows of tasks that are labelled
    open: IntArray  # of the others
    probs: Callable[[], FloatArray]  # (n_open, n_labels + 1), of the open ones
    n_next: int  # tasks that are shown before the next version
    rng: np.random.Generator


Order = Callable[[Seen], IntArray]  # rows of open tasks, the first one first, at least `n_next`


def at_random(seen: Seen) -> IntArray:
    return seen.rng.permutation(seen.open)


def least_certain(seen: Seen) -> IntArray:
    probs = seen.probs()
    scores = in_turn(probs[:, :-1].max(axis=1).tolist(), probs.argmax(axis=1).astype(str).tolist())
    return seen.open[np.argsort(scores, kind="stable")]


def typical(seen: Seen) -> IntArray:
    return seen.open[representative(seen.vectors[seen.open], seen.vectors[seen.done], k=seen.n_next)]


def clusters(seen: Seen) -> IntArray:
    """Of each cluster without a label the densest text, largest clusters first (TypiClust, Hacohen et al. 2022)."""
    from sklearn.cluster import KMeans

    k = min(len(seen.done) + seen.n_next, len(seen.vectors) // 3)
    seed = int(seen.rng.integers(2**31))
    of = KMeans(k, n_init=1, max_iter=10, random_state=seed).fit_predict(seen.vectors)
    density = np.sort(seen.vectors @ seen.vectors.T, axis=1)[:, -21:-1].mean(axis=1)
    ranked = seen.open[np.argsort(-density[seen.open], kind="stable")]
    turn = np.array([int((of[ranked[:at]] == of[row]).sum()) for at, row in enumerate(ranked)])
    sizes, known = np.bincount(of, minlength=k)[of[ranked]], np.bincount(of[seen.done], minlength=k)[of[ranked]]
    return np.asarray(ranked[np.lexsort((-sizes, known, turn))])


def covering(seen: Seen) -> IntArray:
    """The farthest from all labelled and chosen ones first (greedy k-center, Sener and Savarese 2018)."""
    nearest = (seen.vectors @ seen.vectors[seen.done].T).max(axis=1, initial=-1.0)
    left = np.isin(np.arange(len(seen.vectors)), seen.open)
    chosen: list[int] = []
    for _ in range(min(seen.n_next, len(seen.open))):
        row = int(np.where(left, nearest, np.inf).argmin())
        chosen.append(row)
        left[row] = False
        nearest = np.maximum(nearest, seen.vectors @ seen.vectors[row])
    return np.array(chosen, np.int64)


def up_to(n_labels: int, order: Order) -> Order:
    """An order for the first labels, then the least certain tasks."""
    return lambda seen: order(seen) if len(seen.done) < n_labels else least_certain(seen)


ORDERS: Mapping[str, Order] = {
    "random": at_random,
    "uncertain": least_certain,
    "typical": typical,
    "auto": up_to(TYPICAL_UNTIL, typical),
    "typical to 100": up_to(100, typical),
    "typical to 200": up_to(200, typical),
    "clusters": clusters,
    "clusters to 50": up_to(50, clusters),
    "covering": covering,
    "random to 50": up_to(50, at_random),
}


@dataclass(frozen=True)
class Run:
    """One draw of a data set in one order."""

    set: str
    order: str
    draw: int
    split: str
    accuracy: dict[str, float]  # of the model, on other rows, by number of labels
    corrections: dict[str, int]  # made by then
    n_ticked: int  # of the first N_FIRST tasks
    n_right: int  # of these


@dataclass(frozen=True)
class Project:
    """A draw of a data set, and what labels it."""

    data: DataSet
    tasks: Sequence[Example]
    judged: Sequence[Example]
    assembly: KeptAssembly
    folder: Path
    seed: int

    @classmethod
    def drawn(cls, data: DataSet, draw: int, split: str, assembly: KeptAssembly, folder: Path) -> "Project":
        rng = np.random.default_rng(draw)
        tasks = [data.train[at] for at in rng.permutation(len(data.train))[:N_TASKS]]
        judging = data.validation if split == "validation" else data.test
        judged = [judging[at] for at in rng.permutation(len(judging))[:N_JUDGED]]
        return cls(data, tasks, judged, assembly, folder, draw)

    def trained(self, done: Sequence[int]) -> Pipeline:
        known = set(done)
        pool = [task.text for row, task in enumerate(self.tasks) if row not in known]
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            out = Path(folder) / "model"
            train(
                [self.tasks[row] for row in done],
                self.data.space,
                out=out,
                options=TrainingOptions(language=self.data.language),
                assembly=self.assembly,
                pool=pool,
                holdout=frozenset(),
            )
            return self.assembly.pipeline(out, llm=False)

    @property
    def vectors(self) -> FloatArray:
        """(n_tasks, lead), centred and of unit length, as the product compares texts."""
        found = self.assembly.embed([task.text for task in self.tasks], self.data.language)
        found = found[:, : self.assembly.embedder(self.data.language).lead]
        found = found - found.mean(axis=0)
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9), np.float32)

    def labelled(self, order: Order, n_labels: int) -> Iterator[tuple[int, Pipeline, int, int, int]]:
        """At each version: labels, the pipeline, corrections by then, early ticks and how many were right."""
        rng, vectors, done = np.random.default_rng(self.seed), self.vectors, list[int]()
        n_wrong, n_ticked, n_right = 0, 0, 0
        moments = [n for n in TRAINED_AT if n <= min(n_labels, len(self.tasks))]
        for moment, following in zip(moments, [*moments[1:], moments[-1]], strict=True):
            pipeline = self.trained(done)
            yield moment, pipeline, n_wrong, n_ticked, n_right
            open_ = np.setdiff1d(np.arange(len(self.tasks)), done)
            asked = cache(lambda at=open_, by=pipeline: probabilities(by, [self.tasks[row] for row in at]))
            seen = Seen(vectors, np.array(done, np.int64), open_, asked, following - moment, rng)
            shown = order(seen)[: seen.n_next].tolist() if seen.n_next else []
            while shown:
                size = next(size for limit, size in BLOCKS if len(done) < limit)
                block, shown = shown[:size], shown[size:]
                live = pipeline.with_live([self.tasks[row] for row in done[moment:]])
                decided = live.run([self.tasks[row].text for row in block], deadline_s=float("inf"))
                for row, decision in zip(block, decided, strict=True):
                    right = decision is not None and decision.alternatives[0].label == self.tasks[row].label
                    ticked = decision is not None and decision.kind == "label" and len(done) < N_FIRST
                    n_wrong, n_ticked, n_right = n_wrong + (not right), n_ticked + ticked, n_right + (ticked and right)
                    done.append(row)


def probabilities(pipeline: Pipeline, examples: Sequence[Example]) -> FloatArray:
    """(n_examples, n_labels + 1)."""
    parts = [[one.text for one in examples[at : at + CHUNK]] for at in range(0, len(examples), CHUNK)]
    return np.concatenate([pipeline.fuser.fuse(pipeline.gather(part, FOREVER)) for part in parts])


def accuracy(pipeline: Pipeline, examples: Sequence[Example]) -> float:
    values = np.array(pipeline.labels.values)
    said = values[probabilities(pipeline, examples)[:, :-1].argmax(axis=1)]
    return float(np.mean(said == np.array([one.label for one in examples])))


def run(project: Project, order: str, n_labels: int, split: str) -> Run:
    accuracies: dict[str, float] = {}
    corrections: dict[str, int] = {}
    ticked = right = 0
    for n, pipeline, n_wrong, ticked, right in project.labelled(ORDERS[order], n_labels):  # noqa: B007
        if n in MEASURED_AT:
            accuracies[str(n)] = accuracy(pipeline, project.judged)
            corrections[str(n)] = n_wrong
    return Run(project.data.name, order, project.seed, split, accuracies, corrections, ticked, right)


def computed(asked: argparse.Namespace, kept: Path) -> list[Run]:
    """All runs that were asked for; those that are not kept are made, draw by draw."""
    lines = kept.read_text().splitlines() if kept.exists() else []
    known = [Run(**json.loads(line)) for line in lines]
    found = {(one.set, one.order, one.draw, one.split, max(map(int, one.accuracy))): one for one in known}
    assembly, read = KeptAssembly(load_settings()), cache(lambda name: data_sets()[name]())
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for draw in range(asked.draws):
            for name in asked.sets:
                project = Project.drawn(read(name), draw, asked.split, assembly, Path(folder))
                last = max(n for n in MEASURED_AT if n <= min(asked.labels, len(project.tasks)))
                for order in asked.orders:
                    key = (name, order, draw, asked.split, last)
                    if key not in found:
                        found[key] = run(project, order, last, asked.split)
                        with kept.open("a") as file:
                            file.write(json.dumps(asdict(found[key])) + "\n")
                    runs.append(found[key])
    return runs


def difference(runs: Sequence[Run], order: str, n: int) -> tuple[float, float]:
    """Mean accuracy beyond that of the same draws at random, and half of its 95 % interval; points."""
    others = {(one.set, one.draw): one for one in runs if one.order == "random"}
    pairs = [(one, others[one.set, one.draw]) for one in runs if one.order == order and str(n) in one.accuracy]
    beyond = [100 * (one.accuracy[str(n)] - other.accuracy[str(n)]) for one, other in pairs]
    if len(beyond) < 2:
        return (beyond or [float("nan")])[0], float("nan")
    half = t.ppf(0.975, len(beyond) - 1) * np.std(beyond, ddof=1) / len(beyond) ** 0.5
    return float(np.mean(beyond)), float(half)


def table_of(title: str, runs: Sequence[Run]) -> Table:
    points = [n for n in MEASURED_AT if any(str(n) in one.accuracy for one in runs)]
    heads = ["order", "draws", *(f"accuracy at {n}" for n in points), *(f"corrections by {n}" for n in points)]
    table = Table(*heads, f"right ticks of the first {N_FIRST}", title=title, box=None, header_style="bold")
    for order in dict.fromkeys(one.order for one in runs):
        mine = [one for one in runs if one.order == order]
        cells = []
        for n in points:
            mean = np.mean([one.accuracy[str(n)] for one in mine if str(n) in one.accuracy])
            beyond, half = difference(runs, order, n)
            cells.append(f"{mean:.3f} ({beyond:+.1f} ± {half:.1f})")
        counts = [
            f"{np.mean([one.corrections[str(n)] for one in mine if str(n) in one.corrections]):.0f}" for n in points
        ]
        share = sum(one.n_right for one in mine) / max(sum(one.n_ticked for one in mine), 1)
        table.add_row(
            order, str(len(mine)), *cells, *counts, f"{share:.0%} of {np.mean([one.n_ticked for one in mine]):.0f}"
        )
    return table


def draw_picture(runs: Sequence[Run], path: Path) -> None:
    """Accuracy beyond random and corrections, by labels, over all sets; share of right ticks."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.8))
    FigureCanvasAgg(figure)
    beyond, corrections, ticks = figure.subplots(1, 3)
    orders = list(dict.fromkeys(one.order for one in runs))
    points = [n for n in MEASURED_AT if any(str(n) in one.accuracy for one in runs)]
    for place, order in enumerate(orders):
        mine = [one for one in runs if one.order == order]
        means, halves = zip(*(difference(runs, order, n) for n in points), strict=True)
        shifted = [n * 1.03 ** (place - len(orders) / 2) for n in points]
        beyond.errorbar(shifted, means, halves, label=order, marker="o", capsize=2)
        counts = [np.mean([one.corrections[str(n)] for one in mine if str(n) in one.corrections]) for n in points]
        corrections.plot(points, counts, marker="o")
        share = sum(one.n_right for one in mine) / max(sum(one.n_ticked for one in mine), 1)
        ticks.bar(order, share)
    beyond.set(title="accuracy beyond random, points", xlabel="labels", xscale="log")
    beyond.set_xticks(points, [str(n) for n in points])
    beyond.minorticks_off()
    beyond.legend(fontsize="small")
    corrections.set(title="corrections made", xlabel="labels")
    ticks.set(title=f"right ticks of the first {N_FIRST}", ylim=(0, 1))
    ticks.tick_params(axis="x", rotation=30)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="*", default=SETS, choices=list(data_sets()))
    parser.add_argument("--orders", nargs="*", default=["random", "uncertain", "typical", "auto"], choices=list(ORDERS))
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--labels", type=int, default=MEASURED_AT[-1])
    parser.add_argument("--split", default="test", choices=["test", "validation"], help="What judges the models.")
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    configure_logs("WARNING")
    warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # few examples, many labels
    runs = computed(asked, load_settings().home / KEPT)
    console = Console(width=200)
    for name in dict.fromkeys(one.set for one in runs):
        console.print(table_of(name, [one for one in runs if one.set == name]))
    console.print(table_of("all", runs))
    if asked.picture:
        draw_picture(runs, asked.picture)


if __name__ == "__main__":
    main()

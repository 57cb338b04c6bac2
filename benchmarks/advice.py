"""How often the advice on more labels is right: `training.curve.outlook` over simulated projects, against the truth.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with weights> python -m benchmarks.advice \
        [--sets NAME ...] [--draws N] [--labels N] [--gold N]

A project is some labels of a data set at random, given to texts in random order or to the least certain ones, by a
model of the labels before, and gold texts that judge its versions at halves of its labels. The truth is what
MORE_LABELS more bring on the texts of the test split that are not gold. What a project said is kept in the state
folder's benchmark-advice.jsonl and not computed again.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

import numpy as np
from rich.console import Console
from rich.table import Table

from backend.core.settings import load_settings
from backend.logs import configure_logs
from benchmarks.datasets import DataSet, data_sets
from benchmarks.order import Project, accuracy, probabilities
from benchmarks.vectors import KeptAssembly
from training.curve import MORE_LABELS, Point, most_gained, outlook
from training.judge import GOLD

SIZES = (50, 100, 200, 400, 800, 1_600)  # labels; from the third on a project has the halves that its slope is of
N_TASKS = 3_000
N_TRUTH = 2_000  # texts that tell what more labels bring
SHARES = (0.25, 0.5, 1.0)  # of a set's labels that a project has, one draw after the other
SETS = ("clinc", "clinc-domains", "massive-en", "massive-ru", "scenarios-en", "scenarios-ru")
ORDERS = ("random", "uncertain")
WORTH_IT = 0.01  # of accuracy, in truth
KEPT = "benchmark-advice.jsonl"


@dataclass(frozen=True)
class Told:
    """One project at one size."""

    set: str
    order: str
    draw: int
    n_gold: int
    n_labels: int
    most: float  # accuracy that MORE_LABELS more should bring at most
    said: str  # empty for nothing
    truth: float  # accuracy that MORE_LABELS more brought


def drawn(data: DataSet, draw: int, n_gold: int, assembly: KeptAssembly, folder: Path) -> tuple[Project, Project]:
    """A project with its gold texts, and the same with the texts that tell the truth."""
    part = data.of_labels(round(SHARES[draw % len(SHARES)] * len(data.space)), seed=draw)
    rng = np.random.default_rng(draw)
    tasks = [part.train[at] for at in rng.permutation(len(part.train))[:N_TASKS]]
    others = [part.test[at] for at in rng.permutation(len(part.test))[: n_gold + N_TRUTH]]
    project = Project(part, tasks, others[:n_gold], assembly, folder, draw)
    return project, replace(project, judged=others[n_gold:])


def told(project: Project, truth: Project, name: str, order: str, n_labels: int) -> Iterator[Told]:
    """What is said at each size, as far as there are as many labels."""
    chosen, points = np.random.default_rng(project.seed).permutation(len(project.tasks)).tolist(), list[Point]()
    for size in (n for n in SIZES if n <= n_labels and n + MORE_LABELS <= len(chosen)):
        pipeline = project.trained(chosen[:size])
        points.append(Point.of(size, accuracy(pipeline, project.judged), len(project.judged), GOLD))
        if order == "uncertain":
            rest = chosen[size:]
            sure = probabilities(pipeline, [project.tasks[row] for row in rest])[:, :-1].max(axis=1)
            chosen = chosen[:size] + [rest[at] for at in np.argsort(sure, kind="stable")]
        if (most := most_gained(points, MORE_LABELS)) is not None:
            later = accuracy(project.trained(chosen[: size + MORE_LABELS]), truth.judged)
            brought = later - accuracy(pipeline, truth.judged)
            yield Told(name, order, project.seed, len(project.judged), size, most, outlook(points), brought)


def computed(asked: argparse.Namespace, kept: Path) -> list[Told]:
    """What all projects said; draw by draw."""
    lines = kept.read_text().splitlines() if kept.exists() else []
    known = [Told(**json.loads(line)) for line in lines]
    there = {(one.set, one.order, one.draw, one.n_gold) for one in known}
    assembly, read = KeptAssembly(load_settings()), cache(lambda name: data_sets()[name]())
    wanted = [(name, order, draw) for draw in range(asked.draws) for name in asked.sets for order in ORDERS]
    with tempfile.TemporaryDirectory() as folder:
        for name, order, draw in wanted:
            if (name, order, draw, asked.gold) not in there:
                project, truth = drawn(read(name), draw, asked.gold, assembly, Path(folder))
                found = list(told(project, truth, name, order, asked.labels))
                known += found
                with kept.open("a") as file:
                    file.write("".join(json.dumps(asdict(one)) + "\n" for one in found))
    return [one for one in known if (one.set, one.order, one.draw) in set(wanted) and one.n_gold == asked.gold]


def row(name: str, rows: Sequence[Told]) -> tuple[str, ...]:
    worth_it = [one for one in rows if one.truth >= WORTH_IT]
    little = [one for one in rows if one.truth < WORTH_IT]
    said = [one for one in rows if one.said]

    def share(hits: Sequence[bool]) -> str:
        return f"{sum(hits)} of {len(hits)}"

    return (
        name,
        str(len(rows)),
        share(["hardly" in one.said for one in worth_it]),
        share(["hardly" in one.said for one in little]),
        share([one.truth <= one.most for one in said]),
        f"{100 * np.mean([one.most for one in said]):.1f}" if said else "-",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="*", default=SETS, choices=list(data_sets()))
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--labels", type=int, default=SIZES[-1])
    parser.add_argument("--gold", type=int, default=600)
    asked = parser.parse_args()
    configure_logs("WARNING")
    found = computed(asked, load_settings().home / KEPT)
    heads = (
        f"told hardly worth it where {MORE_LABELS} labels bring {100 * WORTH_IT:.0f} point or more",
        "and where they bring less",
        "the truth is no more than was said",
        "points said, mean",
    )
    table = Table("projects", "n", *heads, box=None, header_style="bold")
    for name in ORDERS:
        table.add_row(*row(name, [one for one in found if one.order == name]))
    for size in sorted({one.n_labels for one in found}):
        table.add_row(*row(f"at {size} labels", [one for one in found if one.n_labels == size]))
    table.add_row(*row("all", found))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()

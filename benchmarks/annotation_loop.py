"""How many labels an annotator has to correct in a project's first 1,000 tasks, from a cold start.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with weights> \
        python -m benchmarks.annotation_loop [clinc|ru] [GGUF=WEIGHT ...]

The annotator takes the tasks of a train split in random order and gives the right label; a correction is a task whose
best label was another one. Every answer is known to the index and the classifier at once, as in service; the model is
trained again as a project trains. Language models are off; with GGUF files, each with the weight that it has before
labels have told, it is counted once more with their votes, and how many tasks they were asked about. The mean and all
of N_ORDERS orders.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression

from backend.assembly import Assembly
from backend.core.settings import load_settings
from backend.core.types import Example, FloatArray, IntArray, LabelSpace, Pipeline
from backend.logs import configure_logs
from benchmarks.datasets import clinc, massive, space_of
from benchmarks.votes import Bench, entries_of
from training.run import TrainingOptions, train

N_TASKS, N_ORDERS = 1_000, 5
RETRAINED_AT = (25, 50, 100, 200, 400, 700)  # labels; a project trains more often (settings), to no other effect
REGRESSION_EVERY = 25
SETS: dict[str, tuple[str, Callable[[], list[Example]]]] = {
    "clinc": ("en", lambda: clinc("train", oos=False)),
    "ru": ("ru", lambda: massive("ru", "train")),
}


@dataclass(frozen=True)
class Order:
    """One annotator's tasks, and texts of the project that nobody has labelled."""

    tasks: Sequence[Example]
    others: Sequence[str]


def orders(examples: Sequence[Example]) -> Iterator[Order]:
    for seed in range(N_ORDERS):
        shuffled = np.random.default_rng(seed).permutation(len(examples))
        chosen = [examples[at] for at in shuffled[: 3 * N_TASKS]]
        yield Order(chosen[:N_TASKS], [example.text for example in chosen[N_TASKS:]])


@dataclass(frozen=True)
class Loop:
    assembly: Assembly
    space: LabelSpace
    language: str
    folder: Path
    llm: bool = False
    asked: list[int] = field(default_factory=list)  # tasks of each order that language models voted on

    def corrections(self, tasks: Sequence[Example], pool: Sequence[str]) -> int:
        """Answered one by one; the pipeline knows all answers before the next task is shown."""
        self.asked.append(0)
        wrong, since = 0, 0
        pipeline = self._trained([], pool)
        for number, task in enumerate(tasks):
            if number in RETRAINED_AT:
                pipeline, since = self._trained(tasks[:number], pool), number
            (decision,) = pipeline.with_live(tasks[since:number]).run([task.text], deadline_s=float("inf"))
            wrong += decision is None or decision.alternatives[0].label != task.label
            self.asked[-1] += decision is not None and decision.stage == "vote"
        return wrong

    def _trained(self, examples: Sequence[Example], pool: Sequence[str]) -> Pipeline:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            out = Path(folder) / "model"
            options = TrainingOptions(language=self.language, ask_voters=self.llm)
            train(examples, self.space, out=out, options=options, assembly=self.assembly, pool=pool,
                  holdout=frozenset())  # fmt: skip
            return self.assembly.pipeline(out, llm=self.llm)

    def vectors(self, texts: Sequence[str]) -> FloatArray:
        """As the model's own makers would compare texts: its last layer."""
        embedder = self.assembly.embedder(self.language)
        return embedder.embed(texts)[:, : embedder.lead]

    def baselines(self, tasks: Sequence[Example]) -> dict[str, int]:
        names = self.vectors([label.document for label in self.space.labels])
        X = self.vectors([task.text for task in tasks])
        y = np.array([self.space.values.index(task.label) for task in tasks])
        cold = (X @ names.T).argmax(axis=1)
        return {
            "label names only": int((cold != y).sum()),
            f"logistic regression every {REGRESSION_EVERY}": int((regressed(X, y, cold) != y).sum()),
            "nearest evidence": int((nearest(X, y, names) != y).sum()),
        }


def regressed(X: FloatArray, y: IntArray, cold: IntArray) -> IntArray:
    """The names answer until there are two labels to tell apart."""
    said = cold.copy()
    for start in range(REGRESSION_EVERY, len(y), REGRESSION_EVERY):
        if len(set(y[:start])) > 1:
            model = LogisticRegression(C=30, max_iter=200, tol=1e-4).fit(X[:start], y[:start])
            said[start : start + REGRESSION_EVERY] = model.predict(X[start : start + REGRESSION_EVERY])
    return said


def nearest(X: FloatArray, y: IntArray, names: FloatArray) -> IntArray:
    """The larger of a name's similarity and that of the nearest answered task."""
    best = X @ names.T
    similar = X @ X.T
    for number in range(len(y)):
        np.maximum.at(best[number], y[:number], similar[number, :number])
    return np.asarray(best.argmax(axis=1))


def main() -> None:
    configure_logs("WARNING")
    warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # few examples, many labels
    files = [one for one in sys.argv[1:] if one not in SETS]
    language, read = SETS[next((one for one in sys.argv[1:] if one in SETS), "clinc")]
    examples = read()
    found: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(Assembly(load_settings()), space_of(examples), language, Path(folder))
        heard = replace(loop, assembly=Bench(load_settings(), files=entries_of(files)), llm=True, asked=[])
        for order in orders(examples):
            counted = {
                **loop.baselines(order.tasks), "prelabel": loop.corrections(order.tasks, []),
                "prelabel, 2,000 other unlabelled texts in the project": loop.corrections(order.tasks, order.others),
            }  # fmt: skip
            if files:
                counted["prelabel, language models on"] = heard.corrections(order.tasks, [])
            for name, n in counted.items():
                found.setdefault(name, []).append(n)
    if files:
        found["tasks that they were asked about"] = heard.asked
    table = Table(f"corrections in {N_TASKS} tasks", "mean", "each order", box=None, header_style="bold")
    for name, counts in found.items():
        table.add_row(name, f"{np.mean(counts):.0f}", " ".join(map(str, counts)))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

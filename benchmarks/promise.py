"""Whether a promised precision is kept: on files, and by people who let wrong ticks pass.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with fetched weights> python -m benchmarks.promise

Trains on the train split of CLINC150 (in scope) and of MASSIVE in Russian. What the model says about the other splits,
which it has not seen, is cut into random halves: one finds the threshold, the other counts what is right above it.
Beside it the naive way, the most that looks right on the first half. Then the simulated annotators.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

import numpy as np
from rich.console import Console
from rich.table import Table

from backend.assembly import Assembly
from backend.core.bounds import share_interval
from backend.core.settings import load_settings
from backend.core.types import Example, Label, LabelSpace
from backend.logs import configure_logs
from backend.rows.texts import read_rows
from training.evaluate import Outcome, at_target
from training.judge import judge
from training.promise import claims_of, promise
from training.run import TrainingOptions, train

TARGETS = (0.95, 0.98)
N_HALVES = 200
N_ANNOTATED, BLIND_SHARE, PASSED = 10_000, 0.03, 0.3  # tasks; of them blind; wrong ticks that are let pass
N_RUNS = 20_000
Threshold = Callable[[Sequence[Outcome], float], float]


@dataclass(frozen=True, slots=True)
class Data:
    """A labelled file with splits."""

    name: str
    file: str
    language: str
    oos: str  # its label is left out; empty where there is none
    others: tuple[str, ...]  # splits that the model has not seen


DATA = (
    Data("CLINC150 in scope", "clinc150_full.jsonl", "en", "oos", ("val", "test")),
    Data("MASSIVE ru", "massive_ru.jsonl", "ru", "", ("dev", "test")),
)


def read(data: Data, split: str) -> list[Example]:
    path = Path(os.environ["PRELABEL_TEST_DATA"]) / data.file
    rows = read_rows(path, where=f"split={split}", labelled=True)
    return [Example(f"{split}-{row.id}", row.text, row.label) for row in rows if row.label != data.oos]


def outcomes_of(data: Data, assembly: Assembly) -> list[Outcome]:
    known = read(data, "train")
    space = LabelSpace(tuple(Label(value, value) for value in sorted({example.label for example in known})))
    unseen = [example for split in data.others for example in read(data, split)]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        train(known, space, out=model, options=TrainingOptions(language=data.language), assembly=assembly)
        return judge(assembly.pipeline(model), unseen)


def promised(outcomes: Sequence[Outcome], target: float) -> float:
    found = promise(claims_of(outcomes), target).threshold
    return 2.0 if found is None else found


def hoped(outcomes: Sequence[Outcome], target: float) -> float:
    """The lowest confidence above which the target is reached here."""
    confidence = np.array([outcome.confidence for outcome in outcomes], np.float32)
    _, coverage = at_target(np.array([outcome.correct for outcome in outcomes]), confidence, target)
    n = round(coverage * len(outcomes))
    return float(np.sort(confidence)[::-1][n - 1]) if n else 2.0


def halves(outcomes: Sequence[Outcome], target: float, threshold: Threshold) -> tuple[str, str, str]:
    """In how many halves the precision was realised, its mean, and the mean coverage."""
    rng = np.random.default_rng(0)
    realised, coverage = [], []
    for _ in range(N_HALVES):
        order = rng.permutation(len(outcomes))
        one, other = ([outcomes[row] for row in part] for part in np.array_split(order, 2))
        found = threshold(one, target)
        accepted = [outcome.correct for outcome in other if outcome.confidence >= found and not outcome.abstained]
        realised.append(float(np.mean(accepted)) if accepted else 1.0)
        coverage.append(len(accepted) / len(other))
    kept = float(np.mean(np.array(realised) >= target))
    return f"{kept:.1%}", f"{np.mean(realised):.4f}", f"{np.mean(coverage):.3f}"


def annotated(precision: float) -> tuple[str, str, str]:
    """How often the interval holds the true precision: of blind tasks, and of ticks that were kept."""
    rng = np.random.default_rng(0)
    inside, naive_inside, naive = 0, 0, []
    for _ in range(N_RUNS):
        n_blind = int(rng.binomial(N_ANNOTATED, BLIND_SHARE))
        low, high = share_interval(int(rng.binomial(n_blind, precision)), n_blind)
        inside += low <= precision <= high
        n_shown = N_ANNOTATED - n_blind
        n_wrong = int(rng.binomial(n_shown, 1 - precision))
        n_kept = n_shown - n_wrong + int(rng.binomial(n_wrong, PASSED))
        low, high = share_interval(n_kept, n_shown)
        naive_inside += low <= precision <= high
        naive.append(n_kept / n_shown)
    return f"{inside / N_RUNS:.1%}", f"{naive_inside / N_RUNS:.1%}", f"{np.mean(naive):.3f}"


def main() -> None:
    configure_logs("WARNING")
    assembly, console = Assembly(load_settings()), Console()
    table = Table("data", "unseen", "accuracy", "target", "way", "realised in", "mean precision", "coverage", box=None)
    for data in DATA:
        outcomes = outcomes_of(data, assembly)
        accuracy = f"{np.mean([outcome.correct for outcome in outcomes]):.4f}"
        for target in TARGETS:
            for way, threshold in (("promised", promised), ("hoped", hoped)):
                row = halves(outcomes, target, threshold)
                table.add_row(data.name, str(len(outcomes)), accuracy, f"{target:g}", way, *row)
    console.print(table)
    lazy = Table("true precision", "blind interval holds it", "naive interval holds it", "naive says", box=None)
    for precision in (0.8, 0.9, 0.95, 0.98):
        lazy.add_row(f"{precision:g}", *annotated(precision))
    console.print(lazy)


if __name__ == "__main__":
    main()

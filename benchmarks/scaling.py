"""Fits what to expect of a project's confidences before its labels tell, and says how far that is off elsewhere.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with fetched weights> python -m benchmarks.scaling \
        [--sets NAME ...] [--draws 2] [--labels 0 10 30 100 300]

Models are trained on random rows of the train splits of all data sets and of some of their labels, with and without
unlabelled texts. On other rows of train or validation splits, how often the best label is right is fitted by its
log odds and by what was known (logistic regression; each family of data sets weighs the square root of its draws).
Printed are the coefficients that stand in training/scaling.py, and the calibration error: by the expectation alone,
fitted without the family of sets that it is judged on, and as served, with the own labels. Test splits are not
read.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize

from backend.core.deadline import FOREVER
from backend.core.settings import load_settings
from backend.core.types import Example, FloatArray
from backend.logs import configure_logs
from backend.pipeline.evidence import Evidence
from backend.pipeline.gate import Gate
from backend.pipeline.pipeline import CHUNK
from backend.pipeline.retrieve import columns_of
from backend.pipeline.scaling import Answers, Scaling, experience, faded
from benchmarks.datasets import DataSet, data_sets
from benchmarks.vectors import KeptAssembly
from training.evaluate import ece
from training.pool import MIN_POOL
from training.run import TrainingOptions, train
from training.scaling import BIAS, SLOPE, features

SETS = (  # and how many of their labels; 0: all
    *((name, 0) for name in data_sets()),
    *(("clinc", n) for n in (3, 8, 20, 77)),
    *(("massive-en", n) for n in (4, 12, 30)),
    *(("massive-ru", n) for n in (5, 20)),
    *(("massive-de", n) for n in (3, 12)),
    *(("massive-zh", n) for n in (8, 30)),
    *(("clinc-domains", n) for n in (2, 5)),
    *(("scenarios-en", n) for n in (3, 8)),
    *(("sample-en", n) for n in (4, 9)),
    *(("sample-ru", n) for n in (3, 6)),
)
N_LABELS = (0, 10, 30, 100, 300)
N_POOL, N_JUDGED = 2_000, 1_200
N_FITTED = 250  # texts of a draw that are fitted on
RIDGE = 3e-4  # towards 0, of coefficients other than the constants
BIAS_UNIT, SLOPE_UNIT = 0.5, 0.15  # of these
EVERYTHING = Gate({"retrieve": 2.0, "classify": 2.0})
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Draw:
    """A model and what it says about texts that it was not trained on."""

    family: str  # of data sets that share their texts
    n_examples: int
    known: float  # experience with the labels
    has_pool: bool
    served: Scaling  # as it stands in the model folder
    answers: Answers  # before scaling

    @property
    def columns(self) -> Matrix:
        """(n_texts, n_coefficients): what the coefficients of a fit are multiplied by."""
        known = features(self.known, has_pool=self.has_pool)
        odds, near = self.answers.odds, faded(self.answers.near, self.known)
        fixed = np.tile([known[name] for name in BIAS], (len(odds), 1))
        sloped = np.outer(odds, [known[name] for name in SLOPE])
        return np.concatenate([fixed, sloped, near[:, None]], axis=1)

    def error(self, odds: FloatArray | Matrix) -> float:
        """Calibration error where the best labels have these log odds."""
        said = (1.0 - self.answers.outside) / (1.0 + np.exp(-odds))
        return ece(self.answers.right, np.asarray(said, np.float32))


@dataclass(frozen=True)
class Projects:
    """Draws of one data set."""

    data: DataSet
    assembly: KeptAssembly
    folder: Path

    def draws(self, numbers: Sequence[int], seed: int) -> Iterator[Draw]:
        order = np.random.default_rng(seed).permutation(len(self.data.train)).tolist()
        rows = [self.data.train[at] for at in order]
        judged = list(self.data.validation)[:N_JUDGED] or rows[len(rows) // 2 :]
        rows = rows if self.data.validation else rows[: len(rows) // 2]
        for n in numbers:
            if n < len(rows):
                for pool in ([], [row.text for row in rows[n:][-N_POOL:]]):
                    yield self._draw(rows[:n], pool, judged)

    def _draw(self, examples: Sequence[Example], pool: Sequence[str], judged: Sequence[Example]) -> Draw:
        data = self.data
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            out = Path(folder) / "model"
            options = TrainingOptions(language=data.language)
            train(
                examples,
                data.space,
                out=out,
                options=options,
                assembly=self.assembly,
                pool=pool,
                holdout=frozenset(),
            )
            pipeline = replace(self.assembly.pipeline(out, llm=False), gate=EVERYTHING)
        texts = [example.text for example in judged]
        starts = range(0, len(texts), CHUNK)
        parts = [pipeline.gather(texts[start : start + CHUNK], FOREVER) for start in starts]
        evidence, fuser = Evidence.joined(parts), pipeline.fuser
        served = fuser.scalings["classify"]
        answers = fuser.answers(evidence, "classify", columns_of(judged, data.space))
        has_pool = len(pool) >= MIN_POOL
        known = experience(columns_of(examples, data.space), len(data.space))
        return Draw(family_of(data.name), len(examples), known, has_pool, served, answers)


def family_of(name: str) -> str:
    """The data set that a name's texts come from: some share theirs."""
    first = name.split(",")[0]
    shared = {"clinc": "clinc", "massive": "massive", "scenarios": "massive"}
    return shared.get(first.split("-")[0], first)


def fitted(draws: Sequence[Draw]) -> Matrix:
    """The likeliest coefficients, in the order of `Draw.columns`."""
    families = [draw.family for draw in draws]
    picked = [np.random.default_rng(0).permutation(len(draw.answers.odds))[:N_FITTED] for draw in draws]
    pairs = list(zip(draws, picked, strict=True))
    X = np.concatenate([draw.columns[rows] for draw, rows in pairs])
    right = np.concatenate([draw.answers.right[rows] for draw, rows in pairs]).astype(np.float64)
    inside = np.concatenate([1.0 - draw.answers.outside[rows] for draw, rows in pairs])
    weight = np.concatenate(
        [np.full(len(rows), families.count(draw.family) ** -0.5 / len(rows)) for draw, rows in pairs]
    )
    weight /= weight.sum()
    ridge = RIDGE / np.array([BIAS_UNIT] * len(BIAS) + [SLOPE_UNIT] * (len(SLOPE) + 1)) ** 2
    ridge[[0, len(BIAS)]] = 0.0

    def loss(values: Matrix) -> tuple[float, Matrix]:
        best = 1.0 / (1.0 + np.exp(-np.clip(X @ values, -60, 60)))
        said = np.clip(best * inside, 1e-6, 1 - 1e-6)
        slope = weight * (said - right) / (said * (1 - said)) * inside * best * (1 - best)
        value = -(weight * (right * np.log(said) + (1 - right) * np.log(1 - said))).sum()
        return float(value + (ridge * values**2).sum()), X.T @ slope + 2 * ridge * values

    start = np.zeros(X.shape[1])
    return minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x


def told(draws: Sequence[Draw]) -> Iterator[Table]:
    """Calibration error by number of labels, and by family."""
    families = sorted({draw.family for draw in draws})
    others = {family: fitted([draw for draw in draws if draw.family != family]) for family in families}
    errors = [
        (
            draw,
            draw.error(draw.columns @ others[draw.family]),
            draw.error(draw.served.odds(draw.answers.odds, draw.answers.own, draw.answers.near)),
        )
        for draw in draws
    ]
    groupings: dict[str, Callable[[Draw], str]] = {
        "labels, unlabelled texts": lambda draw: f"{draw.n_examples}, {'yes' if draw.has_pool else 'no'}",
        "family that is left out": lambda draw: draw.family,
    }
    for title, group_of in groupings.items():
        table = Table(title, "draws", "expected by the others", "as served", box=None)
        for group in dict.fromkeys(group_of(draw) for draw in draws):
            some = [(expected, served) for draw, expected, served in errors if group_of(draw) == group]
            expected, served = np.mean(some, axis=0)
            table.add_row(group, str(len(some)), f"{expected:.3f}", f"{served:.3f}")
        yield table


def main() -> None:
    configure_logs("WARNING")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=sorted(data_sets()), default=list(data_sets()))
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--labels", nargs="+", type=int, default=list(N_LABELS))
    asked = parser.parse_args()
    assembly, console = KeptAssembly(load_settings()), Console(width=120)
    draws: list[Draw] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, n_labels in SETS:
            if name in asked.sets:
                whole = data_sets()[name]()
                for seed in range(asked.draws):
                    data = whole.of_labels(n_labels, seed=seed) if n_labels else whole
                    draws += Projects(data, assembly, Path(folder)).draws(asked.labels, seed)
    values = fitted(draws).round(3).tolist()
    console.print("BIAS", dict(zip(BIAS, values, strict=False)))
    console.print("SLOPE", dict(zip(SLOPE, values[len(BIAS) :], strict=False)))
    console.print("AFFINITY", values[-1])
    for table in told(draws):
        console.print(table)


if __name__ == "__main__":
    main()

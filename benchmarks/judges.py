"""How well language models tell right labels from wrong ones when they are asked as judges.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with fetched weights> python -m benchmarks.judges [GGUF]

The model is the embedded profile's first voter, or the one in the file GGUF. N_PAIRS texts of validation splits, each
with its label and with another one that is drawn evenly: how often the right one of a right and a wrong pair gets the
higher score (AUROC), the mean scores of both, and what a pair takes.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from backend.core.deadline import FOREVER
from backend.core.profiles import load_profile
from backend.core.settings import load_settings
from backend.core.types import Example, Label
from backend.logs import configure_logs
from backend.models.answers import NoAnswers
from backend.models.llm import LlamaModel
from backend.models.weights import WeightStore
from backend.pipeline.judge import SCALES, Pair, panel_of
from benchmarks.datasets import clinc, massive

N_PAIRS = 100  # right ones, and as many wrong ones
SETS: dict[str, tuple[str, Callable[[], list[Example]]]] = {
    "CLINC150": ("en", lambda: clinc("val", oos=False)),
    "MASSIVE-ru": ("ru", lambda: massive("ru", "dev")),
}


def pairs_of(examples: list[Example]) -> list[Pair]:
    """N_PAIRS right ones, then the same texts with wrong labels."""
    rng = np.random.default_rng(0)
    values = sorted({example.label for example in examples})
    chosen = [examples[at] for at in rng.permutation(len(examples))[:N_PAIRS].tolist()]
    others = [str(rng.choice([value for value in values if value != one.label])) for one in chosen]
    labelled = [*((one.text, one.label) for one in chosen), *zip((one.text for one in chosen), others, strict=True)]
    return [Pair(text, Label(value, value)) for text, value in labelled]


def main() -> None:
    configure_logs("WARNING")
    own = WeightStore(load_settings().models_dir).path(load_profile("embedded").voters[0])
    model = LlamaModel(Path(sys.argv[1]) if len(sys.argv) > 1 else own)
    table = Table("data", "question", "AUROC", "right", "wrong", "ms a pair", "tokens a pair", box=None)
    right = np.arange(2 * N_PAIRS) < N_PAIRS
    for title, (language, read) in SETS.items():
        pairs = pairs_of(read())
        for question in SCALES:
            (judge, *_) = panel_of([model], question, NoAnswers(), language=language).judges
            since = time.perf_counter()
            verdicts = [verdict for verdict in judge.judge(pairs, deadline=FOREVER) if verdict]
            seconds = time.perf_counter() - since
            scores = np.array([verdict.score for verdict in verdicts])
            table.add_row(
                title, question, f"{roc_auc_score(right, scores):.3f}",
                f"{scores[right].mean():.2f}", f"{scores[~right].mean():.2f}", f"{1000 * seconds / len(pairs):.0f}",
                f"{sum(verdict.tokens for verdict in verdicts) / len(pairs):.0f}",
            )  # fmt: skip
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

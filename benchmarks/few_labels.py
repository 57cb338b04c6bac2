"""What the first labels of a project bring: `python -m benchmarks.few_labels`, on both samples, against gold labels.

known    the neighbour index knows the labels, nothing was trained on them: the minute after they were accepted
trained  a model was trained on them
Accuracy of the best label on the texts that are not among them, mean over SEEDS random orders.
"""

import json
import random
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from backend.assembly import Assembly
from backend.core.settings import load_settings
from backend.core.types import Example, LabelSpace, Pipeline
from backend.labelstudio.schema import label_space
from backend.logs import configure_logs
from samples import Sample, SampleRow, load_samples
from training.run import TrainingOptions, train

N_LABELS = (0, 5, 20, 50, 100)
SEEDS = 3


def main() -> None:
    configure_logs("WARNING")
    assembly = Assembly(load_settings())
    for sample in load_samples():
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps({sample.language: curve(sample, Path(folder), assembly)}, indent=2))


def curve(sample: Sample, folder: Path, assembly: Assembly) -> dict[str, list[float]]:
    """Accuracy by number of labels, as `N_LABELS` orders them."""
    space = label_space(sample.label_config)
    found: dict[str, list[list[float]]] = {"known": [[] for _ in N_LABELS], "trained": [[] for _ in N_LABELS]}
    cold = trained(assembly, [], space, sample.language, folder / "cold")
    for seed in range(SEEDS):
        rows = random.Random(seed).sample(sample.rows, len(sample.rows))
        test = rows[max(N_LABELS) :]
        for place, n in enumerate(N_LABELS):
            examples = [Example(row.id, row.text, row.gold) for row in rows[:n]]
            fitted = trained(assembly, examples, space, sample.language, folder / f"{seed}-{n}")
            found["known"][place].append(accuracy(cold.with_live(examples), test))
            found["trained"][place].append(accuracy(fitted, test))
    means = {name: [round(statistics.mean(values), 3) for values in rows] for name, rows in found.items()}
    return {"labels": [float(n) for n in N_LABELS], **means}


def trained(
    assembly: Assembly, examples: Sequence[Example], space: LabelSpace, language: str, folder: Path
) -> Pipeline:
    train(examples, space, out=folder, options=TrainingOptions(language=language), assembly=assembly)
    return assembly.pipeline(folder, llm=False)


def accuracy(pipeline: Pipeline, rows: Sequence[SampleRow]) -> float:
    decided = pipeline.run([row.text for row in rows], deadline_s=float("inf"))
    pairs = zip(decided, rows, strict=True)
    return sum(item is not None and item.predicted_label == row.gold for item, row in pairs) / len(rows)


if __name__ == "__main__":
    main()

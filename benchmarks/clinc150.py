"""Training and prediction on CLINC150, and what the pipeline costs beside its embedder.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with fetched weights> python -m benchmarks.clinc150

Trains on the train split, judges on the test split, without language models. Speeds are measured in turns on the same
blocks of texts, so that whatever else the machine does slows both.
"""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

from rich.console import Console
from rich.table import Table

from backend.assembly import Assembly
from backend.core.settings import load_settings
from backend.core.types import Example, Label, LabelSpace
from backend.logs import configure_logs
from backend.pipeline.pipeline import Pipeline
from backend.rows.texts import read_rows
from training.evaluate import Outcome, metrics_of, outcome_of
from training.run import TrainingOptions, train

OOS = "oos"
BLOCK = 1024  # texts handed over at once, as `prelabel predict` does
FOREVER_S = float("inf")


@dataclass(frozen=True, slots=True)
class Speeds:
    outcomes: list[Outcome]
    pipeline: float  # texts/s
    embedder: float  # texts/s


def examples_of(split: str) -> list[Example]:
    path = Path(os.environ["PRELABEL_TEST_DATA"]) / "clinc150_full.jsonl"
    return [Example(row.id, row.text, row.label) for row in read_rows(path, where=f"split={split}", labelled=True)]


def measured(pipeline: Pipeline, assembly: Assembly, examples: list[Example]) -> Speeds:
    """Each block is embedded by the plain model, then decided by the pipeline, which has not seen it."""
    engine = assembly.embedder("en").engine
    outcomes: list[Outcome] = []
    embedding_s = deciding_s = 0.0
    for start in range(0, len(examples), BLOCK):
        block = examples[start : start + BLOCK]
        texts = [example.text for example in block]
        begun = time.perf_counter()
        engine.encode(texts)
        embedded = time.perf_counter()
        decisions = pipeline.run(texts, deadline_s=FOREVER_S)
        deciding_s += time.perf_counter() - embedded
        embedding_s += embedded - begun
        outcomes += [outcome_of(e.id, e.label, d) for e, d in zip(block, decisions, strict=True) if d]
    return Speeds(outcomes, len(examples) / deciding_s, len(examples) / embedding_s)


def main() -> None:
    configure_logs("WARNING")
    assembly = Assembly(load_settings())
    assembly.embedder("en").embed(["loaded before anything is timed"])
    examples = examples_of("train")
    values = sorted({example.label for example in examples} - {OOS})
    space = LabelSpace(tuple(Label(value, value) for value in values), OOS)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        wall, cpu = time.perf_counter(), time.process_time()
        manifest = train(examples, space, out=model, options=TrainingOptions(language="en"), assembly=assembly)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        speeds = measured(assembly.pipeline(model, llm=False), assembly, examples_of("test"))
    metrics = metrics_of(speeds.outcomes, oos_value=OOS)
    table = Table("figure", "value", "wanted", box=None, header_style="bold", pad_edge=False)
    table.add_row("texts trained on", f"{manifest.data.n_examples}", "")
    table.add_row("training, s", f"{wall:.0f} (processor {cpu:.0f})", "at most 240")
    table.add_row("in-scope accuracy", f"{metrics['in_scope_accuracy']:.4f}", "at least 0.97")
    for name in ("accuracy", "macro_f1", "ece", "oos_auroc", "oos_recall_at_95_retention", "coverage_at_target"):
        table.add_row(name, f"{metrics[name]:.4f}", "")
    table.add_row("pipeline, texts/s", f"{speeds.pipeline:.0f}", "")
    table.add_row("embedder alone, texts/s", f"{speeds.embedder:.0f}", "")
    table.add_row("pipeline / embedder", f"{speeds.pipeline / speeds.embedder:.2f}", "at least 0.5")
    Console().print(table)


if __name__ == "__main__":
    main()

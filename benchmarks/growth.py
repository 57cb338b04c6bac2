"""How training, prediction and memory grow with rows and with labels: the curve of the README.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with fetched weights> python -m benchmarks.growth

Texts of CLINC150, with a number where they come again; its 150 intents, or as many labels as asked for: some of them,
or each of them in parts. Only cost is measured. Every point is a process of its own; training includes embedding.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

from rich.console import Console
from rich.table import Table

from backend.assembly import Assembly
from backend.core.settings import load_settings
from backend.core.types import Example
from backend.logs import configure_logs
from benchmarks.datasets import clinc, space_of
from training.run import TrainingOptions, train

ROWS, N_LABELS = (1_000, 3_000, 10_000, 30_000, 100_000), 150
LABELS, N_ROWS = (10, 50, 150, 1_000), 5_000
N_ASKED = 2_000


def point(n_rows: int, n_labels: int) -> dict[str, float]:
    """One training and what it serves."""
    configure_logs("WARNING")
    examples = drawn(clinc("train", oos=False), n_rows, n_labels)
    assembly = Assembly(load_settings())
    assembly.embedder("en").embed(["the weights are loaded"])
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        train(
            examples, space_of(examples), out=Path(folder) / "m", options=TrainingOptions(language="en"),
            assembly=assembly,
        )  # fmt: skip
        trained_s, trained_cpu_s = time.perf_counter() - wall, time.process_time() - cpu
        size = sum(path.stat().st_size for path in (Path(folder) / "m").rglob("*") if path.is_file())
        pipeline = assembly.pipeline(Path(folder) / "m", llm=False)
        texts = [example.text for example in clinc("test", oos=False)[:N_ASKED]]
        pipeline.run(texts[:64], deadline_s=float("inf"))
        wall = time.perf_counter()
        pipeline.run(texts, deadline_s=float("inf"))
        texts_per_s = len(texts) / (time.perf_counter() - wall)
    return {
        "rows": n_rows, "labels": len({example.label for example in examples}), "training, s": round(trained_s),
        "training, processor s": round(trained_cpu_s), "peak, MB": round(_peak_mb()), "folder, MB": round(size / 1e6),
        "texts/s": round(texts_per_s),
    }  # fmt: skip


def drawn(known: Sequence[Example], n_rows: int, n_labels: int) -> list[Example]:
    """So many rows of so many labels; every label has about as many."""
    intents = sorted({example.label for example in known})[:n_labels]
    chosen = [example for example in known if example.label in set(intents)]
    parts = max(1, round(n_labels / len(intents)))
    rows = []
    for at in range(n_rows):
        turn, place = divmod(at, len(chosen))
        place = (place * 7919) % len(chosen)  # all labels from the first rows on
        example = chosen[place]
        label = f"{example.label} {at % parts}" if parts > 1 else example.label
        rows.append(Example(str(at), example.text + (f" #{turn}" if turn else ""), label))
    return rows


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    points = [*((n, N_LABELS) for n in ROWS), *((N_ROWS, n) for n in LABELS)]
    table: Table | None = None
    for n_rows, n_labels in points:
        command = [sys.executable, "-m", "benchmarks.growth", str(n_rows), str(n_labels)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        table = table or Table(*found, box=None, header_style="bold", pad_edge=False)
        table.add_row(*(str(value) for value in found.values()))
    if table is not None:
        Console(width=120).print(table)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(point(int(sys.argv[1]), int(sys.argv[2]))))
    else:
        main()

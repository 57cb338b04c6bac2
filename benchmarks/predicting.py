"""`prelabel predict` on large files, without language models, beside the plain embedder.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with fetched weights> python -m benchmarks.predicting [ROWS]

ROWS is 100,000 where left out; a tenth of it comes first. English is CLINC150 with 150 intents, Russian MASSIVE with
60; texts come again with a number. The command is told with its start, the embedder without, as the mean of before and
after the command, since a machine's speed drifts; both have two cores.
"""

import json
import os
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
from benchmarks.datasets import clinc, massive, space_of
from training.run import TrainingOptions, train

N_ROWS = 100_000
N_EMBEDDED = 4_000  # by the plain embedder, before and after
BLOCK = 1024  # texts handed over at once, as `prelabel predict` does
COLUMNS = ("language", "rows", "s", "texts/s", "plain embedder, texts/s", "ratio", "peak, MB")


def main(n_rows: int) -> None:
    configure_logs("WARNING")
    table = Table(*COLUMNS, box=None, header_style="bold", pad_edge=False)
    assembly = Assembly(load_settings())
    sets = (("en", clinc("train"), clinc("test"), True), ("ru", massive("ru", "train"), massive("ru", "test"), False))
    with tempfile.TemporaryDirectory() as folder:
        for language, known, asked, oos in sets:
            model, options = Path(folder) / language, TrainingOptions(language=language)
            train(known, space_of(known, oos=oos), out=model, options=options, assembly=assembly)
            speeds_of = [embedding(assembly, language, texts_of(asked, N_EMBEDDED))]
            for n in (n_rows // 10, n_rows):
                seconds, peak = predicting(model, texts_of(asked, n), Path(folder))
                speeds_of.append(embedding(assembly, language, texts_of(asked, N_EMBEDDED)))
                plain = (speeds_of[-2] + speeds_of[-1]) / 2
                speeds = (f"{n / seconds:.0f}", f"{plain:.0f}", f"{n / seconds / plain:.2f}")
                row = (language, f"{n:,}", f"{seconds:.0f}", *speeds, f"{peak:.0f}")
                table.add_row(*row)
                print(*row, file=sys.stderr, flush=True)
    Console(width=120).print(table)


def texts_of(examples: Sequence[Example], n: int) -> list[str]:
    places = [divmod(place, len(examples)) for place in range(n)]
    return [examples[at].text + (f" #{turn}" if turn else "") for turn, at in places]


def embedding(assembly: Assembly, language: str, texts: Sequence[str]) -> float:
    """Texts a second."""
    engine = assembly.embedder(language).engine
    engine.encode(texts[:BLOCK])
    begun = time.perf_counter()
    for start in range(0, len(texts), BLOCK):
        engine.encode(texts[start : start + BLOCK])
    return len(texts) / (time.perf_counter() - begun)


def predicting(model: Path, texts: Sequence[str], folder: Path) -> tuple[float, float]:
    """Seconds of the whole command, and the peak of its memory in MB."""
    data, out = folder / "texts.jsonl", folder / "out.jsonl"
    data.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")
    command = [sys.executable, "-m", "backend.cli", "predict", str(data), "--model", str(model), "--out", str(out)]
    begun = time.perf_counter()
    process = subprocess.Popen([*command, "--no-llm", "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} must end with 0, ended with {process.returncode}")
    return time.perf_counter() - begun, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else N_ROWS)

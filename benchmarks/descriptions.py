"""What descriptions written by a local language model bring before anything is labelled.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with fetched weights> python -m benchmarks.descriptions [GGUF]

The model is the embedded profile's first voter, or the one in the file GGUF. Nobody edits what it writes: in service a
person does. No text is trained on; labels are known by their names, and by what was written from the names alone or
from three train texts each. Judged on the test splits; intervals are bootstraps over test texts (95 %).
"""

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

import numpy as np
from rich.console import Console

from backend.assembly import Assembly
from backend.core.descriptions import Description, described
from backend.core.profiles import LOCAL, ModelSpec
from backend.core.settings import load_settings
from backend.core.types import Example, FloatArray, LabelSpace
from backend.logs import configure_logs
from backend.models.writer import LlamaWriter
from backend.pipeline.lexical import Stemmer
from benchmarks.datasets import clinc, massive, space_of
from benchmarks.quality import K_CANDIDATES, Bench, Sheet, self_named
from training.describe import Describer, descriptions_of, subjects_of
from training.wording import Wordings

K = 3  # train texts a label that the model is shown


def written(
    bench: Bench, writer: LlamaWriter, space: LabelSpace, examples: Sequence[Example], language: str, *, k: int
) -> list[Description]:
    """A description a label, as the model left it."""
    subjects = subjects_of(space, examples, bench.assembly.embedder(language), k=k)
    describer = Describer(writer, Wordings(language, k > 0, Stemmer()))
    return descriptions_of([describer.meaning(subject) for subject in subjects], made_by={})


def judged(bench: Bench, space: LabelSpace, asked: Sequence[Example], language: str, name: str) -> FloatArray:
    """(2, n_texts): 1 where the right label is the first, and where it is among the candidates."""
    said = bench.answers(self_named(bench, space, language, name, []), asked)
    found = np.array([said.within(k) for k in (1, K_CANDIDATES)], np.float32)
    bench.sheet.row(f"{name}: top 1", found[0])
    bench.sheet.row(f"{name}: top {K_CANDIDATES}", found[1])
    return found


def part(bench: Bench, writer: LlamaWriter, title: str, language: str, splits: Sequence[list[Example]]) -> None:
    known, asked = splits
    space = space_of(known)
    plain = judged(bench, space, asked, language, f"{title}, names only")
    for k, shown in ((0, "from names alone"), (K, f"from {K} texts each")):
        began = time.perf_counter()
        descriptions = written(bench, writer, space, known, language, k=k)
        seconds = time.perf_counter() - began
        name = f"{title}, written {shown}"
        for gained, k_found in zip(
            judged(bench, described(space, descriptions), asked, language, name) - plain, (1, K_CANDIDATES), strict=True
        ):
            bench.sheet.row(f"{name}: gain of top {k_found}", gained)
        bench.sheet.say(f"{name}: s a label", f"{seconds / len(space):.1f}")
        n_unfounded = sum(bool(each.not_in_examples) for each in descriptions)
        bench.sheet.say(f"{name}: with words not shown", f"{n_unfounded} of {len(space)}")


def main() -> None:
    configure_logs("WARNING")
    assembly = Assembly(load_settings())
    spec = ModelSpec(LOCAL, f"file:{sys.argv[1]}") if sys.argv[1:] else assembly.profile().local_voter
    writer = assembly.writer(spec)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(assembly, Path(folder), Sheet())
        part(bench, writer, "CLINC150", "en", [clinc(split, oos=False) for split in ("train", "test")])
        part(bench, writer, "MASSIVE-ru", "ru", [massive("ru", split) for split in ("train", "test")])
    Console().print(f"written by {writer.name}", bench.sheet.table, sep="\n")


if __name__ == "__main__":
    main()

"""What descriptions written by a local language model bring before anything is labelled.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with fetched weights> python -m benchmarks.descriptions [GGUF]

The model is the embedded profile's first voter, or the one in the file GGUF; nobody edits what it writes, as a person
would. No text is trained on but in the last row: labels are known by names, by what was written from names alone or
from three typical train texts each, or by these texts as they are. Judged on the test splits; gains are against names
only, their intervals bootstraps over test texts (95 %).
"""

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

import numpy as np
from rich.console import Console
from rich.table import Table

from backend.assembly import Assembly
from backend.core.descriptions import Description, described
from backend.core.profiles import LOCAL, ModelSpec
from backend.core.settings import load_settings
from backend.core.types import Example, FloatArray, LabelSpace
from backend.logs import configure_logs
from backend.models.writer import LlamaWriter
from backend.pipeline.lexical import Stemmer
from benchmarks.datasets import clinc, massive, space_of
from benchmarks.quality import K_CANDIDATES, N_BOOTSTRAPS, Bench, Sheet
from training.describe import Describer, Subject, descriptions_of, subjects_of
from training.run import TrainingOptions, train
from training.wording import Wordings

K = 3  # train texts a label that the model is shown
COLUMNS = (
    "labels known by",
    "top 1",
    "gain",
    f"top {K_CANDIDATES}",
    "gain",
    "s a label",
    "labels with words not shown",
)


@dataclass(frozen=True)
class DataSet:
    """One data set, its labels, and the table that it fills."""

    bench: Bench
    table: Table
    title: str
    language: str
    space: LabelSpace
    asked: Sequence[Example]

    def row(
        self, name: str, descriptions: Sequence[Description] = (), known: Sequence[Example] = (),
        *, plain: FloatArray | None = None, more: Sequence[str] = (),
    ) -> FloatArray:  # fmt: skip
        """(2, n_texts): 1 where the right label is the first, and where it is among the candidates."""
        out = self.bench.folder / f"{self.title}, {name}"
        options, space = TrainingOptions(language=self.language), described(self.space, descriptions)
        train(known, space, out=out, options=options, assembly=self.bench.assembly)
        said = self.bench.answers(self.bench.assembly.pipeline(out, llm=False), self.asked)
        found = np.array([said.within(k) for k in (1, K_CANDIDATES)], np.float32)
        gains = ["", ""] if plain is None else [gain_of(row) for row in found - plain]
        cells = [cell for right, gain in zip(found, gains, strict=True) for cell in (f"{right.mean():.3f}", gain)]
        self.table.add_row(f"{self.title}, {name}", *cells, *more)
        return found


def gain_of(differences: FloatArray) -> str:
    """Points, with their interval."""
    draws = np.random.default_rng(0).integers(0, len(differences), (N_BOOTSTRAPS, len(differences)))
    low, high = 100 * np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
    return f"{100 * differences.mean():+.1f} ({low:+.1f} to {high:+.1f})"


def measure(data: DataSet, writer: LlamaWriter, known: Sequence[Example]) -> None:
    plain = data.row("names")
    embedder = data.bench.assembly.embedder(data.language)
    subjects = {k: subjects_of(data.space, known, embedder, k=k) for k in (0, K)}
    for k, name in ((0, "written from names"), (K, f"written from {K} texts")):
        began = time.perf_counter()
        descriptions = written(writer, subjects[k], data.language, with_examples=k > 0)
        speed = f"{(time.perf_counter() - began) / len(data.space):.1f}"
        n_unfounded = sum(bool(each.not_in_examples) for each in descriptions)
        data.row(name, descriptions, plain=plain, more=(speed, f"{n_unfounded} of {len(data.space)}"))
    verbatim = [Description(subject.label.value, "; ".join(subject.examples)) for subject in subjects[K]]
    data.row(f"the {K} texts as hint", verbatim, plain=plain)
    shown = [Example(text, text, subject.label.value) for subject in subjects[K] for text in subject.examples]
    data.row(f"trained on the {K} texts", known=shown, plain=plain)


def written(
    writer: LlamaWriter, subjects: Sequence[Subject], language: str, *, with_examples: bool
) -> list[Description]:
    """A description a label, as the model left it."""
    describer = Describer(writer, Wordings(language, with_examples, Stemmer()))
    return descriptions_of([describer.meaning(subject) for subject in subjects], made_by={})


def main() -> None:
    configure_logs("WARNING")
    assembly = Assembly(load_settings())
    spec = ModelSpec(LOCAL, f"file:{sys.argv[1]}") if sys.argv[1:] else assembly.profile().local_voter
    writer, table = assembly.writer(spec), Table(*COLUMNS, box=None, header_style="bold", pad_edge=False)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(assembly, Path(folder), Sheet())
        for title, language, known, asked in (
            ("CLINC150", "en", clinc("train", oos=False), clinc("test", oos=False)),
            ("MASSIVE-ru", "ru", massive("ru", "train"), massive("ru", "test")),
        ):
            measure(DataSet(bench, table, title, language, space_of(known), asked), writer, known)
    Console(width=140).print(f"written by {writer.name}", table, sep="\n")


if __name__ == "__main__":
    main()

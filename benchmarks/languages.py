"""Every language against a bag of words: `python -m benchmarks.languages [part or language ...]`.

whole    trained on all rows of MASSIVE, of intents and of its 18 scenarios
small    trained on some hundreds, drawn at random: what a set of topics brings
cold     no label and no example: labels' English names for texts of each language, with unlabelled texts and without
told     which language some texts are taken for
The bag of words is a linear SVM on TF-IDF of words and letters, trained on the same rows. Judged on the test split.
`PRELABEL_TEST_DATA` names the folder of the data. With `PRELABEL_VECTORS`, texts are embedded once for all runs.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.sparse import hstack
from scipy.stats import binomtest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from backend.core.settings import load_settings
from backend.core.types import Example, LabelSpace
from backend.logs import configure_logs
from backend.pipeline.clean import clean
from backend.pipeline.language import detect_language
from benchmarks.datasets import DataSet, data_sets
from benchmarks.vectors import KeptAssembly
from training.pool import MAX_POOL
from training.run import TrainingOptions, train

LANGUAGES = ("en", "ru", "de", "zh")
KINDS = ("massive", "scenarios")
SIZES = (100, 300, 701)  # labels of a small training set
DRAWS = 3
TOLD = {1: 20, 3: 20, 10: 10}  # texts: how many draws of so many; each loads the model anew
BAG = (
    {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\w+"},
    {"analyzer": "char_wb", "ngram_range": (1, 4)},
)
Line = tuple[str, ...]


@dataclass(frozen=True)
class Bench:
    assembly: KeptAssembly
    folder: Path
    languages: tuple[str, ...] = LANGUAGES

    def sets(self) -> Iterator[DataSet]:
        for kind in KINDS:
            for language in self.languages:
                yield data_sets()[f"{kind}-{language}"]()

    def ranks(
        self, examples: Sequence[Example], space: LabelSpace, asked: Sequence[Example], pool: Sequence[str] = ()
    ) -> list[int]:
        """Of each asked text's label among the alternatives, 0 for the first; far behind where it is none of them."""
        out = Path(tempfile.mkdtemp(dir=self.folder)) / "model"
        language = detect_language(example.text for example in (*examples, *asked))
        train(examples, space, out=out, options=TrainingOptions(language=language), assembly=self.assembly, pool=pool)
        pipeline = self.assembly.pipeline(out, llm=False)
        decisions = pipeline.run([example.text for example in asked], deadline_s=float("inf"))
        return [
            next((at for at, one in enumerate(said.alternatives) if one.label == example.label), len(space))
            for said, example in zip(decisions, asked, strict=True)
            if said is not None
        ]


def main() -> None:
    configure_logs("WARNING")
    languages = [name for name in LANGUAGES if name in sys.argv[1:]] or LANGUAGES
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(KeptAssembly(load_settings()), Path(folder), tuple(languages))
        for name in [name for name in PARTS if name in sys.argv[1:]] or PARTS:
            title, columns, lines = PARTS[name]
            table = Table(*columns, title=title, box=None, header_style="bold", pad_edge=False)
            for line in lines(bench):
                print(*line, sep="  ", file=sys.stderr, flush=True)
                table.add_row(*line)
            Console(width=120).print(table)


def whole(bench: Bench) -> Iterator[Line]:
    for data in bench.sets():
        ranks = bench.ranks(data.train, data.space, data.test)
        yield data.name, f"{len(data.train):,}", *_against(np.array(ranks) == 0, bag_of_words(data.train, data.test))


def small(bench: Bench) -> Iterator[Line]:
    for data in bench.sets():
        for n in SIZES:
            drawn = [_draw(data.train, n, seed) for seed in range(DRAWS)]
            ours = np.concatenate([np.array(bench.ranks(some, data.space, data.test)) == 0 for some in drawn])
            theirs = np.concatenate([bag_of_words(some, data.test) for some in drawn])
            yield data.name, f"{n:,}", *_against(ours, theirs, DRAWS)


def cold(bench: Bench) -> Iterator[Line]:
    for data in bench.sets():
        for pool in ((), [example.text for example in _draw(data.train, MAX_POOL, 0)]):
            ranks = np.array(bench.ranks([], data.space, data.test, pool))
            first, ten = (f"{np.mean(ranks < k):.3f}" for k in (1, 10))
            yield data.name, f"{len(pool):,}", str(len(data.space)), first, ten


def told(bench: Bench) -> Iterator[Line]:
    others = (data_sets()[name]() for name in ("clinc", "nlupp", "sample-en", "sample-ru"))
    every = (*bench.sets(), *(data for data in others if data.language in bench.languages))
    for data in every:
        for n, draws in TOLD.items():
            found = [detect_language(one.text for one in _draw(data.train, n, seed)) for seed in range(draws)]
            wrong = sorted(set(found) - {data.language})
            yield data.name, str(n), f"{found.count(data.language) / draws:.3f}", ", ".join(wrong)


def bag_of_words(known: Sequence[Example], asked: Sequence[Example]) -> "np.typing.NDArray[np.bool_]":
    """(n_asked,): where a linear SVM on TF-IDF of words and letters is right."""
    texts, questions = ([clean(example.text) for example in part] for part in (known, asked))
    bags = [TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **how).fit(texts) for how in BAG]
    X, Z = (hstack([bag.transform(part) for bag in bags], format="csr") for part in (texts, questions))
    said = LinearSVC(C=0.5).fit(X, [example.label for example in known]).predict(Z)
    return np.asarray(said == np.array([example.label for example in asked], object), np.bool_)


def _against(
    ours: "np.typing.NDArray[np.bool_]", theirs: "np.typing.NDArray[np.bool_]", n_draws: int = 1
) -> tuple[str, str, str, str]:
    """Accuracy with its interval, of as many texts as are asked once, beside the bag of words."""
    n = len(ours) // n_draws
    interval = binomtest(round(ours.mean() * n), n).proportion_ci(method="wilson")
    gain = 100 * (ours.mean() - theirs.mean())
    return f"{ours.mean():.3f}", f"{interval.low:.3f}-{interval.high:.3f}", f"{theirs.mean():.3f}", f"{gain:+.1f}"


def _draw(examples: Sequence[Example], n: int, seed: int) -> list[Example]:
    order = np.random.default_rng(seed).permutation(len(examples))[:n].tolist()
    return [examples[at] for at in order]


JUDGED = ("texts and labels", "trained on", "accuracy", "95 %", "bag of words", "points")
PARTS: Mapping[str, tuple[str, Line, Callable[[Bench], Iterator[Line]]]] = {
    "whole": ("All rows", JUDGED, whole),
    "small": (f"Some rows, mean of {DRAWS} draws", JUDGED, small),
    "cold": (
        "English names, no label", ("texts and labels", "unlabelled", "labels", "accuracy@1", "accuracy@10"), cold,
    ),
    "told": ("The language of some texts", ("texts", "in number", "right", "else taken for"), told),
}  # fmt: skip


if __name__ == "__main__":
    main()

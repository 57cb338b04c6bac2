"""The data sets of the benchmarks, from the folder that PRELABEL_TEST_DATA names, as examples and label spaces."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from backend.core.types import Example, Label, LabelSpace
from backend.labelstudio.schema import label_space
from backend.rows.texts import read_rows
from samples import Sample, load_samples

OOS = "oos"
LANGUAGES = ("en", "ru", "de", "zh")  # of MASSIVE
NLUPP_TEST_FOLDS = range(10)  # of 20: NLU++ comes without splits


@dataclass(frozen=True, slots=True)
class DataSet:
    """Texts with one label each, and the labels."""

    name: str
    language: str
    space: LabelSpace
    train: tuple[Example, ...]  # labels and unlabelled texts are drawn from these
    validation: tuple[Example, ...]  # what a benchmark may choose by; empty where a set is small
    test: tuple[Example, ...]  # only judged on

    def of_labels(self, n: int, *, seed: int) -> "DataSet":
        """The same with `n` of its labels, drawn at random, and their texts."""
        drawn = np.random.default_rng(seed).permutation(len(self.space))[:n]
        labels = tuple(self.space.labels[at] for at in sorted(drawn.tolist()))
        space = replace(self.space, labels=labels)
        kept = {*space.values, *filter(None, [space.oos_value])}
        parts = (self.train, self.validation, self.test)
        train, validation, test = (tuple(one for one in part if one.label in kept) for part in parts)
        return DataSet(f"{self.name}, {n} labels", self.language, space, train, validation, test)


def data_sets() -> Mapping[str, Callable[[], DataSet]]:
    """By name, who reads it: from 10 to 150 labels, in four languages."""
    return {
        "clinc": _clinc_set,
        "clinc-domains": _domains_set,
        **{f"massive-{language}": partial(_massive_set, language) for language in LANGUAGES},
        **{f"scenarios-{language}": partial(_scenarios_set, language) for language in LANGUAGES},
        **{f"sample-{sample.language}": partial(_sample_set, sample) for sample in load_samples()},
        "nlupp": _nlupp_set,
    }


def clinc(split: str, *, oos: bool = True) -> list[Example]:
    """CLINC150: 150 intents of assistants, English; with or without its out-of-scope texts."""
    return [example for example in _read("clinc150_full", split) if oos or example.label != OOS]


def massive(language: str, split: str, *, label: str = "label") -> list[Example]:
    """MASSIVE: 60 intents of assistants, the same texts in English, Russian, German and Chinese (en, ru, de, zh).

    Args:
        label: the column; "scenario" has 18 topics in place of the intents.
    """
    path = _folder() / f"massive_{language}.jsonl"
    if label == "label":
        return _read(f"massive_{language}", split, prefix=f"{language}-")
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [Example(f"{language}-{row['id']}", row["text"], row[label]) for row in rows if row["split"] == split]


def space_of(examples: Iterable[Example], *, oos: bool = False) -> LabelSpace:
    """The labels that occur; their names are all that is known of them."""
    values = sorted({example.label for example in examples} - {OOS})
    return LabelSpace(tuple(Label(value, value) for value in values), OOS if oos else "")


def _clinc_set() -> DataSet:
    splits = (clinc(split, oos=False) for split in ("train", "val", "test"))
    return _split_set("clinc", "en", splits)


def _domains_set() -> DataSet:
    """CLINC150 by the domain of each intent."""
    domains = json.loads((_folder() / "clinc150_domains.json").read_text(encoding="utf-8"))
    of_intent = {intent: domain for domain, intents in domains.items() for intent in intents}
    splits = (clinc(split, oos=False) for split in ("train", "val", "test"))
    named = ([replace(one, label=of_intent[one.label]) for one in split] for split in splits)
    return _split_set("clinc-domains", "en", named)


def _massive_set(language: str) -> DataSet:
    splits = (massive(language, split) for split in ("train", "dev", "test"))
    return _split_set(f"massive-{language}", language, splits)


def _scenarios_set(language: str) -> DataSet:
    splits = (massive(language, split, label="scenario") for split in ("train", "dev", "test"))
    return _split_set(f"scenarios-{language}", language, splits)


def _split_set(name: str, language: str, splits: Iterable[Sequence[Example]]) -> DataSet:
    train, validation, test = map(tuple, splits)
    return DataSet(name, language, space_of(train), train, validation, test)


def _sample_set(sample: Sample) -> DataSet:
    """A sample of the demo by its gold labels; every second text is judged on."""
    rows = tuple(Example(row.id, row.text, row.gold) for row in sample.rows)
    name = f"sample-{sample.language}"
    return DataSet(name, sample.language, label_space(sample.label_config), rows[::2], (), rows[1::2])


def _nlupp_set() -> DataSet:
    """NLU++ banking: the texts that have exactly one of its intents."""
    rows = map(json.loads, (_folder() / "nlupp_banking.jsonl").read_text(encoding="utf-8").splitlines())
    one = [
        (row["fold"] in NLUPP_TEST_FOLDS, Example(str(row["id"]), row["text"], row["labels"][0]))
        for row in rows
        if len(row["labels"]) == 1
    ]
    train = tuple(example for judged, example in one if not judged)
    test = tuple(example for judged, example in one if judged)
    return DataSet("nlupp", "en", space_of((*train, *test)), train, (), test)


def _folder() -> Path:
    return Path(os.environ["PRELABEL_TEST_DATA"])


def _read(name: str, split: str, *, prefix: str = "") -> list[Example]:
    rows = read_rows(_folder() / f"{name}.jsonl", where=f"split={split}", labelled=True)
    return [Example(f"{prefix}{row.id}", row.text, row.label) for row in rows]

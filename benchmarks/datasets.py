"""The data sets of the benchmarks, from the folder that PRELABEL_TEST_DATA names, as examples and label spaces."""

import os
from collections.abc import Sequence
from pathlib import Path

from backend.core.types import Example, Label, LabelSpace
from backend.rows.texts import read_rows

OOS = "oos"


def clinc(split: str, *, oos: bool = True) -> list[Example]:
    """CLINC150: 150 intents of assistants, English; with or without its out-of-scope texts."""
    return [example for example in _read("clinc150_full", split) if oos or example.label != OOS]


def massive(language: str, split: str) -> list[Example]:
    """MASSIVE: 60 intents of assistants, the same texts in English (en) and Russian (ru)."""
    return _read(f"massive_{language}", split, prefix=f"{language}-")


def space_of(examples: Sequence[Example], *, oos: bool = False) -> LabelSpace:
    """The labels that occur; their names are all that is known of them."""
    values = sorted({example.label for example in examples} - {OOS})
    return LabelSpace(tuple(Label(value, value) for value in values), OOS if oos else "")


def _read(name: str, split: str, *, prefix: str = "") -> list[Example]:
    path = Path(os.environ["PRELABEL_TEST_DATA"]) / f"{name}.jsonl"
    rows = read_rows(path, where=f"split={split}", labelled=True)
    return [Example(f"{prefix}{row.id}", row.text, row.label) for row in rows]

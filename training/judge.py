"""Judging a model on examples, and remembering row by row how it went, so that models can be compared in pairs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.core.types import Example
from backend.pipeline.pipeline import Pipeline
from backend.pipeline.stored import HALF
from training.evaluate import Outcome, outcome_of

JUDGED = "judged.jsonl"
GOLD, HOLDOUT, FILE = "gold", "holdout", "file"  # what judges; beside these "out_of_fold" and "none"
FOREVER_S = float("inf")


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcomes of a model, row by row."""

    on: str  # GOLD, HOLDOUT, FILE, "out_of_fold" or "none"
    examples: Sequence[Example]
    outcomes: Sequence[Outcome]  # of the examples, in order


def judge(pipeline: Pipeline, examples: Sequence[Example]) -> list[Outcome]:
    """What a pipeline says about examples; language models are left out, being too slow for every retraining."""
    decisions = pipeline.without_llm().run([example.text for example in examples], deadline_s=FOREVER_S)
    return [
        outcome_of(example.id, example.label, decision)
        for example, decision in zip(examples, decisions, strict=True)
        if decision is not None
    ]


def save_judged(folder: Path, judged: Judged) -> None:
    with (folder / JUDGED).open("w", encoding="utf-8", errors=HALF) as file:
        for example, outcome in zip(judged.examples, judged.outcomes, strict=True):
            file.write(json.dumps({"text": example.text, **asdict(outcome)}, ensure_ascii=False) + "\n")


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """One line of a model's judged.jsonl."""

    example: Example
    outcome: Outcome

    @property
    def predicted(self) -> str:
        return self.outcome.predicted


def read_judged(folder: Path) -> list[JudgedRow]:
    """The rows that a model was judged on; empty where it was not."""
    with (folder / JUDGED).open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [_row(text=row.pop("text"), outcome=Outcome(**row)) for row in rows]


def _row(*, text: str, outcome: Outcome) -> JudgedRow:
    return JudgedRow(Example(outcome.id, text, outcome.label), outcome)

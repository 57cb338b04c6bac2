"""Outcomes for tests, as a model of a stated accuracy would have them."""

from collections.abc import Sequence

import numpy as np

from backend.core.artefacts import Manifest
from backend.core.types import DataFingerprint, Example, Label, LabelSpace
from training.evaluate import Outcome
from training.judge import Judged

NAMES = {
    "en": ("cancel order", "lost card", "opening hours"),
    "ru": ("отменить заказ", "потеряна карта", "часы работы"),
}


def space_of(n_labels: int, language: str = "en", *, oos_value: str = "") -> LabelSpace:
    names = NAMES[language]
    values = [
        f"{names[i % len(names)]} {i // len(names) + 1}" if n_labels > len(names) else names[i] for i in range(n_labels)
    ]
    return LabelSpace(tuple(Label(value, value) for value in values), oos_value)


def manifest_of(space: LabelSpace, **changes: object) -> Manifest:
    fields = {
        "version": "pl-20261121T100000Z-00000000", "created": "", "labels": space, "profile": "embedded",
        "language": "en", "family": "linear", "data": DataFingerprint(1200, len(space), ""), "metrics": {},
        "judged_on": "holdout", "parameters": {}, "seed": 0, "code_version": "0",
    }  # fmt: skip
    return Manifest(**{**fields, **changes})  # type: ignore[arg-type]


def judged_of(space: LabelSpace, n: int, *, seed: int = 0, share_oos: float = 0.0) -> Judged:
    """Calibrated: a text's confidence is its chance of being right; some labels are harder than others."""
    rng = np.random.default_rng(seed)
    values = space.values
    examples: list[Example] = []
    outcomes: list[Outcome] = []
    for row in range(n):
        at = row % len(values)
        is_oos = bool(space.oos_value) and rng.random() < share_oos
        label = space.oos_value if is_oos else values[at]
        confidence = float(1 - rng.beta(0.5, 6.0 if at % 7 else 2.0))
        right = rng.random() < confidence
        said = label if right else values[(at + 1 + int(rng.integers(2))) % len(values)]
        p_oos = float(rng.beta(4, 2) if is_oos else rng.beta(1, 9))
        stage = "retrieve" if confidence > 0.99 else "classify"
        examples.append(Example(str(row), f"{label}: {'очень ' * (row % 4)}text number {row}", label))
        outcomes.append(Outcome(str(row), label, said, confidence, p_oos, confidence < 0.3, stage, 1.5 + row % 3))
    return Judged("holdout", examples, outcomes)


def outcomes_like(hits: Sequence[bool]) -> list[Outcome]:
    """Outcomes of one label, the most confident first."""
    n = len(hits)
    return [Outcome(str(i), "a", "a" if hit else "b", 1 - i / (2 * n), 0.0) for i, hit in enumerate(hits)]

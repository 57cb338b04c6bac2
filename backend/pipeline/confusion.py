"""Which labels turned out right when a voter preferred one of them, beyond how often that voter is right at all.

A label that a voter says too readily, or mistakes for another one, is known by the examples that it was asked about in
training. Where there are none of a label, nothing is known and nothing is said.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from backend.core.types import FloatArray, LabelSpace
from backend.pipeline.evidence import CONFUSED, VOTE, Feature

BELIEF = 5.0  # examples' worth of belief that a voter errs alike about all labels

Counts = Mapping[str, Mapping[str, int]]  # examples, by the label that was preferred and then the right one


@dataclass(frozen=True)
class Confusion:
    """What one voter preferred of some examples, and what was right."""

    counts: Counts = field(default_factory=dict)

    @classmethod
    def of(cls, preferred: Sequence[str], right: Sequence[str]) -> "Confusion":
        """From labels of the same examples, in the same order."""
        counts: dict[str, Counter[str]] = {}
        for said, label in zip(preferred, right, strict=True):
            counts.setdefault(said, Counter())[label] += 1
        return cls({said: dict(sorted(of_it.items())) for said, of_it in sorted(counts.items())})

    def without(self, preferred: str, right: str) -> "Confusion":
        """The same, had one of its examples not been asked about."""
        of_it = self.counts[preferred]
        return Confusion({**self.counts, preferred: {**of_it, right: of_it[right] - 1}})

    @cached_property
    def _accuracy(self) -> float:
        """Of all that was preferred; one half where nothing was."""
        n_right = sum(of_it.get(said, 0) for said, of_it in self.counts.items())
        n_asked = sum(sum(of_it.values()) for of_it in self.counts.values())
        return (n_right + 1) / (n_asked + 2)

    def shares(self, preferred: str, candidates: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """How often each candidate is right where one of them is preferred, and how often by the voter's average.

        (n_candidates,) each.
        """
        accuracy = self._accuracy
        others = (1 - accuracy) / max(len(candidates) - 1, 1)
        average = np.array([accuracy if label == preferred else others for label in candidates], np.float32)
        of_it = self.counts.get(preferred, {})
        found = np.array([of_it.get(label, 0) for label in candidates], np.float32)
        shares = (found + BELIEF * average) / np.float32(sum(of_it.values()) + BELIEF)
        return np.asarray(shares, np.float32), average


def preferred(vote: Feature, space: LabelSpace) -> list[str]:
    """The label that a voter holds likeliest of each text; empty where it holds none."""
    held = np.where(vote.present, vote.values, -np.inf)[:, : len(space)]
    return [space.values[int(row.argmax())] if np.isfinite(row).any() else "" for row in held]


def confused(vote: Feature, space: LabelSpace, known: Sequence[Confusion]) -> Feature:
    """How many times likelier each candidate is than by the voter's average, in natural logarithms.

    Args:
        vote: what the voter says of the labels.
        known: of the voter, one a text.
    """
    values, raw = np.zeros(vote.values.shape, np.float32), np.zeros(vote.values.shape, np.float32)
    present = np.zeros(vote.present.shape, np.bool_)
    for row, (said, confusion) in enumerate(zip(preferred(vote, space), known, strict=True)):
        if said and any(confusion.counts.get(said, {}).values()):
            columns = np.flatnonzero(vote.present[row])
            shares, average = confusion.shares(said, [space.values[column] for column in columns])
            raw[row, columns], values[row, columns] = shares, np.log(shares / average)
            present[row, columns] = True
    return Feature(CONFUSED + vote.name.removeprefix(VOTE), values, raw, present)

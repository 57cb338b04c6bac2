"""What the stages found out about a few texts, in one frozen record that grows by appending.

Decides nothing: it only keeps findings side by side, with a mask of what is missing, for the one fuser to read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.core.types import STAGES, BoolArray, FloatArray, IntArray, LabelSpace, Neighbour, Stage

NO_STAGE = -1
VOTE, NONE = "vote:", "none:"  # features by voter, whose name follows: what it says of a label, and of none of them
CONFUSED = "confused:"  # the same: what is right where it says what it says


@dataclass(frozen=True, slots=True)
class Feature:
    """One finding about every pair of a text and a column; columns are the labels, then out-of-scope."""

    name: str
    values: FloatArray  # (n_rows, n_labels + 1), on the scale that the fuser's weights are made for; larger is likelier
    raw: FloatArray  # (n_rows, n_labels + 1), as the stage measured it
    present: BoolArray  # (n_rows, n_labels + 1); elsewhere values and raw mean nothing


@dataclass(frozen=True, slots=True)
class Finding:
    """All that one level found about the rows it looked at."""

    stage: Stage
    features: tuple[Feature, ...]
    vectors: FloatArray | None = None  # (n_rows, dim), unit length
    neighbours: tuple[tuple[Neighbour, ...], ...] = ()
    tokens: IntArray | None = None  # (n_rows,), evaluated by LLMs


@dataclass(frozen=True, slots=True)
class Evidence:
    """Findings about a chunk of texts."""

    texts: tuple[str, ...]  # cleaned
    labels: LabelSpace
    names: tuple[str, ...]  # of the features, in the order in which they were appended
    values: FloatArray  # (n_texts, n_labels + 1, n_features)
    raw: FloatArray  # (n_texts, n_labels + 1, n_features)
    present: BoolArray  # (n_texts, n_labels + 1, n_features)
    vectors: FloatArray  # (n_texts, dim), computed once and shared; (n_texts, 0) before any level embedded
    neighbours: tuple[tuple[Neighbour, ...], ...]  # nearest first
    stages: IntArray  # (n_texts,), index into STAGES of the last level that looked; NO_STAGE before
    tokens: IntArray  # (n_texts,)

    @classmethod
    def of(cls, texts: Sequence[str], labels: LabelSpace) -> "Evidence":
        """No findings yet."""
        n, columns = len(texts), len(labels) + 1
        return cls(
            texts=tuple(texts), labels=labels, names=(),
            values=np.zeros((n, columns, 0), np.float32), raw=np.zeros((n, columns, 0), np.float32),
            present=np.zeros((n, columns, 0), np.bool_), vectors=np.zeros((n, 0), np.float32),
            neighbours=((),) * n, stages=np.full(n, NO_STAGE, np.int64), tokens=np.zeros(n, np.int64),
        )  # fmt: skip

    @classmethod
    def joined(cls, parts: Sequence["Evidence"]) -> "Evidence":
        """Findings about chunks, as if it had been one; all have the same features."""
        arrays = ("values", "raw", "present", "vectors", "stages", "tokens")
        stacked = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
        return replace(
            parts[0], texts=tuple(text for part in parts for text in part.texts),
            neighbours=tuple(near for part in parts for near in part.neighbours), **stacked,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def readable(self) -> BoolArray:
        """(n_texts,): holds a letter or a digit; nothing can be said about the others."""
        return np.array([any(character.isalnum() for character in text) for text in self.texts], np.bool_)

    def feature(self, name: str) -> Feature | None:
        """A finding by name, or None where no level appended it."""
        if name not in self.names:
            return None
        at = self.names.index(name)
        return Feature(name, self.values[:, :, at], self.raw[:, :, at], self.present[:, :, at])

    def append(self, finding: Finding, *, where: BoolArray) -> "Evidence":
        """The evidence with a level's finding about the rows in `where`, in their order."""
        rows = np.flatnonzero(where)
        stages, tokens = self.stages.copy(), self.tokens.copy()
        stages[rows] = STAGES.index(finding.stage)
        if finding.tokens is not None:
            tokens[rows] += finding.tokens
        grown = self
        for feature in finding.features:
            grown = grown._with(feature, rows)
        return replace(
            grown, stages=stages, tokens=tokens,
            vectors=self.vectors if finding.vectors is None else _scattered(finding.vectors, rows, len(self)),
            neighbours=_replaced(self.neighbours, finding.neighbours, rows),
        )  # fmt: skip

    def before(self, name: str) -> "Evidence":
        """What retrieval alone had found, without the feature `name` and those appended after it."""
        n = self.names.index(name)
        return replace(
            self, names=self.names[:n], values=self.values[:, :, :n], raw=self.raw[:, :, :n],
            present=self.present[:, :, :n], stages=np.full(len(self), STAGES.index("retrieve"), np.int64),
        )  # fmt: skip

    def take(self, where: BoolArray) -> "Evidence":
        """Only the rows in `where`."""
        rows = np.flatnonzero(where)
        return replace(
            self, texts=tuple(self.texts[row] for row in rows), values=self.values[rows], raw=self.raw[rows],
            present=self.present[rows], vectors=self.vectors[rows], stages=self.stages[rows], tokens=self.tokens[rows],
            neighbours=tuple(self.neighbours[row] for row in rows),
        )  # fmt: skip

    def _with(self, feature: Feature, rows: IntArray) -> "Evidence":
        def grown(stack: npt.NDArray[Any], layer: npt.NDArray[Any]) -> npt.NDArray[Any]:
            whole = np.zeros(stack.shape[:2], stack.dtype)
            whole[rows] = layer
            return np.concatenate([stack, whole[:, :, None]], axis=2)

        return replace(
            self, names=(*self.names, feature.name), values=grown(self.values, feature.values),
            raw=grown(self.raw, feature.raw), present=grown(self.present, feature.present),
        )  # fmt: skip


def _scattered(vectors: FloatArray, rows: IntArray, n_texts: int) -> FloatArray:
    whole = np.zeros((n_texts, vectors.shape[1]), np.float32)
    whole[rows] = vectors
    return whole


def _replaced(
    old: tuple[tuple[Neighbour, ...], ...], new: tuple[tuple[Neighbour, ...], ...], rows: IntArray
) -> tuple[tuple[Neighbour, ...], ...]:
    if not new:
        return old
    whole = list(old)
    for row, neighbours in zip(rows, new, strict=True):
        whole[row] = neighbours
    return tuple(whole)

"""Reranking: a model that reads a text and a candidate together, costlier and better than retrieval.

Decides what is read for a candidate, how many stay and what becomes of their relevance: two features. It decides
nothing about the text. `NoReranker` stands where a profile has no cross-encoder.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from backend.core.deadline import Deadline
from backend.core.types import BoolArray, FloatArray
from backend.pipeline.evidence import Evidence, Feature

N_RERANKED = 10  # candidates whose relevance counts; the rest of those that were read are known to be worse
THRESHOLD = 1e-6  # best relevance under which no candidate is about the text at all
CHUNK = 32  # pairs between two looks at the deadline: a quarter of a second of a small model

TextOf = Callable[[str], str]  # an example's id -> its cleaned text, empty where the id is not known


class Reranker(Protocol):
    """Judges the candidates of retrieval; its relevance (0-1) is a feature like any other."""

    def rerank(
        self, evidence: Evidence, text_of: TextOf, *, where: BoolArray, deadline: Deadline
    ) -> tuple[Feature, ...]:
        """Features over the rows in `where`, in their order; present for the candidates that it judged."""
        ...


class NoReranker:
    """Reads nothing and adds nothing."""

    def rerank(
        self, _evidence: Evidence, _text_of: TextOf, *, where: BoolArray, deadline: Deadline  # noqa: ARG002
    ) -> tuple[Feature, ...]:  # fmt: skip
        return ()


class RelevanceModel(Protocol):
    """A cross-encoder; see backend.models.reranker."""

    def relevance(self, pairs: Sequence[tuple[str, str]]) -> FloatArray:
        """(n_pairs,), 0-1: how relevant the second text of each pair is to the first."""
        ...


@dataclass(frozen=True)
class CrossEncoderReranker:
    """A cross-encoder reads each candidate's name, description and nearest example beside the text."""

    model: RelevanceModel
    k: int = N_RERANKED
    threshold: float = THRESHOLD

    def rerank(
        self, evidence: Evidence, text_of: TextOf, *, where: BoolArray, deadline: Deadline
    ) -> tuple[Feature, ...]:
        """`relevance` of the best k candidates, and `irrelevance` in the column of out-of-scope: 1 where even the best
        is under the threshold, 0 elsewhere. Both are missing for texts that the deadline cut off."""
        candidates = evidence.feature("retrieval")
        rows = np.flatnonzero(where)
        if candidates is None or not len(rows):
            return ()
        found = np.full((len(rows), len(evidence.labels) + 1), np.nan, np.float32)
        asked = [(at, column) for at, row in enumerate(rows) for column in _columns(candidates, int(row))]
        pairs = [(evidence.texts[rows[at]], _passage(evidence, int(rows[at]), column, text_of)) for at, column in asked]
        scores = self._scores(pairs, deadline)
        for (at, column), score in zip(asked, scores, strict=False):
            found[at, column] = score
        found[[at for at, _ in asked[len(scores) :]]] = np.nan  # of whom only some were read there is no best
        return self._features(found)

    def _scores(self, pairs: Sequence[tuple[str, str]], deadline: Deadline) -> list[float]:
        """Relevance of as many pairs as there is time for: a chunk is not begun that would end too late."""
        scores: list[float] = []
        took_s = 0.0
        while len(scores) < len(pairs) and deadline.left_s > took_s:
            since = time.monotonic()
            scores.extend(self.model.relevance(pairs[len(scores) : len(scores) + CHUNK]).tolist())
            took_s = time.monotonic() - since
        return scores

    def _features(self, found: FloatArray) -> tuple[Feature, ...]:
        read = ~np.isnan(found)
        raw = np.where(read, found, 0.0).astype(np.float32)
        best = np.argsort(np.where(read, -found, np.inf), axis=1, kind="stable")[:, : self.k]
        kept = np.zeros(read.shape, np.bool_)
        np.put_along_axis(kept, best, True, axis=1)
        nothing = np.zeros(raw.shape, np.float32)
        nothing[:, -1] = raw.max(axis=1) < self.threshold
        reached = np.zeros(read.shape, np.bool_)
        reached[:, -1] = read.any(axis=1)
        return Feature("relevance", raw, raw, kept & read), Feature("irrelevance", nothing, nothing, reached)


def _columns(candidates: Feature, row: int) -> list[int]:
    """The columns of a text's candidates that are labels, in the order of the label config."""
    columns: list[int] = np.flatnonzero(candidates.present[row, :-1]).tolist()
    return columns


def _passage(evidence: Evidence, row: int, column: int, text_of: TextOf) -> str:
    """What stands for a candidate: name, description and, where there is one, the nearest example."""
    label = evidence.labels.labels[column]
    near = (text_of(found.example_id) for found in evidence.neighbours[row] if found.label == label.value)
    example = next(near, "")
    return f"{label.document}\n{example}" if example else label.document

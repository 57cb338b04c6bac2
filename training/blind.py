"""Evidence about examples as it would be if the pipeline had never seen them.

Everything that is learned from examples is computed from the others alone: neighbours and words by leaving out the
example's group (texts that say the same), the classifier by its closed form (training/fit.py). Leaving out the
example's whole label instead makes a text that is out of scope of what is left, of which there are as many as examples.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from backend.core.types import BoolArray, Example, FloatArray, IntArray, LabelSpace, Neighbour
from backend.pipeline.evidence import Evidence, Finding
from backend.pipeline.levels import Retrieval, classified
from backend.pipeline.retrieve import HIDDEN, K_NEIGHBOURS, Retrieved, columns_of, leading
from training.fit import Fitted, Rows, rows_of

CHUNK = 256  # examples compared with all at once
Left = Literal["group", "label"]


@dataclass(frozen=True, slots=True)
class Material:
    """The examples of one training with their vectors, computed once."""

    space: LabelSpace
    examples: tuple[Example, ...]  # all usable
    labels: FloatArray  # (n_labels, dim), of the labels' own words
    vectors: FloatArray  # (n_examples, dim)

    @property
    def values(self) -> tuple[str, ...]:
        """The value of each column."""
        return (*self.space.values, self.space.oos_value)

    @property
    def columns(self) -> IntArray:
        """(n_examples,): the column of each example's label."""
        return columns_of(self.examples, self.space)

    @property
    def rows(self) -> Rows:
        return rows_of(self.space, self.examples, self.vectors)


@dataclass(frozen=True)
class Blindfold:
    """What knows all examples, and forgets those that it must not know."""

    material: Material
    rows: Rows
    retrieval: Retrieval  # over all examples
    fitted: Fitted | None  # None where there is no classifier

    def evidence(self, asked: IntArray, *, without: Left) -> Evidence:
        """About the examples in `asked`, in their order, without the group or the label of each."""
        parts = [self._chunk(asked[start : start + CHUNK], without) for start in range(0, len(asked), CHUNK)]
        return Evidence.joined(parts or [self._chunk(asked, without)])

    def _chunk(self, asked: IntArray, without: Left) -> Evidence:
        rows = self.rows.take(asked)
        everywhere = np.ones(len(asked), np.bool_)
        found = self._found(rows, without)
        ruled = self.retrieval.keywords.append(rows.texts, len(self.material.values))
        features = (*self.retrieval.features(found), *ruled)
        finding = Finding("retrieve", features, rows.vectors, found.neighbours)
        evidence = Evidence.of(rows.texts, self.material.space).append(finding, where=everywhere)
        if self.fitted is None:
            return evidence
        scores = (self.fitted.blind if without == "group" else self.fitted.unknown)[asked].copy()
        if not np.any(self.rows.columns == len(self.material.space)):
            scores[:, -1] = np.nan
        if without == "label":
            scores[np.arange(len(asked)), rows.columns] = np.nan
        return evidence.append(Finding("classify", (classified(scores),)), where=everywhere)

    def _found(self, rows: Rows, without: Left) -> Retrieved:
        """As an index finds it, by comparing with every example."""
        every, lead = self.rows, self.retrieval.embedder.lead
        hidden = rows.groups[:, None] == every.groups[None, :]
        if without == "label":
            hidden |= rows.columns[:, None] == every.columns[None, :]
        cosines = np.where(hidden, HIDDEN, rows.vectors @ every.vectors.T).astype(np.float32)
        names = np.einsum("td,ld->tl", leading(rows.vectors, lead), leading(self.material.labels, lead))
        if without == "label":
            of_labels = np.flatnonzero(rows.columns < names.shape[1])
            names[of_labels, rows.columns[of_labels]] = np.nan
        best = np.full((len(rows), len(self.material.values)), HIDDEN, np.float32)
        for column in np.unique(every.columns):
            best[:, column] = cosines[:, every.columns == column].max(axis=1)
        best[:, :-1] = np.fmax(best[:, :-1], np.where(np.isnan(names), HIDDEN, names))
        best[best <= HIDDEN] = np.nan
        return Retrieved(names, best, self._words(rows, hidden), self._neighbours(cosines))

    def _words(self, rows: Rows, hidden: BoolArray) -> FloatArray:
        index = self.retrieval.index
        return np.array(
            [
                index.trained.lexical(index.stemmer.stems(text), len(self.material.values), hidden=np.flatnonzero(of))
                for text, of in zip(rows.texts, hidden, strict=True)
            ], np.float32,
        ).reshape(len(rows), len(self.material.values))  # fmt: skip

    def _neighbours(self, cosines: FloatArray) -> tuple[tuple[Neighbour, ...], ...]:
        values, examples = self.material.values, self.material.examples
        k = min(K_NEIGHBOURS, cosines.shape[1])
        if not k:
            return ((),) * len(cosines)
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        found: list[tuple[Neighbour, ...]] = []
        for row, near in zip(cosines, nearest, strict=True):
            near = [at for at in near[np.argsort(-row[near], kind="stable")].tolist() if row[at] > HIDDEN]
            found.append(
                tuple(Neighbour(examples[at].id, values[self.rows.columns[at]], float(row[at])) for at in near)
            )
        return tuple(found)

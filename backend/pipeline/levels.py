"""The cost levels of the pipeline: rules and retrieval, then the classifier, then the language models.

Each looks at the rows it is given and turns what it sees into features; none of them decides.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np

from backend.core.deadline import Deadline
from backend.core.types import BoolArray, Example, FloatArray, IntArray, Neighbour
from backend.pipeline.evidence import Evidence, Feature, Finding
from backend.pipeline.keywords import KeywordRules
from backend.pipeline.rerank import NoReranker, Reranker
from backend.pipeline.retrieve import Embedder, Index, Retrieved, embed_texts

N_CANDIDATES = 20  # labels a text that retrieval hands on; what a reranker can read at once
WEIGHT_LEXICAL, WEIGHT_DENSE = 0.3, 0.7  # words find names and codes, meaning finds paraphrases and matters more
K_NEAR = 5  # nearest examples of labels whose mean distance tells whether a text resembles any
SCORE_SLOPE = 20.0  # of the softplus that keeps the logarithm of a score under 1/20 finite
NEAR = 4.0  # spreads above unrelated texts: an example as near as that counts 1, a copy about 150


class Level(Protocol):
    """A stage of growing cost."""

    def append(self, evidence: Evidence, probs: FloatArray, *, where: BoolArray, deadline: Deadline) -> Evidence:
        """The evidence with what this level found about the rows in `where`.

        Args:
            probs: (n_texts, n_labels + 1), what the levels before make of it.
        """
        ...


Timed = Callable[[str], AbstractContextManager[object]]  # given a stage's name, times what is done in the context


def untimed(_stage: str) -> AbstractContextManager[object]:
    """Where nobody wants to know how long a stage takes."""
    return nullcontext()


class Learning(Level, Protocol):
    """A level that examples accepted since the training correct."""

    def with_live(self, texts: Sequence[str], vectors: FloatArray, columns: IntArray) -> "Learning":
        """The same level with these examples in place of those of an earlier call.

        Args:
            texts: cleaned.
            vectors: (n_texts, dim).
            columns: (n_texts,), of their labels; the last column is out-of-scope.
        """
        ...


class NoLevel:
    """A stage that is switched off."""

    def append(self, evidence: Evidence, probs: FloatArray, *, where: BoolArray, deadline: Deadline) -> Evidence:  # noqa: ARG002
        return evidence

    def with_live(self, texts: Sequence[str], vectors: FloatArray, columns: IntArray) -> "NoLevel":  # noqa: ARG002
        return self


@dataclass(frozen=True)
class Retrieval:
    """Keyword rules, and retrieval over labels and examples."""

    embedder: Embedder
    index: Index
    keywords: KeywordRules = field(default_factory=KeywordRules)
    reranker: Reranker = field(default_factory=NoReranker)
    n_candidates: int = N_CANDIDATES
    weight_lexical: float = WEIGHT_LEXICAL
    weight_dense: float = WEIGHT_DENSE
    timed: Timed = untimed

    def append(self, evidence: Evidence, probs: FloatArray, *, where: BoolArray, deadline: Deadline) -> Evidence:  # noqa: ARG002
        """As every level.

        Raises:
            DeadlineError: the texts were not embedded in time.
        """
        rows = np.flatnonzero(where)
        if not len(rows):
            return evidence
        texts = [evidence.texts[row] for row in rows]
        with self.timed("keywords"):
            ruled = self.keywords.append(texts, len(evidence.labels) + 1)
        with self.timed("retrieve"):
            vectors = embed_texts(texts, self.embedder, self.index.labels, deadline=deadline)
            found = self.index.search(texts, vectors, lead=self.embedder.lead)
            finding = Finding("retrieve", (*self.features(found), *ruled), vectors, found.neighbours)
        return evidence.append(finding, where=where)

    @property
    def reranking(self) -> Level:
        """What reads the candidates that were found, as a level of its own: it has less time."""
        return NoLevel() if isinstance(self.reranker, NoReranker) else Reranking(self.reranker, self.index, self.timed)

    def with_live(self, examples: Sequence[Example]) -> "Retrieval":
        return replace(self, index=self.index.with_live(examples, self.embedder))

    def features(self, found: Retrieved) -> tuple[Feature, ...]:
        """Similarities in spreads above unrelated texts, words in 0-1, and their mixture for the candidates."""
        return (*self._scores(found), *self._neighbours(found.neighbours))

    def _scores(self, found: Retrieved) -> tuple[Feature, ...]:
        known = ~np.isnan(found.cosines)
        cosines = np.where(known, found.cosines, 0.0).astype(np.float32)
        names = np.pad(found.names, ((0, 0), (0, 1)), constant_values=np.nan)
        named = ~np.isnan(names)
        names = np.where(named, names, 0.0).astype(np.float32)
        words = min_max(found.lexical, known)
        score = self.weight_lexical * words + self.weight_dense * min_max(cosines, known)
        return (
            Feature("names", self._affinity(names), names, named),
            Feature("dense", self._affinity(cosines), cosines, known),
            Feature("lexical", words, found.lexical, known),
            Feature("retrieval", score, score, best_k(np.where(known, score, -1.0), self.n_candidates) & known),
        )

    def _affinity(self, cosines: FloatArray) -> FloatArray:
        return np.asarray((cosines - self.embedder.floor) / self.embedder.spread, np.float32)

    def _neighbours(self, neighbours: Sequence[Sequence[Neighbour]]) -> tuple[Feature, ...]:
        """How much the nearest examples speak for their columns, and how near those of labels are; missing without.

        An example counts by how near it is, whatever the others do: the first examples of a project are the nearest
        ones of every text, and must say nothing about those that they do not resemble.
        """
        space = self.index.space
        columns = {value: column for column, value in enumerate((*space.values, space.oos_value))}
        weight = np.zeros((len(neighbours), len(space) + 1), np.float32)
        near = np.zeros_like(weight)
        for row, examples in enumerate(neighbours):
            affinities = [(each.similarity - self.embedder.floor) / self.embedder.spread for each in examples]
            at = [columns[each.label] for each in examples]
            np.add.at(weight[row], at, np.exp(np.array(affinities) - NEAR))
            of_labels = [affinity for affinity, column in zip(affinities, at, strict=True) if column < len(space)]
            near[row] = np.mean(of_labels[:K_NEAR]) if of_labels else np.nan
        known = np.zeros(weight.shape, np.bool_)
        known[[bool(examples) for examples in neighbours]] = True
        some = ~np.isnan(near)
        distance = np.where(some, near, 0.0).astype(np.float32)
        return (
            Feature("neighbours", np.log1p(weight), weight, known),
            Feature("near", distance, distance, some),
        )


@dataclass(frozen=True)
class Reranking:
    """A model that reads a text and its candidates together."""

    reranker: Reranker
    index: Index
    timed: Timed = untimed

    def append(self, evidence: Evidence, probs: FloatArray, *, where: BoolArray, deadline: Deadline) -> Evidence:  # noqa: ARG002
        with self.timed("rerank"):
            judged = self.reranker.rerank(evidence, self.index.text_of, where=where, deadline=deadline)
        return evidence.append(Finding("retrieve", judged), where=where) if judged else evidence


class Classifier(Protocol):
    """A model of examples, and of what labels are called."""

    def predict(self, texts: Sequence[str], vectors: FloatArray) -> FloatArray:
        """(n_texts, n_labels + 1) scores, about 1 for sure and 0 for not; NaN for columns that it knows nothing of."""
        ...

    def with_live(self, texts: Sequence[str], vectors: FloatArray, columns: IntArray) -> Self:
        """The same classifier as these examples correct it, in place of those of an earlier call."""
        ...


@dataclass(frozen=True)
class Classification:
    """The trained classifier, corrected by what was accepted since."""

    classifier: Classifier
    timed: Timed = untimed

    def append(self, evidence: Evidence, probs: FloatArray, *, where: BoolArray, deadline: Deadline) -> Evidence:  # noqa: ARG002
        rows = np.flatnonzero(where)
        if not len(rows):
            return evidence
        with self.timed("classify"):
            scores = self.classifier.predict([evidence.texts[row] for row in rows], evidence.vectors[rows])
        return evidence.append(Finding("classify", (classified(scores),)), where=where)

    def with_live(self, texts: Sequence[str], vectors: FloatArray, columns: IntArray) -> "Classification":
        return replace(self, classifier=self.classifier.with_live(texts, vectors, columns))


def classified(scores: FloatArray) -> Feature:
    """A classifier's scores as logarithms: the better of two good ones says less than the better of two bad ones."""
    known = ~np.isnan(scores)
    raw = np.where(known, scores, 0.0).astype(np.float32)
    values = np.log(np.logaddexp(0.0, SCORE_SLOPE * raw)) - np.log(SCORE_SLOPE)
    return Feature("classifier", np.where(known, values, 0.0).astype(np.float32), raw, known)


def min_max(scores: FloatArray, known: BoolArray) -> FloatArray:
    """Scores of each row stretched to 0-1 over the known columns; 0 where they are all the same."""
    low = np.where(known, scores, np.inf).min(axis=1, keepdims=True)
    high = np.where(known, scores, -np.inf).max(axis=1, keepdims=True)
    width = high - low
    stretched = (scores - low) / np.where(width > 0, width, 1.0)
    return np.where(known & (width > 0), stretched, 0.0).astype(np.float32)


def best_k(scores: FloatArray, k: int) -> BoolArray:
    """Where the k highest scores of each row are."""
    chosen = np.zeros(scores.shape, np.bool_)
    np.put_along_axis(chosen, np.argsort(-scores, axis=1, kind="stable")[:, :k], True, axis=1)
    return chosen

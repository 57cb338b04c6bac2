"""Retrieval: which labels and which accepted examples resemble a text, by words (BM25) and by meaning (FAISS).

Documents are label names with their hints, and examples. Examples that arrive between trainings lie in a second, small
segment which is rebuilt at once; the first one never changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import bm25s
import faiss
import numpy as np

from backend.core.types import Example, FloatArray, IntArray, LabelSpace, Neighbour
from backend.pipeline.clean import clean
from backend.pipeline.lexical import Stemmer

K_NEIGHBOURS = 25  # nearest examples whose labels count
NONE_HIDDEN: IntArray = np.zeros(0, np.int64)
K_SEARCHED = 100  # examples fetched a text: enough for the neighbours and for the best example of each likely label


class Embedder(Protocol):
    """Texts to vectors of unit length."""

    @property
    def dim(self) -> int: ...

    @property
    def floor(self) -> float:
        """Mean cosine between unrelated texts, which differs much between models."""
        ...

    @property
    def spread(self) -> float:
        """Standard deviation of the cosine between unrelated texts."""
        ...

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """(n_texts, dim)."""
        ...


@dataclass(frozen=True, slots=True)
class Document:
    """Something to find: a label's own words (no id) or an example's text."""

    column: int  # of its label; the last one is out-of-scope
    text: str  # cleaned
    id: str = ""


@dataclass(frozen=True)
class Segment:
    """An index that is built once. Its documents lie sorted by column, so that a label's best is one reduction."""

    documents: tuple[Document, ...]
    vectors: FloatArray  # (n_documents, dim)
    _dense: Any
    _lexical: Any  # bm25s.BM25, or None where no document holds a word
    _starts: IntArray  # first document of each column that occurs
    _columns: IntArray  # that column
    _row_of: dict[str, int] = field(repr=False)

    @classmethod
    def build(cls, documents: Sequence[Document], vectors: FloatArray, stemmer: Stemmer) -> "Segment":
        order = np.argsort([document.column for document in documents], kind="stable").astype(np.int64)
        held = tuple(documents[row] for row in order)
        sorted_vectors = np.ascontiguousarray(vectors[order], np.float32)
        dense = faiss.IndexFlatIP(vectors.shape[1])
        dense.add(sorted_vectors)
        columns, starts = np.unique([document.column for document in held], return_index=True)
        row_of = {document.id: row for row, document in enumerate(held) if document.id}
        return cls(
            held, sorted_vectors, dense, _bm25(held, stemmer), starts.astype(np.int64), columns.astype(np.int64), row_of
        )

    def __len__(self) -> int:
        return len(self.documents)

    def rows_of(self, ids: frozenset[str]) -> IntArray:
        return np.array([self._row_of[i] for i in ids if i in self._row_of], np.int64)

    def nearest(self, vectors: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
        """Cosines and rows of the nearest documents, both (n_texts, at most k), nearest first."""
        similarities, rows = self._dense.search(np.ascontiguousarray(vectors, np.float32), min(k, len(self)))
        return similarities, rows

    def lexical(self, stems: Sequence[str], n_columns: int, *, hidden: IntArray) -> FloatArray:
        """The best BM25 score of each column (n_columns,), 0 where no word is shared."""
        best = np.zeros(n_columns, np.float32)
        if self._lexical is not None and stems:
            scores = self._lexical.get_scores(list(stems))
            scores[hidden] = 0.0
            best[self._columns] = np.maximum.reduceat(scores, self._starts)
        return best


def _bm25(documents: Sequence[Document], stemmer: Stemmer) -> Any:
    stems = [stemmer.stems(document.text) for document in documents]
    if not any(stems):
        return None
    index = bm25s.BM25()
    index.index(stems, show_progress=False)
    return index


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What an index knows about a few texts."""

    cosines: FloatArray  # (n_texts, n_labels + 1), of the best document of each column; NaN where it has none
    lexical: FloatArray  # (n_texts, n_labels + 1), BM25 of the best document
    neighbours: tuple[tuple[Neighbour, ...], ...]  # up to K_NEIGHBOURS examples, nearest first


@dataclass(frozen=True)
class Index:
    """Labels and examples, and those that came since. Immutable; safe to share between threads."""

    space: LabelSpace
    labels: FloatArray  # (n_labels, dim): vectors of the labels' own documents
    trained: Segment  # the labels' documents and the examples
    live: Segment | None  # the labels' documents again, for the weights of words, and the live examples
    hidden: IntArray  # rows of `trained` that were replaced or forgotten since
    stemmer: Stemmer = field(default_factory=Stemmer)

    @classmethod
    def of(cls, space: LabelSpace, labels: FloatArray, examples: Sequence[Example], vectors: FloatArray) -> "Index":
        """From what is known already.

        Args:
            labels: (n_labels, dim), vectors of the labels' documents.
            examples: each with a label of the space and something to read; see `usable`.
            vectors: (n_examples, dim).
        """
        stemmer = Stemmer()
        return cls(space, labels, _segment(space, labels, examples, vectors, stemmer), None, NONE_HIDDEN, stemmer)

    @classmethod
    def build(cls, space: LabelSpace, examples: Sequence[Example], embedder: Embedder) -> "Index":
        """Embed and index labels and usable examples."""
        kept = usable(examples, space)
        return cls.of(space, embed_labels(space, embedder), kept, embed_examples(kept, embedder))

    def with_live(self, examples: Sequence[Example], embedder: Embedder) -> "Index":
        """The index whose live examples are these, the last of each id; an empty label forgets an id."""
        latest = {example.id: example for example in examples}
        hidden = self.trained.rows_of(frozenset(latest))
        kept = usable(list(latest.values()), self.space)
        if not kept:
            return replace(self, live=None, hidden=np.sort(hidden))
        live = _segment(self.space, self.labels, kept, embed_examples(kept, embedder), self.stemmer)
        return replace(self, live=live, hidden=np.sort(hidden))

    def search(self, texts: Sequence[str], vectors: FloatArray) -> Retrieved:
        """Look a few texts (cleaned) up; cost grows with texts times documents, memory with texts times labels."""
        n_columns = len(self.space) + 1
        cosines = np.full((len(texts), n_columns), np.nan, np.float32)
        cosines[:, : len(self.space)] = vectors @ self.labels.T
        found: list[list[tuple[float, Document]]] = [[] for _ in texts]
        for segment, hidden in self._segments():
            similarities, rows = segment.nearest(vectors, K_SEARCHED + len(hidden) + len(self.space))
            gone = set(hidden.tolist())
            for text, pairs in enumerate(zip(similarities.tolist(), rows.tolist(), strict=True)):
                hits = ((s, segment.documents[row]) for s, row in zip(*pairs, strict=True) if row not in gone)
                found[text].extend(hit for hit in hits if hit[1].id)
        for text, hits_of in enumerate(found):
            for similarity, document in hits_of:
                cosines[text, document.column] = np.fmax(cosines[text, document.column], similarity)
        return Retrieved(cosines, self._words(texts, n_columns), tuple(map(self._neighbours, found)))

    def _words(self, texts: Sequence[str], n_columns: int) -> FloatArray:
        best = np.zeros((len(texts), n_columns), np.float32)
        for row, text in enumerate(texts):
            stems = self.stemmer.stems(text)
            for segment, hidden in self._segments():
                np.maximum(best[row], segment.lexical(stems, n_columns, hidden=hidden), out=best[row])
        return best

    def _segments(self) -> list[tuple[Segment, IntArray]]:
        live = [(self.live, NONE_HIDDEN)] if self.live is not None else []
        return [*([(self.trained, self.hidden)] if len(self.trained) else []), *live]

    def _neighbours(self, hits: list[tuple[float, Document]]) -> tuple[Neighbour, ...]:
        values = (*self.space.values, self.space.oos_value)
        nearest = sorted(hits, key=lambda hit: -hit[0])[:K_NEIGHBOURS]
        return tuple(Neighbour(document.id, values[document.column], similarity) for similarity, document in nearest)


def usable(examples: Sequence[Example], space: LabelSpace) -> list[Example]:
    """Those whose label is in the space and whose text holds something to read, in order."""
    values = {*space.values, *filter(None, [space.oos_value])}
    return [example for example in examples if example.label in values and clean(example.text)]


def embed_labels(space: LabelSpace, embedder: Embedder) -> FloatArray:
    """(n_labels, dim), of the labels' own documents."""
    return embedder.embed([clean(label.document) for label in space.labels])


def embed_examples(examples: Sequence[Example], embedder: Embedder) -> FloatArray:
    """(n_examples, dim)."""
    return embedder.embed([clean(example.text) for example in examples])


def _segment(
    space: LabelSpace, labels: FloatArray, examples: Sequence[Example], vectors: FloatArray, stemmer: Stemmer
) -> Segment:
    columns = {value: column for column, value in enumerate((*space.values, space.oos_value)) if value}
    held = [Document(columns[example.label], clean(example.text), example.id) for example in examples]
    names = [Document(column, clean(label.document)) for column, label in enumerate(space.labels)]
    return Segment.build([*names, *held], np.concatenate([labels, vectors]), stemmer)

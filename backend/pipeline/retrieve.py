"""Retrieval: which labels and which accepted examples resemble a text, by words (BM25) and by meaning (vectors).

Documents are label names with their hints, and examples. Examples that arrive between trainings lie in a second, small
segment which is rebuilt at once; the first one never changes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from backend.core.deadline import FOREVER, Deadline
from backend.core.types import Example, FloatArray, IntArray, LabelSpace, Neighbour
from backend.pipeline.clean import clean
from backend.pipeline.dense import FaissIndex
from backend.pipeline.lexical import Stemmer
from backend.pipeline.shots import ShotBook

K_NEIGHBOURS = 25  # nearest examples whose labels count
NONE_HIDDEN: IntArray = np.zeros(0, np.int64)
HIDDEN = -2.0  # below any cosine
SHARPNESS = 0.25  # spreads by which a window stands out for e times the weight; found on mixed texts of two languages
K_SEARCHED = 100  # examples fetched a text: enough for the neighbours and for the best example of each likely label


class Embedder(Protocol):
    """Texts to vectors of unit length."""

    @property
    def dim(self) -> int: ...

    @property
    def lead(self) -> int:
        """How many coordinates, the first ones, are made for comparing texts with labels' names."""
        ...

    @property
    def floor(self) -> float:
        """Mean cosine between unrelated texts, which differs much between models."""
        ...

    @property
    def spread(self) -> float:
        """Standard deviation of the cosine between unrelated texts."""
        ...

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """(n_texts, dim); a long text's windows weigh the same."""
        ...

    def windows(self, texts: Sequence[str], *, deadline: Deadline) -> list[FloatArray]:
        """(n_windows, dim) a text: one window for a text that the model reads whole.

        Raises:
            DeadlineError: time was up.
        """
        ...


class DenseIndex(Protocol):
    """Vectors of unit length by row, and which of them are nearest."""

    def search(self, queries: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
        """Cosines, falling, and rows of the nearest vectors, both (n_queries, k); row -1 where fewer were found.

        Raises:
            VectorIndexError: the vectors lie elsewhere, and nobody answered there.
        """
        ...


Indexer = Callable[[FloatArray], DenseIndex]  # from (n_vectors, dim), at least one


@dataclass(frozen=True)
class Segment:
    """Examples that are indexed once, by meaning, and with the labels' own words by words.

    The words' documents lie sorted by column, so that the best of each label is one reduction.
    """

    ids: tuple[str, ...]  # of the examples
    texts: tuple[str, ...] = field(repr=False)  # cleaned, for models that read a text beside an example
    columns: IntArray  # (n_examples,), of their labels; the last column is out-of-scope
    _dense: DenseIndex | None  # over the examples; None where there are none
    _lexical: Any  # bm25s.BM25 over labels and examples, or None where none of them holds a word
    _place: IntArray  # (n_examples,): where an example lies among the words' documents
    _starts: IntArray  # first of these documents of each column that occurs
    _occurring: IntArray  # that column
    _row_of: dict[str, int] = field(repr=False)

    @classmethod
    def build(
        cls, labels: Sequence[str], examples: Sequence[tuple[str, int, str]], vectors: FloatArray, stemmer: Stemmer,
        indexer: Indexer,
    ) -> "Segment":  # fmt: skip
        """Index.

        Args:
            labels: each label's own words, in the order of the columns.
            examples: (id, column, cleaned text).
            vectors: (n_examples, dim).
            indexer: who keeps the vectors.
        """
        dense = indexer(vectors) if len(vectors) else None
        columns = np.array([column for _, column, _ in examples], np.int64)
        all_columns = np.concatenate([np.arange(len(labels)), columns])
        order = np.argsort(all_columns, kind="stable")
        texts = [*labels, *(text for _, _, text in examples)]
        occurring, starts = np.unique(all_columns[order], return_index=True)
        ids = tuple(id_ for id_, _, _ in examples)
        return cls(
            ids, tuple(text for _, _, text in examples), columns, dense,
            _bm25([texts[row] for row in order], stemmer), np.argsort(order)[len(labels) :],
            starts.astype(np.int64), occurring, {id_: row for row, id_ in enumerate(ids)},
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, ids: Iterable[str]) -> IntArray:
        return np.array(sorted(self._row_of[id_] for id_ in ids if id_ in self._row_of), np.int64)

    def text_of(self, id_: str) -> str:
        """An example's text; empty where the id is not known."""
        row = self._row_of.get(id_)
        return "" if row is None else self.texts[row]

    def nearest(self, vectors: FloatArray, k: int, *, hidden: IntArray) -> tuple[FloatArray, IntArray]:
        """Cosines and rows of the nearest examples, both (n_texts, at most k + hidden); hidden ones have HIDDEN."""
        if self._dense is None:
            return np.zeros((len(vectors), 0), np.float32), np.zeros((len(vectors), 0), np.int64)
        queries = np.ascontiguousarray(vectors, np.float32)
        found, rows = self._dense.search(queries, min(k + len(hidden), len(self)))
        return np.where(np.isin(rows, hidden) | (rows < 0), HIDDEN, found).astype(np.float32), rows

    def lexical(self, stems: Sequence[str], n_columns: int, *, hidden: IntArray) -> FloatArray:
        """The best BM25 score of each column (n_columns,), 0 where no word is shared."""
        best = np.zeros(n_columns, np.float32)
        if self._lexical is not None and stems:
            scores = self._lexical.get_scores(list(stems))
            scores[self._place[hidden]] = 0.0
            best[self._occurring] = np.maximum.reduceat(scores, self._starts)
        return best


def _bm25(texts: Sequence[str], stemmer: Stemmer) -> Any:
    stems = [stemmer.stems(text) for text in texts]
    if not any(stems):
        return None
    import bm25s  # only who has documents loads it

    index = bm25s.BM25()
    index.index(stems, show_progress=False)
    return index


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What an index knows about a few texts."""

    names: FloatArray  # (n_texts, n_labels): cosines with the labels' own words
    cosines: FloatArray  # (n_texts, n_labels + 1), of the best document of each column; NaN where it has none
    lexical: FloatArray  # (n_texts, n_labels + 1), BM25 of the best document
    neighbours: tuple[tuple[Neighbour, ...], ...]  # up to K_NEIGHBOURS examples, nearest first


@dataclass(frozen=True)
class Index:
    """Labels and examples, and those that came since. Immutable; safe to share between threads."""

    space: LabelSpace
    labels: FloatArray  # (n_labels, dim): vectors of the labels' own words
    trained: Segment
    live: Segment | None
    hidden: IntArray  # rows of `trained` that were replaced or forgotten since
    stemmer: Stemmer = field(default_factory=Stemmer)
    shots: ShotBook = field(default_factory=ShotBook)  # of the trained examples

    @classmethod
    def of(
        cls, space: LabelSpace, labels: FloatArray, examples: Sequence[Example], vectors: FloatArray,
        *, indexer: Indexer = FaissIndex.of, stemmer: Stemmer | None = None,
    ) -> "Index":  # fmt: skip
        """From what is known already.

        Args:
            labels: (n_labels, dim), vectors of the labels' own words.
            examples: each with a label of the space and something to read; see `usable`.
            vectors: (n_examples, dim).
            indexer: who keeps these vectors; those of live examples, few and never the same for long, stay here.
            stemmer: one that others use too; None: one of its own.
        """
        stemmer = stemmer or Stemmer()
        trained = _segment(space, examples, vectors, stemmer, indexer)
        shots = ShotBook.of(space, labels, trained.ids, trained.texts, trained.columns, vectors)
        return cls(space, labels, trained, None, NONE_HIDDEN, stemmer, shots)

    def with_live(self, examples: Sequence[Example], embedder: Embedder) -> "Index":
        """The index whose live examples are these, the last of each id; an empty label forgets an id."""
        hidden = self.trained.rows_of({example.id for example in examples})
        kept = latest(examples, self.space)
        if not kept:
            return replace(self, live=None, hidden=hidden)
        vectors = embed_examples(kept, embedder, self.labels)
        live = _segment(self.space, kept, vectors, self.stemmer, FaissIndex.of)
        return replace(self, live=live, hidden=hidden)

    @property
    def columns(self) -> IntArray:
        """(n_examples,), of all examples that are known by now."""
        kept = np.delete(self.trained.columns, self.hidden)
        return kept if self.live is None else np.concatenate([kept, self.live.columns])

    def text_of(self, id_: str) -> str:
        """An example's cleaned text, as it is by now; empty where the id is not known. Not for showing."""
        return (self.live.text_of(id_) if self.live is not None else "") or self.trained.text_of(id_)

    def search(self, texts: Sequence[str], vectors: FloatArray, *, lead: int | None = None) -> Retrieved:
        """Look a few texts (cleaned) up; cost grows with texts times examples, memory with texts times labels.

        Args:
            lead: how many of the coordinates tell whether a text is like a label's name; None: all.
        """
        n_columns = len(self.space) + 1
        cosines = np.full((len(texts), n_columns), np.nan, np.float32)
        # not as a matrix product: BLAS would wake threads for a third of a millisecond's work, and wait for them
        cosines[:, :-1] = names = np.einsum("td,ld->tl", leading(vectors, lead), leading(self.labels, lead))
        found = [(part, *part.nearest(vectors, K_SEARCHED, hidden=hidden)) for part, hidden in self._segments()]
        for part, similarities, rows in found:
            best = np.full(cosines.shape, HIDDEN, np.float32)
            np.maximum.at(best, (np.arange(len(texts))[:, None], part.columns[rows]), similarities)
            cosines = np.fmax(cosines, np.where(best > HIDDEN, best, np.nan))
        return Retrieved(names, cosines, self._words(texts, n_columns), self._neighbours(found, len(texts)))

    def _words(self, texts: Sequence[str], n_columns: int) -> FloatArray:
        best = np.zeros((len(texts), n_columns), np.float32)
        for row, text in enumerate(texts):
            stems = self.stemmer.stems(text)
            for segment, hidden in self._segments():
                np.maximum(best[row], segment.lexical(stems, n_columns, hidden=hidden), out=best[row])
        return best

    def _segments(self) -> list[tuple[Segment, IntArray]]:
        return [(self.trained, self.hidden), *([(self.live, NONE_HIDDEN)] if self.live is not None else [])]

    def _neighbours(
        self, found: Sequence[tuple[Segment, FloatArray, IntArray]], n_texts: int
    ) -> tuple[tuple[Neighbour, ...], ...]:
        values = (*self.space.values, self.space.oos_value)
        similarities = np.concatenate([part[1] for part in found], axis=1)
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :K_NEIGHBOURS]
        places = [(segment, row) for segment, _, rows in found for row in range(rows.shape[1])]
        all_rows = np.concatenate([part[2] for part in found], axis=1)
        neighbours: list[tuple[Neighbour, ...]] = []
        for text in range(n_texts):
            near = [at for at in order[text].tolist() if similarities[text, at] > HIDDEN]
            hits = [(places[at][0], int(all_rows[text, at]), float(similarities[text, at])) for at in near]
            neighbours.append(
                tuple(Neighbour(part.ids[row], values[part.columns[row]], cosine) for part, row, cosine in hits)
            )
        return tuple(neighbours)


def leading(vectors: FloatArray, lead: int | None) -> FloatArray:
    """(n_texts, lead), of unit length."""
    part = vectors[:, :lead]
    return np.asarray(part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-9), np.float32)


def usable(examples: Sequence[Example], space: LabelSpace) -> list[Example]:
    """Those whose label is in the space and whose text holds something to read, in order."""
    values = {*space.values, *filter(None, [space.oos_value])}
    return [example for example in examples if example.label in values and clean(example.text)]


def latest(examples: Sequence[Example], space: LabelSpace) -> list[Example]:
    """The usable ones among the last of each id."""
    return usable(list({example.id: example for example in examples}.values()), space)


def columns_of(examples: Sequence[Example], space: LabelSpace) -> IntArray:
    """(n_examples,): the column of each example's label."""
    columns = {value: column for column, value in enumerate((*space.values, space.oos_value)) if value}
    return np.array([columns[example.label] for example in examples], np.int64)


def embed_labels(space: LabelSpace, embedder: Embedder) -> FloatArray:
    """(n_labels, dim), of the labels' own documents."""
    return embedder.embed([clean(label.document) for label in space.labels])


def embed_examples(examples: Sequence[Example], embedder: Embedder, labels: FloatArray) -> FloatArray:
    """(n_examples, dim); see embed_texts."""
    return embed_texts([clean(example.text) for example in examples], embedder, labels)


def embed_texts(
    texts: Sequence[str], embedder: Embedder, labels: FloatArray, *, deadline: Deadline = FOREVER
) -> FloatArray:
    """(n_texts, dim), of cleaned texts; in long ones those windows count most that speak for a label.

    Args:
        labels: (n_labels, dim), vectors of the labels' own words.

    Raises:
        DeadlineError: time was up.
    """
    windows = embedder.windows(texts, deadline=deadline)
    vectors = [pooled(each, labels, embedder.spread) for each in windows]
    return np.array(vectors, np.float32).reshape(len(texts), embedder.dim)


def pooled(windows: FloatArray, labels: FloatArray, spread: float) -> FloatArray:
    """(dim,): the windows' mean, where a window weighs by how far it stands out of the text towards some label.

    A plain mean buries one telling paragraph among twenty; the one window nearest to a label follows what all of the
    text shares with that label. Where no window stands out, all weigh about the same.
    """
    if len(windows) == 1:
        return np.asarray(windows[0], np.float32)
    cosines = windows @ labels.T if len(labels) else np.zeros((len(windows), 1), np.float32)
    excess = (cosines - cosines.mean(axis=0)).max(axis=1) / (SHARPNESS * spread)
    weights = np.exp(excess - excess.max())
    mean = weights @ windows
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)


def _segment(
    space: LabelSpace, examples: Sequence[Example], vectors: FloatArray, stemmer: Stemmer, indexer: Indexer
) -> Segment:
    names = [clean(label.document) for label in space.labels]
    columns = columns_of(examples, space).tolist()
    held = [
        (example.id, column, clean(example.text)) for example, column in zip(examples, columns, strict=True)
    ]  # fmt: skip
    return Segment.build(names, held, vectors, stemmer, indexer)

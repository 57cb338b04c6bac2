"""The kernel classifier: what a text's label is, by all examples that resemble it in meaning and in words.

A score starts at what the labels' own words say (the prior) and is corrected by the residuals of examples, spread by a
kernel. Solved in closed form (training/fit.py), so that examples accepted since the training correct it at once, from
the very first one. Knows its arithmetic and its files (safetensors and JSON).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save
from scipy.linalg import solve
from scipy.sparse import csr_matrix, hstack

from backend.core.errors import ModelFolderError
from backend.core.reading import READ_CHARACTERS
from backend.core.types import BoolArray, FloatArray, IntArray
from backend.core.words import folded, words_of

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

FORMAT = 1
SETTINGS, TENSORS = "kernel.json", "kernel.safetensors"
ANALYZERS: dict[str, dict[str, Any]] = {
    "words": {"analyzer": "word", "ngram_range": (1, 2), "tokenizer": words_of, "token_pattern": None},
    "letters": {"analyzer": "char_wb", "ngram_range": (3, 5)},
}
WIDTH = 0.45  # of the kernel: two texts whose cosine is that much under 1 share 1/e of their residuals
LEXICAL_WEIGHT = 0.25  # of shared words and letters beside meaning
SMOOTHING = 0.1  # what a label of an example is worth less than certain, in units of the kernel
SHARPNESS = 10.0  # of the prior: logits per unit of cosine; 8 to 13 differ by 3 % in corrections from a cold start
MAX_LIVE = 2_000  # of the examples since the training, the latest ones


@dataclass(frozen=True)
class Terms:
    """TF-IDF over words and over letter n-grams, each of unit length."""

    vectorizers: "tuple[TfidfVectorizer, ...]"  # fitted, in the order of ANALYZERS

    def transform(self, texts: Sequence[str]) -> csr_matrix:
        """(n_texts, n_terms); a text's product with itself is 1 where all its terms are known."""
        read = [folded(text[:READ_CHARACTERS]) for text in texts]
        parts = [vectorizer.transform(read) for vectorizer in self.vectorizers]
        return csr_matrix(hstack(parts, format="csr", dtype=np.float32) / np.float32(len(parts) ** 0.5))

    @classmethod
    def fit(cls, texts: Sequence[str], **settings: Any) -> "Terms":
        vectorizers = tuple(new_vectorizer(name, **settings) for name in ANALYZERS)
        for vectorizer in vectorizers:
            vectorizer.fit([*map(folded, texts), "a b", "a b"])  # which keeps a vocabulary of symbols from being empty
        return cls(vectorizers)


@dataclass(frozen=True)
class Prior:
    """What is known of each column before any example."""

    directions: FloatArray  # (n_labels, lead), unit length: of the labels' own words
    centre: FloatArray  # (lead,), which is taken off a text before it is compared
    biases: FloatArray  # (n_labels,), logits

    @classmethod
    def of(cls, labels: FloatArray) -> "Prior":
        """From the vectors of the labels' own words (n_labels, lead)."""
        own = unit(labels)
        # half of the mean: neutral texts, which stand for all others, have theirs at 0
        centre = own.mean(axis=0) / 2 if len(own) else np.zeros(labels.shape[1], np.float32)
        return cls(unit(own - centre), np.asarray(centre, np.float32), np.zeros(len(own), np.float32))

    def predict(self, vectors: FloatArray) -> FloatArray:
        """(n_texts, n_labels + 1), 0-1; nothing is known of out-of-scope."""
        lead = unit(vectors[:, : len(self.centre)])
        logits = SHARPNESS * unit(lead - self.centre) @ self.directions.T + self.biases
        if not logits.shape[1]:
            return np.zeros((len(vectors), 1), np.float32)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.pad(odds / odds.sum(axis=1, keepdims=True), ((0, 0), (0, 1))).astype(np.float32)


@dataclass(frozen=True)
class Correction:
    """Residuals of examples and how they spread."""

    terms: Terms
    support: FloatArray  # (n_rows, dim), as `KernelClassifier.place` puts them
    coefficients: FloatArray  # (n_rows, n_columns)
    term_weights: FloatArray  # (n_terms, n_columns): what the same coefficients make of words

    def predict(self, texts: Sequence[str], places: FloatArray) -> FloatArray:
        """(n_texts, n_columns)."""
        spread = similarity(places, self.support) @ self.coefficients
        return np.asarray(spread + times(self.terms.transform(texts), self.term_weights), np.float32)


@dataclass(frozen=True)
class KernelClassifier:
    """Scores of every column of the label space: about 1 for what is sure, 0 for what is not."""

    prior: Prior
    centre: FloatArray  # (dim,), mean of the training texts: what all of them share says nothing
    known: BoolArray  # (n_columns,): columns that something is known of
    trained: Correction | None  # None before the first example
    live: Correction | None = field(default=None, compare=False)

    def predict(self, texts: Sequence[str], vectors: FloatArray) -> FloatArray:
        """(n_texts, n_columns); NaN for columns that nothing is known of."""
        if not len(texts):
            return np.zeros((0, len(self.known)), np.float32)
        scores, places = self.prior.predict(vectors), self.place(vectors)
        for correction in (self.trained, self.live):
            if correction is not None:
                scores = scores + correction.predict(texts, places)
        return np.where(self.known, scores, np.nan).astype(np.float32)

    def place(self, vectors: FloatArray) -> FloatArray:
        """(n_texts, dim), unit length, as examples are compared; in half precision, as they are stored."""
        return unit(vectors - self.centre).astype(np.float16).astype(np.float32)

    def with_live(self, texts: Sequence[str], vectors: FloatArray, columns: IntArray) -> "KernelClassifier":
        """The classifier as these examples correct it; replaces what an earlier call added."""
        trained = replace(self, live=None)
        texts, vectors, columns = texts[-MAX_LIVE:], vectors[-MAX_LIVE:], columns[-MAX_LIVE:]
        if not len(texts):
            return trained
        expected = np.nan_to_num(trained.predict(texts, vectors))
        live = correction_of(Terms.fit(texts), texts, self.place(vectors), one_hot(columns, len(self.known)) - expected)
        known = self.known | np.isin(np.arange(len(self.known)), columns)
        return replace(self, live=live, known=known)

    def save(self, folder: Path) -> None:
        tensors = {
            "prior.directions": self.prior.directions, "prior.centre": self.prior.centre,
            "prior.biases": self.prior.biases, "centre": self.centre, "known": self.known.astype(np.uint8),
        }  # fmt: skip
        vocabularies: dict[str, list[str]] = {}
        if self.trained is not None:
            tensors |= {
                "support": self.trained.support.astype(np.float16), "coefficients": self.trained.coefficients,
                "term_weights": self.trained.term_weights,
            }  # fmt: skip
            for name, vectorizer in zip(ANALYZERS, self.trained.terms.vectorizers, strict=True):
                tensors[f"idf.{name}"] = np.asarray(vectorizer.idf_, np.float32)
                vocabularies[name] = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)
        # not by safetensors' own writer, whose error does not say that the disk is full
        (folder / TENSORS).write_bytes(save({name: np.ascontiguousarray(part) for name, part in tensors.items()}))
        settings = {"format": FORMAT, "vocabularies": vocabularies}
        (folder / SETTINGS).write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "KernelClassifier":
        """Read what `save` wrote.

        Raises:
            ModelFolderError: of a format that this code does not read.
        """
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        if settings.get("format") != FORMAT:
            raise ModelFolderError(
                f"{folder / SETTINGS} must have format {FORMAT}, was {settings.get('format')}; train again"
            )
        tensors = load_file(folder / TENSORS)
        prior = Prior(tensors["prior.directions"], tensors["prior.centre"], tensors["prior.biases"])
        trained = _trained(tensors, settings["vocabularies"]) if settings["vocabularies"] else None
        return cls(prior, tensors["centre"], tensors["known"].astype(np.bool_), trained)


def _trained(tensors: Mapping[str, Any], vocabularies: Mapping[str, list[str]]) -> Correction:
    vectorizers = tuple(_vectorizer(name, vocabularies[name], tensors[f"idf.{name}"]) for name in ANALYZERS)
    support = tensors["support"].astype(np.float32)
    return Correction(Terms(vectorizers), support, tensors["coefficients"], tensors["term_weights"])


def correction_of(terms: Terms, texts: Sequence[str], places: FloatArray, residuals: FloatArray) -> Correction:
    """The correction by a few examples, solved at once; costs the cube of their number."""
    read = terms.transform(texts)
    kernel = similarity(places, places) + LEXICAL_WEIGHT * (read @ read.T).toarray()
    kernel[np.diag_indices(len(kernel))] += SMOOTHING
    coefficients = np.asarray(solve(kernel, residuals, assume_a="pos"), np.float32)
    return Correction(terms, places, coefficients, term_weights(read, coefficients))


def term_weights(read: csr_matrix, coefficients: FloatArray) -> FloatArray:
    """(n_terms, n_columns): a kernel that is linear in words needs no examples to be applied."""
    return np.asarray(LEXICAL_WEIGHT * (read.T @ coefficients), np.float32)


def times(read: csr_matrix, weights: FloatArray) -> FloatArray:
    """(n_texts, n_columns): the product, over the terms that occur; eight times as fast as SciPy's for a few texts."""
    occurring, at = np.unique(read.indices, return_inverse=True)
    counts = np.zeros((read.shape[0], len(occurring)), np.float32)
    counts[np.repeat(np.arange(read.shape[0]), np.diff(read.indptr)), at] = read.data
    return np.asarray(counts @ weights[occurring], np.float32)


def similarity(places: FloatArray, support: FloatArray) -> FloatArray:
    """(n_texts, n_rows), 0-1, 1 for the same place."""
    found = places @ support.T
    found -= 1.0
    found /= WIDTH
    return np.asarray(np.exp(found, out=found), np.float32)


def one_hot(columns: IntArray, n_columns: int) -> FloatArray:
    """(n_rows, n_columns)."""
    return np.asarray(columns[:, None] == np.arange(n_columns)[None, :], np.float32)


def unit(rows: FloatArray) -> FloatArray:
    """Rows scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0), np.float32)


def new_vectorizer(name: str, **settings: Any) -> "TfidfVectorizer":
    from sklearn.feature_extraction.text import TfidfVectorizer  # a second and 70 MB: only who classifies pays

    return TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **ANALYZERS[name], **settings)


def _vectorizer(name: str, vocabulary: list[str], idf: FloatArray) -> "TfidfVectorizer":
    vectorizer = new_vectorizer(name, vocabulary={term: column for column, term in enumerate(vocabulary)})
    vectorizer.idf_ = idf
    return vectorizer

"""The linear classifier: multinomial logistic regression over an embedding and the words and letters of a text.

Knows its arithmetic and its files (safetensors and JSON); how it is fitted is training/fit.py's matter.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer

from backend.core.errors import ModelFolderError
from backend.core.reading import READ_CHARACTERS
from backend.core.types import FloatArray, IntArray

FORMAT = 1
SETTINGS, TENSORS = "linear.json", "linear.safetensors"
ANALYZERS: dict[str, dict[str, Any]] = {
    "words": {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\w+"},
    "letters": {"analyzer": "char_wb", "ngram_range": (3, 5)},
}


@dataclass(frozen=True)
class Lexical:
    """TF-IDF over words and letter n-grams, reduced to few dimensions by a fitted projection."""

    vectorizers: tuple[TfidfVectorizer, ...]  # fitted, in the order of ANALYZERS
    projection: FloatArray  # (n_terms, n_dimensions), contiguous: SciPy would otherwise copy it for every text

    def transform(self, texts: Sequence[str]) -> FloatArray:
        """(n_texts, n_dimensions), unit length; zeros for texts without a known term."""
        if not len(texts):
            return np.zeros((0, self.projection.shape[1]), np.float32)
        reduced = np.asarray(self.terms(texts) @ self.projection, np.float32)
        return unit(reduced)

    def terms(self, texts: Sequence[str]) -> csr_matrix:
        """(n_texts, n_terms)."""
        clipped = [text[:READ_CHARACTERS] for text in texts]
        parts = [vectorizer.transform(clipped) for vectorizer in self.vectorizers]
        return csr_matrix(hstack(parts, format="csr", dtype=np.float32))


@dataclass(frozen=True)
class LinearClassifier:
    """Log-probabilities of every column of the label space."""

    lexical: Lexical
    center: FloatArray  # (dim,), mean embedding of the training texts: what all of them share says nothing
    weights: FloatArray  # (n_classes, dim + n_dimensions)
    intercepts: FloatArray  # (n_classes,)
    columns: IntArray  # (n_classes,): the column of each class
    n_columns: int
    lexical_weight: float = field(kw_only=True)

    def predict_log_proba(self, texts: Sequence[str], vectors: FloatArray) -> FloatArray:
        """(n_texts, n_columns) natural logarithms; -inf for columns that the training data did not hold."""
        # not as a matrix product: BLAS would wake threads for half a millisecond's work, and wait for them
        logits = np.einsum("td,cd->tc", self.features(texts, vectors), self.weights) + self.intercepts
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        whole = np.full((len(texts), self.n_columns), -np.inf, np.float32)
        whole[:, self.columns] = logits
        return whole

    def features(self, texts: Sequence[str], vectors: FloatArray) -> FloatArray:
        """(n_texts, dim + n_dimensions)."""
        return features(self.lexical, self.center, self.lexical_weight, texts, vectors)

    def save(self, folder: Path) -> None:
        tensors = {
            "projection": self.lexical.projection, "center": self.center, "weights": self.weights,
            "intercepts": self.intercepts, "columns": self.columns,
        }  # fmt: skip
        for name, vectorizer in zip(ANALYZERS, self.lexical.vectorizers, strict=True):
            tensors[f"idf.{name}"] = np.asarray(vectorizer.idf_, np.float32)
        # not by safetensors' own writer, whose error does not say that the disk is full
        (folder / TENSORS).write_bytes(save({name: np.ascontiguousarray(part) for name, part in tensors.items()}))
        settings = {
            "format": FORMAT, "n_columns": self.n_columns, "lexical_weight": self.lexical_weight,
            "vocabularies": {
                name: sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)
                for name, vectorizer in zip(ANALYZERS, self.lexical.vectorizers, strict=True)
            },
        }  # fmt: skip
        (folder / SETTINGS).write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "LinearClassifier":
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
        vectorizers = tuple(
            _vectorizer(name, settings["vocabularies"][name], tensors[f"idf.{name}"]) for name in ANALYZERS
        )
        return cls(
            Lexical(vectorizers, tensors["projection"]), tensors["center"], tensors["weights"], tensors["intercepts"],
            tensors["columns"], settings["n_columns"], lexical_weight=settings["lexical_weight"],
        )  # fmt: skip


def features(
    lexical: Lexical, center: FloatArray, lexical_weight: float, texts: Sequence[str], vectors: FloatArray
) -> FloatArray:
    """(n_texts, dim + n_dimensions): the centred embedding beside the weighted lexical dimensions."""
    return np.hstack([unit(vectors - center), lexical_weight * lexical.transform(texts)]).astype(np.float32)


def unit(rows: FloatArray) -> FloatArray:
    """Rows scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0), np.float32)


def new_vectorizer(name: str, **settings: Any) -> TfidfVectorizer:
    return TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **ANALYZERS[name], **settings)


def _vectorizer(name: str, vocabulary: list[str], idf: FloatArray) -> TfidfVectorizer:
    vectorizer = new_vectorizer(name, vocabulary={term: column for column, term in enumerate(vocabulary)})
    vectorizer.idf_ = idf
    return vectorizer

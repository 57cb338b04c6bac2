"""How a classifier is made from examples, and what it says about each of them when it has not seen it.

The kernel's system is solved once; what it would say without one example, or without a whole label, follows from the
same inverse. With C the inverse of the smoothed kernel and R the residuals, the error on a group of rows left out is
C[group, group]^-1 (C R)[group] (Rasmussen and Williams, Gaussian Processes for Machine Learning, 5.4.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_matrix

from backend.core.types import Example, FloatArray, IntArray, LabelSpace
from backend.models.kernel import (
    LEXICAL_WEIGHT,
    SMOOTHING,
    Correction,
    KernelClassifier,
    Prior,
    Terms,
    one_hot,
    similarity,
    term_weights,
)
from backend.models.threads import all_threads
from backend.pipeline.clean import clean
from backend.pipeline.retrieve import columns_of
from training.splits import group_of

MAX_SUPPORT = 16_000  # examples that spread: their square is held in memory (1 GB); the others are found as neighbours
RARE_FROM = 3_000  # texts; from there on a term must stand in two of them
MAX_TERMS, MAX_TERM_WEIGHTS = 60_000, 30_000_000  # terms; terms times columns, 4 bytes each
BACKGROUND_WORTH = 10.0  # examples
CHUNK = 512  # rows of the kernel made at once
FAMILIES = ("kernel", "none")


@dataclass(frozen=True, slots=True)
class Rows:
    """Texts with their columns, ready to fit on."""

    texts: tuple[str, ...]  # cleaned
    vectors: FloatArray  # (n_rows, dim)
    columns: IntArray  # (n_rows,): the label's column, n_labels for out-of-scope
    groups: IntArray  # (n_rows,): the same number for texts that say the same

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: IntArray) -> "Rows":
        return Rows(
            tuple(self.texts[row] for row in rows), self.vectors[rows], self.columns[rows], self.groups[rows]
        )  # fmt: skip


def rows_of(space: LabelSpace, examples: Sequence[Example], vectors: FloatArray) -> Rows:
    """The examples, whose vectors are (n_examples, dim)."""
    _, groups = np.unique(np.array([group_of(example.text) for example in examples], object), return_inverse=True)
    return Rows(
        tuple(clean(example.text) for example in examples), vectors,
        columns_of(examples, space), groups.astype(np.int64).reshape(-1),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fitted:
    """A classifier, and what it says about its own examples when it has not seen them."""

    classifier: KernelClassifier
    blind: FloatArray  # (n_rows, n_columns): without the row's group
    unknown: FloatArray  # (n_rows, n_columns): without the row's label; NaN in rows that did not spread


def fit_kernel(rows: Rows, prior: Prior, *, background: FloatArray, n_columns: int, seed: int) -> Fitted:
    """Solve for the residuals of the prior.

    Args:
        background: (dim,), what texts of the project have in common, as far as that is known without examples.
    """
    centre = (rows.vectors.sum(axis=0) + BACKGROUND_WORTH * background) / (len(rows) + BACKGROUND_WORTH)
    known = np.append(np.ones(n_columns - 1, np.bool_), np.any(rows.columns == n_columns - 1))
    plain = KernelClassifier(prior, np.asarray(centre, np.float32), known, None)
    if not len(rows):
        none = np.zeros((0, n_columns), np.float32)
        return Fitted(plain, none, none)
    support = supporting(rows, seed=seed)
    used = rows.take(support)
    expected = np.nan_to_num(plain.predict(used.texts, used.vectors))
    residuals = one_hot(used.columns, n_columns) - expected
    trained, inverse = solved(used, plain.place(used.vectors), residuals)
    classifier = KernelClassifier(prior, plain.centre, known, trained)
    blind = np.nan_to_num(_others(classifier, rows, support, n_columns))
    unknown = np.full_like(blind, np.nan)
    target = one_hot(used.columns, n_columns)
    blind[support] = target - left_out(inverse, trained.coefficients, used.groups)
    unknown[support] = target - left_out(inverse, trained.coefficients, used.columns)
    return Fitted(classifier, blind, unknown)


def supporting(rows: Rows, *, seed: int) -> IntArray:
    """Which rows spread: all, or MAX_SUPPORT of them in which each label has its share, and at least a few."""
    if len(rows) <= MAX_SUPPORT:
        return np.arange(len(rows))
    order = np.random.default_rng(seed).permutation(len(rows))
    order = order[np.argsort(rows.columns[order], kind="stable")]
    counts = np.bincount(rows.columns)
    place = (np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)) / np.repeat(counts, counts)
    return np.sort(order[np.argsort(place, kind="stable")[:MAX_SUPPORT]])


def solved(rows: Rows, places: FloatArray, residuals: FloatArray) -> tuple[Correction, FloatArray]:
    """The correction and the inverse of the smoothed kernel, whose square is all that is held."""
    limit = min(MAX_TERMS, max(1_000, MAX_TERM_WEIGHTS // residuals.shape[1]))
    terms = Terms.fit(rows.texts, min_df=2 if len(rows) >= RARE_FROM else 1, max_features=limit)
    read = terms.transform(rows.texts)
    with all_threads():
        inverse = inverted(kernel_of(places, read))
        coefficients = np.asarray(inverse @ residuals, np.float32)
    return Correction(terms, places, coefficients, term_weights(read, coefficients)), inverse


def kernel_of(places: FloatArray, read: csr_matrix) -> FloatArray:
    """(n_rows, n_rows), smoothed; column-major, as LAPACK wants it."""
    kernel = np.empty((len(places), len(places)), np.float32, order="F")
    transposed = read.T.tocsc()
    for start in range(0, len(places), CHUNK):
        rows = slice(start, start + CHUNK)
        kernel[:, rows] = (similarity(places[rows], places) + LEXICAL_WEIGHT * (read[rows] @ transposed).toarray()).T
    kernel[np.diag_indices(len(kernel))] += SMOOTHING
    return kernel


def inverted(kernel: FloatArray) -> FloatArray:
    """The inverse of a positive definite matrix, in its own place; costs n^3."""
    factor, failed = lapack.spotrf(kernel, lower=1, overwrite_a=1)
    if failed:
        raise ArithmeticError("a smoothed kernel must be positive definite; train with fewer or finite vectors")
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    for start in range(0, len(inverse), CHUNK):  # mirrored in pieces: a whole copy would be another square
        rows = slice(start, start + CHUNK)
        corner = np.tril(inverse[rows, rows])
        inverse[rows, rows] = corner + np.tril(corner, -1).T
        inverse[rows, start + CHUNK :] = inverse[start + CHUNK :, rows].T
    return np.asarray(inverse, np.float32)


def left_out(inverse: FloatArray, coefficients: FloatArray, groups: IntArray) -> FloatArray:
    """(n_rows, n_columns): target less score, when a row's group is left out."""
    errors = coefficients / np.diag(inverse)[:, None]
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        if len(members) > 1:
            errors[members] = np.linalg.solve(inverse[np.ix_(members, members)], coefficients[members])
    return np.asarray(errors, np.float32)


def _others(classifier: KernelClassifier, rows: Rows, support: IntArray, n_columns: int) -> FloatArray:
    """What is said about rows that do not spread, which the classifier has not seen."""
    whole = np.zeros((len(rows), n_columns), np.float32)
    rest = np.setdiff1d(np.arange(len(rows)), support)
    for start in range(0, len(rest), CHUNK):
        part = rows.take(rest[start : start + CHUNK])
        whole[rest[start : start + CHUNK]] = classifier.predict(part.texts, part.vectors)
    return whole

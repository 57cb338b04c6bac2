"""How a classifier is made from examples.

Each label's own words count as examples of it, so that labels without examples keep a class, and the first examples of
a project refine the names instead of replacing them.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from backend.core.types import Example, FloatArray, IntArray, LabelSpace
from backend.models.linear import ANALYZERS, Lexical, LinearClassifier, features, new_vectorizer
from backend.pipeline.clean import clean

DIMENSIONS = 256  # of the lexical features: measured on CLINC150 and MASSIVE, 512 gained 0.1 points at twice the time
LEXICAL_WEIGHT = 0.5  # of the lexical features beside the embedding: 1.0 lost 0.4 points on CLINC150
INVERSE_REGULARISATION = 10.0  # scikit-learn's C; 3 to 30 differ by 0.2 points, with many examples and with few
NAMES_WEIGHT = (
    3.0  # examples that a label's own words count for: with 50 examples 4 points more than 1, with 15,000 none
)
BALANCE = (
    0.5  # 0 leaves frequent labels their weight, 1 gives all labels the same; 1 is better under 1,000 examples only
)
TOLERANCE = 1e-4  # of the gradient; 1e-5 doubled the time and changed no digit
MAX_ITERATIONS = 300
RARE_FROM = 3000  # texts; from there on a term must stand in two of them
FAMILIES = ("linear", "none")


@dataclass(frozen=True, slots=True)
class Rows:
    """Texts with their columns, ready to fit on."""

    texts: tuple[str, ...]  # cleaned
    vectors: FloatArray  # (n_rows, dim)
    columns: IntArray  # (n_rows,): the label's column, n_labels for out-of-scope
    n_names: int  # of the rows, the first so many are the labels' own words

    def __len__(self) -> int:
        return len(self.texts)


def rows_of(
    space: LabelSpace, examples: Sequence[Example], labels: FloatArray, vectors: FloatArray, *, take: IntArray
) -> Rows:
    """The labels' own words and the examples in `take`.

    Args:
        labels: (n_labels, dim); vectors: (n_examples, dim).
    """
    columns = {value: column for column, value in enumerate((*space.values, space.oos_value)) if value}
    names = [clean(label.document) for label in space.labels]
    return Rows(
        (*names, *(clean(examples[row].text) for row in take)),
        np.concatenate([labels, vectors[take]]),
        np.array([*range(len(space)), *(columns[examples[row].label] for row in take)], np.int64),
        len(space),
    )


def fit_linear(rows: Rows, *, n_columns: int, seed: int) -> LinearClassifier:
    """Logistic regression over the centred embedding and reduced TF-IDF; `rows` must hold at least two columns."""
    lexical = fit_lexical(rows.texts, seed=seed)
    center = rows.vectors.mean(axis=0)
    X = features(lexical, center, LEXICAL_WEIGHT, rows.texts, rows.vectors)
    weighting = weights_of(rows.columns, n_names=rows.n_names)
    model = LogisticRegression(C=INVERSE_REGULARISATION, tol=TOLERANCE, max_iter=MAX_ITERATIONS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the optimum is flat: 300 iterations are as good
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # few examples, many labels
        model.fit(X, rows.columns, sample_weight=weighting)
    weights, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps only the second class of two
        weights, intercepts = np.vstack([0 * weights, weights]), np.array([0.0, intercepts[0]])
    return LinearClassifier(
        lexical, center, weights.astype(np.float32), intercepts.astype(np.float32), model.classes_.astype(np.int64),
        n_columns, lexical_weight=LEXICAL_WEIGHT,
    )  # fmt: skip


def weights_of(columns: IntArray, *, n_names: int) -> FloatArray:
    """(n_rows,): what each row counts for; about 1 on average."""
    weights = np.where(np.arange(len(columns)) < n_names, NAMES_WEIGHT, 1.0)
    totals = np.bincount(columns, weights=weights)
    mean = totals[totals > 0].mean()
    return np.asarray(weights * (mean / totals[columns]) ** BALANCE, np.float32)


def fit_lexical(texts: Sequence[str], *, seed: int) -> Lexical:
    """TF-IDF over words and letters, and its leading dimensions."""
    min_df = 2 if len(texts) >= RARE_FROM else 1
    vectorizers = tuple(new_vectorizer(name, min_df=min_df) for name in ANALYZERS)
    for vectorizer in vectorizers:
        vectorizer.fit([*texts, "a b"])  # the two words keep a vocabulary of symbols from being empty
    terms = Lexical(vectorizers, np.zeros((1, 1), np.float32)).terms(texts)
    return Lexical(vectorizers, _leading(terms, seed))


def _leading(terms: csr_matrix, seed: int) -> FloatArray:
    """(n_terms, n_dimensions): the leading right singular vectors."""
    dimensions = min(DIMENSIONS, terms.shape[0] - 1, terms.shape[1] - 1)
    if dimensions < 1 or not terms.nnz:
        return np.zeros((terms.shape[1], 1), np.float32)
    model = TruncatedSVD(dimensions, n_iter=2, random_state=seed)
    with np.errstate(divide="ignore", invalid="ignore"):  # its explained variance of equal texts is 0 / 0, and unused
        model.fit(terms)
    return np.ascontiguousarray(model.components_.T, np.float32)

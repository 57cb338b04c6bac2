"""What unlabelled texts of a project say about its labels before there are examples.

Names say what a label is called, not what texts with it look like. Texts of the project that resemble a name move the
direction by which the label is known towards themselves, softly and a few times over (expectation and maximisation of
a mixture on the sphere). Texts that are to be judged must not be among them.
"""

import numpy as np

from backend.core.types import FloatArray
from backend.models.kernel import SHARPNESS, Prior, unit

MAX_POOL = 2_000  # texts; more cost time and move nothing
MIN_POOL = 50  # texts; fewer say nothing of 3 or of 150 labels
ROUNDS = 8
CERTAINTY = 20.0  # logits per unit of cosine while directions move; twice as sure as the prior is in the end
# with 5, good hints of 10 labels lost 7 points; with 20, the names of 150 labels gained 3 points less
NAME_WORTH = 10.0  # texts that a label's own words count for
EVENNESS = 0.3  # 0 lets labels be as frequent as they seem, 1 makes all equally frequent


def prior_of(labels: FloatArray, pool: FloatArray) -> Prior:
    """The prior of labels' names (n_labels, lead), moved by the vectors of unlabelled texts (n_texts, lead)."""
    if len(pool) < MIN_POOL or len(labels) < 2:
        return Prior.of(labels)
    own, texts = unit(labels), unit(pool)
    centre = texts.mean(axis=0)
    names, texts = unit(own - own.mean(axis=0)), unit(texts - centre)
    directions: FloatArray = names
    biases: FloatArray = np.zeros(len(names), np.float32)
    for _ in range(ROUNDS):
        shares, biases = _shares(np.asarray(CERTAINTY * texts @ directions.T, np.float32))
        directions = unit(NAME_WORTH * names + shares.T @ texts)
    return Prior(directions, np.asarray(centre, np.float32), biases * np.float32(SHARPNESS / CERTAINTY))


def _shares(logits: FloatArray) -> tuple[FloatArray, FloatArray]:
    """How much each text belongs to each label, (n_texts, n_labels), and biases that make labels more even."""
    biases = np.zeros(logits.shape[1], np.float32)
    for _ in range(5):
        shares = softmax(logits + biases)
        frequency = np.log(np.maximum(shares.mean(axis=0) * logits.shape[1], 1e-3))
        biases = biases - 0.7 * (EVENNESS * frequency + (1 - EVENNESS) * biases)
    return softmax(logits + biases), np.asarray(biases, np.float32)


def softmax(logits: FloatArray) -> FloatArray:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float32)

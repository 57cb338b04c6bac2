"""The one fuser: features to probabilities, at every cost level.

Weights are fixed and stated here; temperatures and the out-of-scope bias are fitted per model on out-of-fold
predictions (training/calibrate.py). A missing feature adds nothing to any column.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from backend.core.types import STAGES, FloatArray, Stage
from backend.pipeline.evidence import NO_STAGE, Evidence

WEIGHTS: Mapping[str, float] = {  # logits per unit of the feature, before temperature
    "classifier": 1.0,  # a logarithm of probability already: the unit of all others
    "neighbours": 0.5,  # adds 2.5 for a copy, hardly anything for texts that share no more than a topic
    "names": 0.5,  # per spread; a label's own words: the best witness beside few examples; fitted where there are some
    "lexical": 0.2,  # the best label by words gets 0.2: BM25 over short texts is a weak witness
    "vote": 0.15,  # small models mistake the plausible for the likely: on our samples 0.6 lost 10 points, 0.15 none
    "keywords": 2.0,  # a rule is a person's word: as much as all neighbours and the label's words together
    "relevance": 1.5,  # 0-1; a label that a cross-encoder is sure of gets what five spreads of its own words give
    "irrelevance": 0.5,  # 1 for out-of-scope where no candidate is relevant: 7 times likelier after retrieval
}
TEMPERATURES: Mapping[Stage, float] = {  # where nothing was fitted; the higher, the less sure
    "retrieve": 0.25,  # from label names alone, over CLINC150 and MASSIVE in English and Russian
    "classify": 0.65,  # from 50 to 15,000 examples of the same: 0.5 to 1.0
    "vote": 0.25,
}
NOVEL_BELOW = 0.0  # spreads above unrelated texts: under it the best label explains a text worse than "none"
NOVEL_SLOPE = 1.0  # logits per spread
NOVEL_UNASKED = -2.0  # logits: a project without a choice for "none of these" seldom has such texts


class Fuser(Protocol):
    """What the pipeline needs; a learned fuser can stand in for the fixed one."""

    def fuse(self, evidence: Evidence) -> FloatArray:
        """(n_texts, n_labels + 1), rows sum to 1, the last column is out-of-scope."""
        ...


@dataclass(frozen=True)
class FixedFuser:
    """A weighted sum of features, softened by a temperature per cost level."""

    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    temperatures: Mapping[Stage, float] = field(default_factory=lambda: TEMPERATURES)
    knows_oos: bool = False  # the model was fitted on out-of-scope examples, so that their column has evidence
    oos_bias: float = 0.0  # logit, added to out-of-scope where `knows_oos`

    def fuse(self, evidence: Evidence) -> FloatArray:
        """(n_texts, n_labels + 1), rows sum to 1, the last column is out-of-scope."""
        fitted = np.array([*(self.temperatures[stage] for stage in STAGES), 1.0], np.float32)
        temperatures = fitted[np.where(evidence.stages == NO_STAGE, len(STAGES), evidence.stages)]
        bias = np.full(len(evidence), self.oos_bias, np.float32) if self.knows_oos else novelty(evidence)
        return probabilities(self.logits(evidence), temperatures, bias, knows_oos=self.knows_oos)

    def logits(self, evidence: Evidence) -> FloatArray:
        """(n_texts, n_labels + 1): the weighted sum of the features that are there."""
        weights = np.array([self.weights.get(name, 0.0) for name in evidence.names], np.float32)
        seen = np.where(evidence.present, evidence.values, 0.0)
        return np.asarray(seen @ weights, np.float32)


def probabilities(logits: FloatArray, temperatures: FloatArray, bias: FloatArray, *, knows_oos: bool) -> FloatArray:
    """Softmax over labels and out-of-scope.

    Args:
        logits: (n_texts, n_labels + 1).
        temperatures: (n_texts,).
        bias: (n_texts,), added to out-of-scope.
        knows_oos: the logit of out-of-scope stands by itself; otherwise it is the log odds against all labels together.
    """
    softened = logits / temperatures[:, None]
    softened[:, -1] += bias if knows_oos else bias + log_sum_exp(softened[:, :-1])
    return np.asarray(np.exp(softened - log_sum_exp(softened)[:, None]), np.float32)


def novelty(evidence: Evidence) -> FloatArray:
    """(n_texts,) log odds of out-of-scope where no example of it is known: no label resembles the text."""
    dense = evidence.feature("dense")
    if dense is None or not len(evidence.labels):
        return np.zeros(len(evidence), np.float32)
    best = np.where(dense.present, dense.values, -np.inf)[:, :-1].max(axis=1)
    asked = 0.0 if evidence.labels.oos_value else NOVEL_UNASKED
    return np.asarray(NOVEL_SLOPE * (NOVEL_BELOW - np.where(np.isfinite(best), best, NOVEL_BELOW)) + asked, np.float32)


def log_sum_exp(logits: FloatArray) -> FloatArray:
    """(n_rows,); 0 for rows without columns."""
    if not logits.shape[1]:
        return np.zeros(len(logits), np.float32)
    top = logits.max(axis=1)
    return np.asarray(top + np.log(np.exp(logits - top[:, None]).sum(axis=1)), np.float32)

"""The one fuser: features to probabilities, at every cost level.

Which label, given that one of them is right: a weighted sum of what is known of each pair of text and label, the same
weights for every label, so that a label without an example is judged like any other. Whether one of them is right at
all: log odds by the signs that a text resembles none. Stated weights stand here; training/calibrate.py fits them on
out-of-fold predictions, drawn towards these. A missing finding adds nothing. How sure the sum may make of the best
label is a matter of its own (scaling.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from backend.core.types import STAGES, FloatArray, IntArray, Stage
from backend.pipeline.evidence import NO_STAGE, NONE, Evidence
from backend.pipeline.scaling import Answers, Scaling, best_affinity, best_odds, counted, fitted

Weights = Mapping[Stage, Mapping[str, float]]

CHEAP: Mapping[str, float] = {  # before a classifier has looked; logits per unit of the feature
    "names": 2.0,  # per spread; a label's own words: the best witness beside few examples
    "neighbours": 2.0,  # adds 10 for a copy, hardly anything for texts that share no more than a topic
    "lexical": 0.8,  # the best label by words gets 0.8: BM25 over short texts is a weak witness
    "keywords": 8.0,  # a rule is a person's word: as much as all neighbours and the label's words together
    "relevance": 6.0,  # 0-1; a label that a cross-encoder is sure of gets what three spreads of its own words give
    "irrelevance": 2.0,  # 1 for out-of-scope where no candidate is relevant
}
CLASSIFIED: Mapping[str, float] = {
    "classifier": 3.5,  # from no example at all to 100 a label, in two languages: 3 to 5
    "names": 1.0,  # per spread; while examples are few
    "dense": 0.3,  # per spread, of the nearest example or the label's own words
    "neighbours": 0.3,
    "lexical": 1.2,  # the best label by words gets 1.2
    "keywords": 3.0,
    "relevance": 2.3,
    "irrelevance": 0.8,
}
WEIGHTS: Weights = {
    "retrieve": CHEAP,
    "classify": CLASSIFIED,
    "vote": CLASSIFIED,
}  # and what voters state of themselves
SIGNS: Weights = {  # log odds of out-of-scope per unit; see `signs`
    "retrieve": {"bias": 1.0, "near": -1.0},
    "classify": {"bias": 0.0, "near": -0.5, "score": -0.5, "oos": 0.4},
    "vote": {"bias": 0.0, "near": -0.5, "score": -0.5, "oos": 0.4},
}
ASSUMED_SHARE = 0.01  # of texts that are out of scope, where a project has a choice for them
MOST_ASSUMED = 0.5  # however many of the examples are
UNASKED_SHARE = 0.005  # the same where it has none
FITTED_SHARE = 0.5  # that the signs' weights are made for
RULES = ("keywords",)  # a person's word: it counts as stated, however little else may count
OOS_FEATURES = ("keywords", "irrelevance")  # that speak for out-of-scope as they do for a label; and voters


@dataclass(frozen=True)
class Fuser:
    """Probabilities over labels and out-of-scope."""

    weights: Weights = field(default_factory=lambda: WEIGHTS)
    signs: Weights = field(default_factory=lambda: SIGNS)
    assumed_share: float = ASSUMED_SHARE  # of texts out of scope, before one has been looked at
    scalings: Mapping[Stage, Scaling] = field(default_factory=dict)  # a stage without one is as sure as its weights

    def fuse(self, evidence: Evidence) -> FloatArray:
        """(n_texts, n_labels + 1), rows sum to 1, the last column is out-of-scope."""
        probs = np.zeros((len(evidence), len(evidence.labels) + 1), np.float32)
        for number, stage in enumerate(STAGES):
            rows = evidence.stages == number
            if stage == "retrieve":
                rows |= evidence.stages == NO_STAGE
            if rows.any():
                probs[rows] = self._at(evidence.take(rows), stage)
        return probs

    def _at(self, evidence: Evidence, stage: Stage) -> FloatArray:
        """Rules are added after scaling."""
        logits, rules = self.logits(evidence, stage), self.rules(evidence, stage)
        if scaling := self.scalings.get(stage):
            logits = scaling.scaled(logits, named(evidence))
        return joined(logits + rules, self.odds(evidence, stage))

    def logits(self, evidence: Evidence, stage: Stage) -> FloatArray:
        """(n_texts, n_labels), of all but rules, as the weights have it."""
        weights = {name: weight for name, weight in self.weights[stage].items() if name not in RULES}
        return weighted(evidence, weights)[:, :-1]

    def rules(self, evidence: Evidence, stage: Stage) -> FloatArray:
        """(n_texts, n_labels), of rules."""
        return weighted(evidence, {name: self.weights[stage].get(name, 0.0) for name in RULES})[:, :-1]

    def odds(self, evidence: Evidence, stage: Stage) -> FloatArray:
        """(n_texts,): log odds that none of the labels is right."""
        odds = novelty(evidence, self.signs[stage]) + logit(self.assumed_share) - logit(FITTED_SHARE)
        said = {name: weight for name, weight in self.weights[stage].items() if _speaks_of_none(name)}
        pairs = weighted(evidence, said)
        return np.asarray(odds + pairs[:, -1] - (pairs[:, :-1].max(axis=1) if pairs.shape[1] > 1 else 0.0), np.float32)

    def with_votes(self, weights: Mapping[str, float]) -> "Fuser":
        """The same with other weights of the last stage."""
        return replace(self, weights={**self.weights, "vote": weights})

    def with_experience(self, known: float) -> "Fuser":
        """The same, where that much experience is known by now; see `scaling.experience`."""
        grown = {stage: replace(scaling, known=known) for stage, scaling in self.scalings.items()}
        return replace(self, scalings=grown)

    def answers(self, evidence: Evidence, stage: Stage, columns: IntArray) -> Answers:
        """What was said of examples with labels (n_examples,) that had not been seen; there are two labels at least."""
        logits, scaling = self.logits(evidence, stage), self.scalings.get(stage, Scaling())
        return Answers(
            best_odds(logits / np.float32(scaling.scale)),
            best_odds(logits),
            best_affinity(logits, named(evidence)),
            np.asarray(1.0 / (1.0 + np.exp(-np.clip(self.odds(evidence, stage), -60.0, 60.0))), np.float32),
            np.asarray(logits.argmax(axis=1) == columns, np.bool_),
            counted(columns),
        )

    def with_answers(self, evidence: Evidence, stage: Stage, columns: IntArray) -> "Fuser":
        """The same as answers on examples that came since the training move it; in place of earlier ones."""
        scaling = self.scalings[stage]
        bias, slope = fitted(self.answers(evidence, stage, columns), scaling)
        told = {"told_bias": bias - scaling.bias, "told_slope": slope - scaling.slope}
        moved = {each: replace(self.scalings[each], **told) for each in (stage, "vote") if each in self.scalings}
        return replace(self, scalings={**self.scalings, **moved})


def _speaks_of_none(name: str) -> bool:
    return name in OOS_FEATURES or name.startswith(NONE)


def named(evidence: Evidence) -> FloatArray:
    """(n_texts, n_labels): how near each label's own words are, in spreads; 0 where that is not known."""
    names = evidence.feature("names")
    if names is None:
        return np.zeros((len(evidence), len(evidence.labels)), np.float32)
    return np.where(names.present, names.values, 0.0)[:, :-1].astype(np.float32)


def weighted(evidence: Evidence, weights: Mapping[str, float]) -> FloatArray:
    """(n_texts, n_labels + 1): the weighted sum of the features that are there."""
    by_name = np.array([weights.get(name, 0.0) for name in evidence.names], np.float32)
    seen = np.where(evidence.present, evidence.values, 0.0)
    return np.asarray(seen @ by_name, np.float32)


def joined(labels: FloatArray, odds: FloatArray) -> FloatArray:
    """(n_texts, n_labels + 1) probabilities.

    Args:
        labels: (n_texts, n_labels) logits of each label, given that one is right.
        odds: (n_texts,) log odds that none is.
    """
    if not labels.shape[1]:
        return np.ones((len(labels), 1), np.float32)
    none = 1.0 / (1.0 + np.exp(-np.clip(odds, -60.0, 60.0)))
    shares = np.exp(labels - log_sum_exp(labels)[:, None])
    return np.asarray(np.concatenate([shares * (1.0 - none)[:, None], none[:, None]], axis=1), np.float32)


def novelty(evidence: Evidence, weights: Mapping[str, float]) -> FloatArray:
    """(n_texts,) log odds that none of the labels is right, where half of all texts are so."""
    found = signs(evidence)
    total = np.full(len(evidence), weights.get("bias", 0.0), np.float32)
    for name, values in found.items():
        total += weights.get(name, 0.0) * np.nan_to_num(values)
    return total


def signs(evidence: Evidence) -> Mapping[str, FloatArray]:
    """How much a text resembles the labels at all, (n_texts,) each; NaN where a level did not look.

    near: the mean similarity of the nearest examples of labels, in spreads above unrelated texts; before there are
        examples, that of the nearest label's words
    score: the best label's classifier value, 0 for a sure one
    oos: by how much the classifier's value of out-of-scope exceeds that of the best label
    """
    found: dict[str, FloatArray] = {}
    if not len(evidence.labels):
        return found
    for name, feature in (("near", "near"), ("nearest", "dense"), ("score", "classifier")):
        if (values := evidence.feature(feature)) is not None:
            best = np.where(values.present, values.values, -np.inf)[:, :-1].max(axis=1)
            found[name] = np.where(np.isfinite(best), best, np.nan).astype(np.float32)
    if (nearest := found.pop("nearest", None)) is not None:
        near = found.get("near", nearest)
        found["near"] = np.where(np.isnan(near), nearest, near)
    classifier = evidence.feature("classifier")
    if classifier is not None:
        oos = np.where(classifier.present[:, -1], classifier.values[:, -1], np.nan)
        found["oos"] = np.asarray(oos - found["score"], np.float32)
    return found


def logit(share: float) -> float:
    return float(np.log(share / (1.0 - share)))


def log_sum_exp(logits: FloatArray) -> FloatArray:
    """(n_rows,)."""
    top = logits.max(axis=1)
    return np.asarray(top + np.log(np.exp(logits - top[:, None]).sum(axis=1)), np.float32)

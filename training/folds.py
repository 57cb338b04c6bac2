"""Out-of-fold prediction: what the whole pipeline says about each example when it has not seen its group."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from backend.core.deadline import FOREVER, Deadline
from backend.core.types import Example, FloatArray, IntArray, LabelSpace, Stage
from backend.models.linear import LinearClassifier
from backend.pipeline.clean import clean
from backend.pipeline.decide import ABSTAIN_BELOW
from backend.pipeline.fuse import WEIGHTS, FixedFuser, novelty
from backend.pipeline.gate import Gate
from backend.pipeline.levels import Classification, NoLevel
from backend.pipeline.pipeline import CHUNK, Pipeline
from backend.pipeline.retrieve import Embedder, Index
from training.calibrate import Calibration, Predicted, names_prior, soften
from training.evaluate import Outcome
from training.fit import fit_linear, rows_of
from training.splits import FOLDS, folds

Fitted = Literal["retrieve", "classify"]
FITTED: tuple[Fitted, ...] = ("retrieve", "classify")


@dataclass(frozen=True, slots=True)
class Material:
    """The examples of one training with their vectors, computed once."""

    space: LabelSpace
    examples: tuple[Example, ...]  # all usable
    labels: FloatArray  # (n_labels, dim), of the labels' own words
    vectors: FloatArray  # (n_examples, dim)

    @property
    def values(self) -> tuple[str, ...]:
        """The value of each column."""
        return (*self.space.values, self.space.oos_value)

    @property
    def columns(self) -> IntArray:
        """(n_examples,): the column of each example's label."""
        column = {value: number for number, value in enumerate(self.values)}
        return np.array([column[example.label] for example in self.examples], np.int64)

    @property
    def knows_oos(self) -> bool:
        return bool(np.any(self.columns == len(self.space)))


@dataclass(frozen=True)
class Remembered:
    """An embedder whose vectors of the training texts are known already."""

    embedder: Embedder
    rows: dict[str, int]
    vectors: FloatArray

    @classmethod
    def of(cls, material: Material, embedder: Embedder) -> "Remembered":
        rows = {clean(example.text): row for row, example in enumerate(material.examples)}
        return cls(embedder, rows, material.vectors)

    @property
    def dim(self) -> int:
        return self.embedder.dim

    @property
    def floor(self) -> float:
        return self.embedder.floor

    @property
    def spread(self) -> float:
        return self.embedder.spread

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """(n_texts, dim), of training texts only."""
        return self.vectors[[self.rows[text] for text in texts]]

    def windows(self, texts: Sequence[str], *, deadline: Deadline) -> list[FloatArray]:  # noqa: ARG002
        """(1, dim) a text: long ones were pooled before."""
        return [vector[None] for vector in self.embed(texts)]


def classifier_of(
    material: Material, *, family: str, seed: int, take: IntArray | None = None
) -> LinearClassifier | None:
    """Fit on all or some examples; None where the family says so, or where there is nothing to tell apart."""
    take = np.arange(len(material.examples)) if take is None else take
    if family == "none" or not len(take):
        return None
    rows = rows_of(material.space, material.examples, material.labels, material.vectors, take=take)
    if len(np.unique(rows.columns)) < 2:
        return None
    return fit_linear(rows, n_columns=len(material.values), seed=seed)


@dataclass(frozen=True, slots=True)
class Folding:
    """How out-of-fold predictions are made."""

    family: str
    seed: int
    n_folds: int = FOLDS
    max_rows: int | None = None  # predicted, spread over all; None: all that may judge
    judges: frozenset[str] | None = None  # ids that may judge; None: all


def out_of_fold(material: Material, pipeline: Pipeline, folding: Folding) -> tuple[Predicted, IntArray]:
    """Logits of every level about examples that may judge, and the rows of these examples.

    Args:
        pipeline: gives all that is not learned from the examples.
    """
    asked = _asked(material, folding)
    parts = folds(material.examples, n_folds=folding.n_folds)
    rows_of_part = [np.intersect1d(part, asked) for part in (parts if len(parts) > 1 else [])]
    predicted = [
        logits_of(_blind(pipeline, material, part, folding), material, rows)
        for part, rows in zip(parts, rows_of_part, strict=False)
    ]
    return _joined([_nothing(material), *predicted]), np.concatenate([np.zeros(0, np.int64), *rows_of_part])


def _asked(material: Material, folding: Folding) -> IntArray:
    judges = folding.judges
    rows = [row for row, example in enumerate(material.examples) if judges is None or example.id in judges]
    if folding.max_rows is not None and len(rows) > folding.max_rows:
        rows = sorted(np.random.default_rng(folding.seed).permutation(rows)[: folding.max_rows].tolist())
    return np.array(rows, np.int64)


def _blind(pipeline: Pipeline, material: Material, fold: IntArray, folding: Folding) -> Pipeline:
    """The pipeline as it would be without the examples of a fold; its gate asks every level."""
    rest = np.setdiff1d(np.arange(len(material.examples)), fold)
    classifier = classifier_of(material, family=folding.family, seed=folding.seed, take=rest)
    known = [material.examples[row] for row in rest]
    retrieval = replace(
        pipeline.retrieval,
        embedder=Remembered.of(material, pipeline.retrieval.embedder),
        index=Index.of(material.space, material.labels, known, material.vectors[rest]),
    )
    return replace(
        pipeline, retrieval=retrieval, gate=Gate(dict.fromkeys(FITTED, 2.0)),
        classification=NoLevel() if classifier is None else Classification(classifier),
    )  # fmt: skip


def logits_of(pipeline: Pipeline, material: Material, rows: IntArray) -> Predicted:
    """What each level of a pipeline says about some examples, chunk by chunk."""
    base = {**WEIGHTS, "names": 0.0}
    fusers = {"retrieve": FixedFuser({**base, "classifier": 0.0}), "classify": FixedFuser(base)}
    names_only = FixedFuser({"names": 1.0})
    parts = [_nothing(material)]
    for start in range(0, len(rows), CHUNK):
        asked = rows[start : start + CHUNK]
        evidence = pipeline.gather([material.examples[row].text for row in asked], FOREVER)
        logits: dict[Stage, FloatArray] = {stage: fusers[stage].logits(evidence) for stage in FITTED}
        parts.append(
            replace(
                parts[0], base=logits, names=names_only.logits(evidence), novelty=novelty(evidence),
                columns=material.columns[asked],
            )
        )  # fmt: skip
    return _joined(parts)


def _nothing(material: Material) -> Predicted:
    none = np.zeros((0, len(material.values)), np.float32)
    n_per_label = len(material.examples) / max(len(material.values) - (not material.knows_oos), 1)
    hinted = sum(bool(label.hint) for label in material.space.labels) / max(len(material.space), 1)
    base: dict[Stage, FloatArray] = dict.fromkeys(FITTED, none)
    return Predicted(
        base, names=none, novelty=np.zeros(0, np.float32), columns=np.zeros(0, np.int64),
        knows_oos=material.knows_oos, names_prior=names_prior(n_per_label=n_per_label, hinted=hinted),
    )  # fmt: skip


def _joined(parts: Sequence[Predicted]) -> Predicted:
    base: dict[Stage, FloatArray] = {stage: np.concatenate([part.base[stage] for part in parts]) for stage in FITTED}
    return replace(
        parts[0], base=base, names=np.concatenate([part.names for part in parts]),
        novelty=np.concatenate([part.novelty for part in parts]),
        columns=np.concatenate([part.columns for part in parts]),
    )  # fmt: skip


def outcomes_of(
    predicted: Predicted, rows: IntArray, material: Material, calibration: Calibration, *, last: Stage
) -> list[Outcome]:
    """What would have been decided about each of `rows`, calibrated."""
    probs = soften(predicted, last, calibration.last)
    best = probs.argmax(axis=1)
    return [
        Outcome(
            material.examples[row].id, material.examples[row].label, material.values[best[at]],
            float(probs[at, best[at]]), float(probs[at, -1]), bool(probs[at, best[at]] < ABSTAIN_BELOW),
        )
        for at, row in enumerate(rows)
    ]  # fmt: skip

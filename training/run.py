"""Training: examples to a model folder that serves.

With no examples at all the folder holds an index over the labels' own words: everything that serves is such a folder.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from backend.assembly import Assembly, compose, decided_by
from backend.core.artefacts import Manifest, cold_version, new_version, publishing, write_manifest
from backend.core.code_version import code_version
from backend.core.errors import BadInputError
from backend.core.languages import MIXED, checked_language
from backend.core.profiles import Profile
from backend.core.types import DataFingerprint, Example, FloatArray, LabelSpace
from backend.models.kernel import KernelClassifier
from backend.pipeline.budget import Budget, NoBudget
from backend.pipeline.clean import CLEANING, clean
from backend.pipeline.fuse import ASSUMED_SHARE, MOST_ASSUMED, UNASKED_SHARE
from backend.pipeline.language import detect_language, mixture
from backend.pipeline.pipeline import Pipeline
from backend.pipeline.retrieve import Embedder, Index, embed_examples, embed_labels, embed_texts, usable
from backend.pipeline.scaling import experience
from backend.pipeline.stored import save_index
from backend.pipeline.voting import Voting
from training.blind import Blindfold, Material
from training.evaluate import metrics_of
from training.fit import FAMILIES, Fitted, fit_kernel
from training.judge import GOLD, HOLDOUT, Judged, judge, save_judged
from training.out_of_fold import OutOfFold
from training.pool import MAX_POOL, MIN_POOL, prior_of
from training.scaling import expected
from training.splits import Split, split, without
from training.votes import PATIENCE_S, Learned, learn_votes

NO_BUDGET = NoBudget()


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What a training may be told."""

    language: str = ""  # a code of ISO 639, or "mixed"; empty: detected from the texts
    languages: tuple[str, ...] = ()  # of a mixture, the most usual first; empty: detected from the texts
    language_by: str = ""  # who told the language: settings, texts or labels; empty: the language is open
    profile: str = ""  # empty: the backend's own
    family: str = "kernel"  # "none": no classifier, only what resembles a text
    seed: int = 0
    version: str = ""  # empty: made from time and data
    config_hash: str = ""  # of the label config
    judges: frozenset[str] | None = None  # ids whose labels may judge and calibrate; None: all
    keywords: Mapping[str, Sequence[str]] = field(default_factory=dict)  # label value -> words
    generation: int = 0  # of the project's neighbour index, which the examples stand for
    project: str = ""  # its key; empty: a file
    ask_voters: bool = False  # about some examples, to learn what their votes are worth
    patience_s: float = PATIENCE_S  # for that
    earlier: Mapping[str, Any] = field(default_factory=dict)  # parameters of the version before, whose votes may stand


def train(
    examples: Sequence[Example], space: LabelSpace, *, out: Path, options: TrainingOptions, assembly: Assembly,
    holdout: frozenset[str] | None = None, gold: Sequence[Example] = (), pool: Sequence[str] = (),
    telling: Sequence[str] = (), budget: Budget = NO_BUDGET,
) -> Manifest:  # fmt: skip
    """Fit, calibrate, judge and publish a model folder.

    Args:
        holdout: ids to hold out; None holds out by hash (training/splits.py).
        gold: never trained on; judges in place of the holdout.
        pool: texts of the project without a label, which say what labels look like before examples do.
        telling: texts that tell the language where neither examples nor `pool` do.
        budget: that voters are asked from.

    Raises:
        BadInputError: an unknown family, profile or language.
        ArtefactError: `out` exists, or the embedder's weights are missing.
    """
    options = _settled(options, [example.text for example in examples] or pool or telling, space, assembly)
    known = usable(examples, space)
    parts = _parts(known, space, gold, holdout, options)
    with publishing(out) as folder:
        embedder = assembly.embedder(options.language, profile=options.profile)
        labels = embed_labels(space, embedder)
        material = Material(space, parts.train, labels, embed_examples(parts.train, embedder, labels))
        parameters = _parameters(options, material, assembly) | {
            "n_left_out": len(examples) - len(known),
            "n_pool": min(len(pool), MAX_POOL),
        }
        unlabelled = _unlabelled(pool, material, options, embedder)
        fitted = _fitted(material, options, embedder, unlabelled)
        classifier = None if fitted is None else fitted.classifier
        pipeline = _pipeline(material, parameters, options, embedder, assembly, classifier)
        unseen = OutOfFold.of(Blindfold(material, material.rows, pipeline.retrieval, fitted), options)
        before = expected(experience(material.columns, len(space)), has_pool=len(unlabelled) >= MIN_POOL)
        calibration = unseen.calibrated(share=parameters["assumed_share"], expected=before)
        parameters |= calibration.parameters()
        pipeline = replace(pipeline, **decided_by(parameters, classifies=classifier is not None))
        if options.ask_voters:
            parameters |= _votes(unseen, pipeline, options, assembly, budget)
        if parts.holdout:
            judged = Judged(GOLD if gold else HOLDOUT, parts.holdout, judge(pipeline, parts.holdout))
        else:
            judged = unseen.judged(pipeline)
        save_index(folder, material.examples, material.labels, material.vectors)
        save_judged(folder, judged)
        unseen.save(folder, pipeline.fuser)
        if classifier is not None:
            classifier.save(folder)
        manifest = _manifest(material, parameters, options, judged, family=options.family)
        write_manifest(folder, manifest)
    return manifest


def _unlabelled(pool: Sequence[str], material: Material, options: TrainingOptions, embedder: Embedder) -> FloatArray:
    """(n_texts, dim), of at most MAX_POOL texts."""
    chosen = np.random.default_rng(options.seed).permutation(len(pool))[:MAX_POOL].tolist()
    return embed_texts([clean(pool[at]) for at in chosen], embedder, material.labels)


def _fitted(material: Material, options: TrainingOptions, embedder: Embedder, unlabelled: FloatArray) -> Fitted | None:
    if options.family == "none":
        return None
    prior = prior_of(material.labels[:, : embedder.lead], unlabelled[:, : embedder.lead])
    # label names are of the project's topic, but are no texts: half of what they share is what texts share
    background = (
        unlabelled.mean(axis=0) if len(unlabelled) else material.labels.sum(axis=0) / max(2 * len(material.labels), 1)
    )
    return fit_kernel(
        material.rows, prior, background=background, n_columns=len(material.values), seed=options.seed
    )  # fmt: skip


def _votes(
    unseen: OutOfFold, pipeline: Pipeline, options: TrainingOptions, assembly: Assembly, budget: Budget
) -> dict[str, Any]:
    """What the language models' votes are worth; nothing where there are none, or too few examples to tell."""
    voters = assembly.voters(options.language, options.profile, project=options.project)
    heard = tuple(voter for voter in voters if voter.weight)
    if not heard:
        return {}
    voting = Voting(heard, pipeline.retrieval.index.shots, budget=budget)
    earlier = Learned.of(options.earlier)
    if earlier is None or not earlier.stands(len(unseen.blindfold.rows), voting):
        earlier = learn_votes(unseen, pipeline.fuser, voting, seed=options.seed, patience_s=options.patience_s)
    return {"votes": earlier.parameters()} if earlier else {}


def _settled(options: TrainingOptions, texts: Sequence[str], space: LabelSpace, assembly: Assembly) -> TrainingOptions:
    """The options with nothing left open but the version.

    Args:
        texts: that tell the language; where there are none, labels do.
    """
    if options.family not in FAMILIES:
        raise BadInputError(f"family must be one of {', '.join(FAMILIES)}, was {options.family!r}")
    language, profile = checked_language(options.language, "language"), assembly.profile(options.profile).name
    told_by = "settings" if language else "texts" if texts else "labels"
    language = language or detect_language(texts, names=[label.document for label in space.labels])
    languages = options.languages or (mixture(texts) if language == MIXED else ())
    return replace(options, language=language, languages=languages, language_by=told_by, profile=profile)


def _parts(
    known: Sequence[Example], space: LabelSpace, gold: Sequence[Example], holdout: frozenset[str] | None,
    options: TrainingOptions,
) -> Split:  # fmt: skip
    if gold:
        judging = tuple(usable(gold, space))
        return Split(without(known, judging), judging)
    return split(known, holdout=holdout, judges=options.judges)


def _parameters(options: TrainingOptions, material: Material, assembly: Assembly) -> dict[str, Any]:
    """What a pipeline needs beside its files, before calibration."""
    profile = assembly.profile(options.profile)
    return {
        **profile.parameters,
        "cleaning": CLEANING,
        "embedder": profile.embedder(options.language).uri,
        "languages": list(options.languages),
        "language_by": options.language_by,
        "keywords": {value: list(words) for value, words in options.keywords.items()},
        "assumed_share": _assumed_share(material, profile),
        "generation": options.generation,
    }


def _assumed_share(material: Material, profile: Profile) -> float:
    """Of texts to come that are out of scope: stated, or as among the examples where that is more.

    Fewer among the examples say little: where people label what a project is about, they leave the rest out.
    """
    if not material.space.oos_value:
        return UNASKED_SHARE
    stated = float(profile.parameters.get("assumed_share", ASSUMED_SHARE))
    outside = int((material.columns == len(material.space)).sum())
    return max(stated, min(outside / max(len(material.examples), 1), MOST_ASSUMED))


def _pipeline(
    material: Material,
    parameters: Mapping[str, Any],
    options: TrainingOptions,
    embedder: Embedder,
    assembly: Assembly,
    classifier: KernelClassifier | None,
) -> Pipeline:
    stemmer = assembly.stemmer(options.language)
    index = Index.of(material.space, material.labels, material.examples, material.vectors, stemmer=stemmer)
    return compose(
        material.space,
        index,
        classifier,
        parameters,
        embedder=embedder,
        reranker=assembly.reranker(options.profile),
        voters=(),
    )


def _manifest(
    material: Material, parameters: Mapping[str, Any], options: TrainingOptions, judged: Judged, *, family: str
) -> Manifest:
    data = fingerprint(material.examples)
    made_of = json.dumps([data.sha256, asdict(material.space), parameters, options.seed, options.config_hash, family])
    made = new_version(made_of) if data.n_examples else cold_version(made_of)
    return Manifest(
        version=options.version or made,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        labels=material.space,
        profile=options.profile,
        language=options.language,
        family=family,
        data=data,
        metrics=metrics_of(judged.outcomes, oos_value=material.space.oos_value),
        judged_on=judged.on,
        parameters=parameters,
        seed=options.seed,
        code_version=code_version(),
        config_hash=options.config_hash,
    )


def fingerprint(examples: Sequence[Example]) -> DataFingerprint:
    """What was trained on, without the texts."""
    triples = sorted((example.id, example.text, example.label) for example in examples)
    per_label = Counter(example.label for example in examples)
    digest = hashlib.sha256(json.dumps(triples).encode()).hexdigest()
    return DataFingerprint(len(examples), len(per_label), digest, dict(sorted(per_label.items())))

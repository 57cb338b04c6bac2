"""Names to objects: a profile's entries to loaded models, a model folder to a pipeline.

The only place that knows which class stands behind which name. Models are loaded once and shared.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from backend.core.artefacts import Manifest, read_manifest
from backend.core.errors import ArtefactError, BadInputError, MissingExtraError
from backend.core.profiles import ModelSpec, Profile, load_profile
from backend.core.settings import Settings
from backend.core.types import LabelSpace, Stage
from backend.models.embedder import LOADERS, EmbedderOptions, LoadedEmbedder, export_graph
from backend.models.linear import LinearClassifier
from backend.models.llm import LlamaModel
from backend.models.model_uri import graph_folder
from backend.models.reranker import load_reranker
from backend.models.weights import WeightStore
from backend.pipeline.clean import CLEANING
from backend.pipeline.decide import ABSTAIN_BELOW, Policy
from backend.pipeline.fuse import TEMPERATURES, WEIGHTS, FixedFuser
from backend.pipeline.gate import THRESHOLDS, Gate
from backend.pipeline.keywords import KeywordRules
from backend.pipeline.levels import (
    N_CANDIDATES,
    N_VOTED,
    WEIGHT_DENSE,
    WEIGHT_LEXICAL,
    Classification,
    Classifier,
    Level,
    NoLevel,
    Retrieval,
    Voting,
)
from backend.pipeline.pipeline import Pipeline
from backend.pipeline.rerank import N_RERANKED, THRESHOLD, CrossEncoderReranker, NoReranker, RelevanceModel, Reranker
from backend.pipeline.retrieve import Embedder, Index
from backend.pipeline.stored import load_index
from backend.pipeline.vote import Voter, load_voter

CLASSIFIERS = {"linear": LinearClassifier.load}  # family -> who reads its files

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Assembly:
    """What one process has loaded."""

    settings: Settings
    missing_voters: set[str] = field(default_factory=set)  # URIs that could not be loaded, for doctor and metrics
    missing_rerankers: set[str] = field(default_factory=set)  # the same of cross-encoders
    _embedders: dict[str, LoadedEmbedder] = field(default_factory=dict, repr=False)
    _rerankers: dict[str, RelevanceModel] = field(default_factory=dict, repr=False)
    _voters: dict[tuple[str, str], Voter] = field(default_factory=dict, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def store(self) -> WeightStore:
        return WeightStore(self.settings.models_dir)

    def profile(self, name: str = "") -> Profile:
        """A profile by name; the backend's own where the name is empty."""
        return load_profile(name or self.settings.profile)

    def embedder(self, language: str, *, profile: str = "") -> LoadedEmbedder:
        """The embedder of a language, loaded at the first call.

        Raises:
            ArtefactError: its weights are missing or not the ones that the profile means.
            MissingExtraError: the library that loads it is not installed.
        """
        spec = self.profile(profile).embedder(language)
        with self._lock:
            if spec.uri not in self._embedders:
                if spec.kind not in LOADERS:
                    raise BadInputError(f"an embedder's kind must be one of {', '.join(LOADERS)}, was {spec.kind!r}")
                self._embedders[spec.uri] = LOADERS[spec.kind](self.store.path(spec), self._options(spec))
            return self._embedders[spec.uri]

    def export_graphs(self, profile: str = "") -> dict[str, bool]:
        """Make the ONNX graphs that a profile asks for; by URI, whether each is there then."""
        asked = [spec for spec in self.profile(profile).embedders.values() if spec.options.get("onnx")]
        return {spec.uri: export_graph(self.store.path(spec), self._options(spec)) for spec in asked}

    def _options(self, spec: ModelSpec) -> EmbedderOptions:
        return EmbedderOptions.of(spec.options, graph=graph_folder(self.settings.models_dir, spec.uri))

    def pipeline(self, folder: Path) -> Pipeline:
        """The pipeline of a model folder.

        Raises:
            ArtefactError: the folder or the embedder's weights are missing, damaged or of another format.
        """
        manifest = read_manifest(folder)
        require_fitting(manifest, self.profile(manifest.profile), folder)
        classifier = None if manifest.family == "none" else _classifier(manifest.family, folder)
        return compose(
            manifest.labels, load_index(folder, manifest.labels), classifier, manifest.parameters,
            embedder=self.embedder(manifest.language, profile=manifest.profile),
            reranker=self.reranker(manifest.profile),
            voting=self.voting(manifest.language, manifest.profile), language=manifest.language,
        )  # fmt: skip

    def reranker(self, profile: str) -> Reranker:
        """The cross-encoder of a profile; none, with a warning, where it cannot be loaded."""
        chosen = self.profile(profile)
        spec, parameters = chosen.reranker, chosen.parameters
        if spec.kind == "none":
            return NoReranker()
        model = self._relevance(spec)
        k = int(parameters.get("n_reranked", N_RERANKED))
        threshold = float(parameters.get("relevance_threshold", THRESHOLD))
        return NoReranker() if model is None else CrossEncoderReranker(model, k, threshold)

    def _relevance(self, spec: ModelSpec) -> RelevanceModel | None:
        with self._lock:
            if spec.uri in self._rerankers:
                return self._rerankers[spec.uri]
            try:
                model = load_reranker(spec.kind, self.store.path(spec), spec.options)
            except (ArtefactError, MissingExtraError) as err:
                if spec.uri not in self.missing_rerankers:
                    log.warning("reranker_missing", model=spec.uri, reason=str(err))
                self.missing_rerankers.add(spec.uri)
                return None
            self.missing_rerankers.discard(spec.uri)
            self._rerankers[spec.uri] = model
            return model

    def voting(self, language: str, profile: str) -> Level:
        """The language models' level; switched off, with a warning, where the voter cannot be loaded."""
        chosen = self.profile(profile)
        if not chosen.voters:
            return NoLevel()
        voter = self._voter(chosen.voters[0], language)
        return NoLevel() if voter is None else Voting(voter, int(chosen.parameters.get("n_voted", N_VOTED)))

    def _voter(self, spec: ModelSpec, language: str) -> Voter | None:
        key = (spec.uri, language)
        with self._lock:
            if key in self._voters:
                return self._voters[key]
            try:
                voter = load_voter(spec, self.store, language=language, load=LlamaModel)
            except (ArtefactError, MissingExtraError) as err:
                if spec.uri not in self.missing_voters:
                    log.warning("voter_missing", model=spec.uri, reason=str(err))
                self.missing_voters.add(spec.uri)
                return None
            self.missing_voters.discard(spec.uri)
            self._voters[key] = voter
            return voter


def compose(
    space: LabelSpace, index: Index, classifier: Classifier | None, parameters: Mapping[str, Any],
    *, embedder: Embedder, voting: Level, language: str, reranker: Reranker | None = None,
) -> Pipeline:  # fmt: skip
    """A pipeline from its parts and the parameters that stand in its manifest."""
    retrieval = Retrieval(
        embedder, index, KeywordRules.of(parameters.get("keywords", {}), space), reranker or NoReranker(),
        n_candidates=int(parameters.get("n_candidates", N_CANDIDATES)),
        weight_lexical=float(parameters.get("weight_lexical", WEIGHT_LEXICAL)),
        weight_dense=float(parameters.get("weight_dense", WEIGHT_DENSE)),
    )  # fmt: skip
    fuser = FixedFuser(
        weights={**WEIGHTS, "names": float(parameters.get("names_weight", WEIGHTS["names"]))},
        temperatures={**TEMPERATURES, **parameters.get("temperatures", {})},
        knows_oos=bool(parameters.get("knows_oos", False)), oos_bias=float(parameters.get("oos_bias", 0.0)),
    )  # fmt: skip
    return Pipeline(
        labels=space, retrieval=retrieval, fuser=fuser,
        policy=Policy(
            space, float(parameters.get("abstain_below", ABSTAIN_BELOW)), "ru" if language == "ru" else "en"
        ),
        classification=NoLevel() if classifier is None else Classification(classifier), voting=voting,
        gate=_gate({**THRESHOLDS, **parameters.get("thresholds", {})}, classifies=classifier is not None),
    )  # fmt: skip


def _gate(thresholds: Mapping[Stage, float], *, classifies: bool) -> Gate:
    """Without a classifier the language models come right after retrieval, and are as costly as after it."""
    return Gate(thresholds if classifies else {**thresholds, "retrieve": thresholds["classify"]})


def _classifier(family: str, folder: Path) -> Classifier:
    if family not in CLASSIFIERS:
        raise ArtefactError(f"{folder} must be of a family known here ({', '.join(CLASSIFIERS)}), was {family!r}")
    return CLASSIFIERS[family](folder)


def require_fitting(manifest: Manifest, profile: Profile, folder: Path) -> None:
    """Raises ArtefactError where the model was made for another cleaning or another embedder."""
    cleaning = manifest.parameters.get("cleaning")
    if cleaning != CLEANING:
        raise ArtefactError(f"{folder} must be made for cleaning {CLEANING}, was made for {cleaning}; train again")
    uri = profile.embedder(manifest.language).uri
    made_with = manifest.parameters.get("embedder")
    if made_with != uri:
        raise ArtefactError(f"{folder} must be made with embedder {uri}, was made with {made_with}; train again")

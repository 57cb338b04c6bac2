"""Names to objects: a profile's entries to loaded models, a model folder to a pipeline.

The only place that knows which class stands behind which name. Models are loaded once and shared, as long as there is
room for them.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import structlog

from backend.core.artefacts import Manifest, read_manifest
from backend.core.errors import ArtefactError, BadInputError, MissingExtraError, ModelFolderError
from backend.core.languages import MIXED
from backend.core.memory import Memory
from backend.core.profiles import LOCAL, SERVER_KIND, ModelSpec, Profile, load_profile
from backend.core.projects import project_folder
from backend.core.settings import Settings
from backend.core.types import STAGES, LabelSpace
from backend.models.answers import NoAnswers, StoredAnswers, open_answers
from backend.models.chat_server import ChatServer
from backend.models.embedder import LOADERS, EmbedderOptions, LoadedEmbedder, export_graph
from backend.models.kernel import KernelClassifier
from backend.models.llm import LlamaModel
from backend.models.model_uri import graph_folder, parse_uri
from backend.models.prefixes import Prefixes, open_prefixes
from backend.models.reranker import LoadedReranker, load_reranker
from backend.models.server_options import ServerOptions
from backend.models.threads import one_thread
from backend.models.weights import WeightStore
from backend.models.writer import LlamaWriter
from backend.pipeline.chat_vote import load_chat_voter
from backend.pipeline.chroma import Chroma, ChromaIndex, collection_name, open_chroma
from backend.pipeline.clean import CLEANING
from backend.pipeline.decide import ABSTAIN_BELOW, Policy
from backend.pipeline.dense import FaissIndex
from backend.pipeline.fuse import SIGNS, UNASKED_SHARE, WEIGHTS, Fuser
from backend.pipeline.gate import THRESHOLDS, Gate
from backend.pipeline.judge import N_JUDGES, Asked, Panel, panel_of
from backend.pipeline.keywords import KeywordRules
from backend.pipeline.language import Identifier
from backend.pipeline.levels import (
    N_CANDIDATES,
    WEIGHT_DENSE,
    WEIGHT_LEXICAL,
    Classification,
    Classifier,
    NoLevel,
    Retrieval,
    Timed,
    untimed,
)
from backend.pipeline.lexical import STEMS_BYTES, Stemmer, stemmed_as
from backend.pipeline.pipeline import Pipeline
from backend.pipeline.question import Voter
from backend.pipeline.reasons import Speaker, share_script
from backend.pipeline.rerank import N_RERANKED, THRESHOLD, CrossEncoderReranker, NoReranker, RelevanceModel, Reranker
from backend.pipeline.retrieve import Embedder, Index, Indexer
from backend.pipeline.scaling import Scaling
from backend.pipeline.stored import VECTORS, load_index, read_vectors
from backend.pipeline.vote import LlmVoter, load_voter
from backend.pipeline.voting import N_VOTED, Voting, confusions_of, stated

ANSWERS, PREFIXES = "answers", "prefixes"  # folders in the state
UNTOLD_MIXTURE = ("en", "ru")  # of a model that an earlier prelabel made, which told no others apart
CLASSIFIERS = {"kernel": KernelClassifier.load}  # family -> who reads its files

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Assembly:
    """What one process has loaded."""

    settings: Settings
    memory: Memory[Any] = field(default_factory=Memory)  # without a limit: commands load one model and end
    timed: Timed = untimed  # what times the stages of all pipelines
    missing_voters: set[str] = field(default_factory=set)  # that could not be loaded, by URI, for doctor and metrics
    missing_rerankers: set[str] = field(default_factory=set)  # the same of cross-encoders
    recalled: Counter[str] = field(default_factory=Counter)  # answers that were known before, or not; see open_answers
    servers: dict[tuple[str, str], ChatServer] = field(default_factory=dict)  # that were asked, by profile and entry

    def __post_init__(self) -> None:
        one_thread()

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
        if spec.kind not in LOADERS:
            raise BadInputError(f"an embedder's kind must be one of {', '.join(LOADERS)}, was {spec.kind!r}")

        def load() -> LoadedEmbedder:
            embedder = LOADERS[spec.kind](self.store.path(spec), self._options(spec))
            embedder.embed(["."])  # engines that map their file read it now, so that it is weighed
            return embedder

        return self.memory.model(f"embedder {spec.uri}", load, later=lambda embedder: embedder.cache_bytes)

    def export_graphs(self, profile: str = "") -> dict[str, bool]:
        """Make the ONNX graphs that a profile asks for; by URI, whether each is there then."""
        asked = [spec for spec in self.profile(profile).embedders.values() if spec.options.get("onnx")]
        return {spec.uri: export_graph(self.store.path(spec), self._options(spec)) for spec in asked}

    def _options(self, spec: ModelSpec) -> EmbedderOptions:
        return EmbedderOptions.of(spec.options, graph=graph_folder(self.settings.models_dir, spec.uri))

    def servable(self, folder: Path) -> Manifest:
        """The manifest of a model folder that this prelabel can serve; nothing is loaded.

        Raises:
            ModelFolderError: it is missing, damaged, or was made by another prelabel or for other models.
        """
        manifest = read_manifest(folder)
        _require_fitting(manifest, self.profile(manifest.profile), folder)
        return manifest

    def pipeline(self, folder: Path, *, project: str = "", llm: bool = True) -> Pipeline:
        """The pipeline of a model folder.

        Args:
            project: the key of the project that it serves, whose vectors lie where the settings say; others' stay here.
            llm: whether language models are loaded and asked.

        Raises:
            ModelFolderError: the folder is missing, damaged or of another format.
            ArtefactError: the embedder's weights are missing.
            VectorIndexError: the settings name a Chroma that does not answer.
        """
        manifest = self.servable(folder)
        classifier = None if manifest.family == "none" else _classifier(manifest.family, folder)
        indexer = self._indexer(folder, manifest, project)
        return compose(
            manifest.labels, load_index(
                folder, manifest.labels, indexer=indexer, stemmer=self.stemmer(manifest.language)
            ),
            classifier, manifest.parameters,
            embedder=self.embedder(manifest.language, profile=manifest.profile),
            reranker=self.reranker(manifest.profile),
            voters=self.voters(manifest.language, manifest.profile, project=project) if llm else (),
            speaker=self.speaker(manifest.language, manifest.parameters), timed=self.timed,
        )  # fmt: skip

    def stemmer(self, language: str) -> Stemmer:
        """Words are stemmed once for all projects whose language takes their endings off alike."""
        own = stemmed_as(language)
        return self.memory.model(f"stemmer {own}".strip(), lambda: Stemmer(own), later=lambda _: STEMS_BYTES)

    def speaker(self, language: str, parameters: Mapping[str, Any]) -> Speaker:
        """Who gives reasons in a project's language, or in those of its mixture."""
        if language != MIXED:
            return Speaker((language,))
        languages = tuple(parameters.get("languages") or UNTOLD_MIXTURE)
        if not share_script(languages):
            return Speaker(languages)
        return Speaker(languages, self.memory.model("language identifier", lambda: Identifier().load()))

    def _indexer(self, folder: Path, manifest: Manifest, project: str) -> Indexer:
        if not project or self.settings.vector_index == "faiss":
            return FaissIndex.of
        name, again = collection_name(project, folder.name), partial(read_vectors, folder)
        return lambda _vectors: ChromaIndex.of(self._chroma, name, manifest.files[VECTORS], again)

    def sweep(self, project: str, keep: Collection[str]) -> None:
        """Drop what a project's versions, but those to keep, have stored outside their folders.

        Raises:
            VectorIndexError: the settings name a Chroma that does not answer.
        """
        if self.settings.vector_index == "chroma":
            self._chroma.sweep(project, keep)

    @cached_property
    def _chroma(self) -> Chroma:
        url = self.settings.chroma_url.get_secret_value()
        return open_chroma(url, authorities=self.settings.authorities)

    @cached_property
    def answers(self) -> StoredAnswers | NoAnswers:
        """What language models have said before."""
        return open_answers(self.settings.home / ANSWERS, tally=self.recalled)

    @cached_property
    def prefixes(self) -> Prefixes:
        """What language models have read before."""
        return open_prefixes(self.settings.home / PREFIXES)

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
        def load() -> LoadedReranker:
            return load_reranker(spec.kind, self.store.path(spec), spec.options)

        with self._left_out("reranker", spec.uri, self.missing_rerankers):
            return self.memory.model(f"reranker {spec.uri}", load)
        return None

    @contextmanager
    def _left_out(self, role: str, uri: str, missing: set[str]) -> Iterator[None]:
        """Go on without a model that cannot be loaded, and say so once."""
        try:
            yield
        except (ArtefactError, MissingExtraError) as err:
            if uri not in missing:
                log.warning(f"{role}_missing", model=uri, reason=str(err))
            missing.add(uri)
        else:
            missing.discard(uri)

    def voters(self, language: str, profile: str, *, project: str = "") -> tuple[Voter, ...]:
        """The language models of a profile, without those that may not be asked or, with a warning, not be loaded.

        Args:
            project: the key of the project whose texts they are; empty: they are files, whose owner chose the profile.
        """
        allowed = (spec for spec in self.profile(profile).voters if self._may_ask(spec, project))
        return tuple(voter for spec in allowed if (voter := self._voter(spec, language)) is not None)

    def judges(self, asked: Asked, language: str, profile: str) -> Panel:
        """The first two models that vote here by a profile, to judge in place of voting; one alone takes both seats.

        A model is loaded once for votes and judgements. Models on servers are not asked: they score no given answers.
        """
        local = (self._voter(spec, language) for spec in self.profile(profile).voters if spec.kind == LOCAL)
        models = dict.fromkeys(voter.model for voter in local if isinstance(voter, LlmVoter))
        return panel_of(list(islice(models, N_JUDGES)), asked, self.answers, language=language)

    def _may_ask(self, spec: ModelSpec, project: str) -> bool:
        """Whether a project's texts may go where the voter runs."""
        if spec.kind != SERVER_KIND or not project or not self.server(spec).is_beyond:
            return True
        return project_folder(self.settings.projects_dir, project).settings().allow_egress

    def _voter(self, spec: ModelSpec, language: str) -> Voter | None:
        if spec.kind == SERVER_KIND:
            server = self.server(spec)
            return self.memory.model(f"voter {' '.join(_entry(spec))} {language}", lambda: _asking(server, language))
        name = f"{spec.uri} (listed)" if spec.options.get("listed") else spec.uri
        with self._left_out("voter", name, self.missing_voters):
            return load_voter(spec, self.store, self.answers, language=language, load=partial(self._llm, spec.uri))
        return None

    def _llm(self, uri: str, path: Path, **options: Any) -> LlamaModel:
        """A model that all voters and judges share which run it with the same options."""
        name = " ".join(["llm", uri, *(f"{name}={value}" for name, value in sorted(options.items()))])
        return self.memory.model(name, lambda: LlamaModel(path, prefixes=self.prefixes, **options))

    def server(self, spec: ModelSpec) -> ChatServer:
        """The server that a profile's entry names; nobody is called.

        Raises:
            BadInputError: its URI is not one of a server, or an option cannot be.
        """
        key = _entry(spec)
        return self.servers.get(key) or self.servers.setdefault(key, open_server(spec, self.settings))

    def writer(self, spec: ModelSpec) -> LlamaWriter:
        """A local voter, to write in place of voting.

        Raises:
            ArtefactError: the weights are missing or damaged.
            MissingExtraError: the library that runs them is not installed.
        """
        return LlamaWriter(self.store.path(spec))


def _entry(spec: ModelSpec) -> tuple[str, str]:
    """What tells a profile's entries apart: some differ in their options alone."""
    return spec.profile, f"{spec.uri} {dict(sorted(spec.options.items()))}"


def _asking(server: ChatServer, language: str) -> Voter:
    options = server.options
    return load_chat_voter(
        server, language=language, languages=options.languages, n_samples=options.n_samples,
        temperature=options.temperature, weight=options.weight,
    )  # fmt: skip


def open_server(spec: ModelSpec, settings: Settings) -> ChatServer:
    """As the settings reach it, with their key; nobody is called.

    Raises:
        BadInputError: its URI is not one of a server, or an option cannot be.
    """
    return ChatServer(
        spec.uri, ServerOptions.of(spec.options), settings.llm_api_key,
        authorities=settings.authorities, proxy=settings.proxy_for(parse_uri(spec.uri).name),
    )  # fmt: skip


def compose(
    space: LabelSpace, index: Index, classifier: Classifier | None, parameters: Mapping[str, Any],
    *, embedder: Embedder, voters: Sequence[Voter], speaker: Speaker | None = None, reranker: Reranker | None = None,
    timed: Timed = untimed,
) -> Pipeline:  # fmt: skip
    """A pipeline from its parts and the parameters that stand in its manifest."""
    heard = tuple(voter for voter in voters if voter.weight)
    n_voted = int(parameters.get("n_voted", N_VOTED))
    retrieval = Retrieval(
        embedder, index, KeywordRules.of(parameters.get("keywords", {}), space), reranker or NoReranker(),
        n_candidates=int(parameters.get("n_candidates", N_CANDIDATES)),
        weight_lexical=float(parameters.get("weight_lexical", WEIGHT_LEXICAL)),
        weight_dense=float(parameters.get("weight_dense", WEIGHT_DENSE)), timed=timed,
    )  # fmt: skip
    return Pipeline(
        labels=space, retrieval=retrieval,
        policy=Policy(space, float(parameters.get("abstain_below", ABSTAIN_BELOW)), speaker or Speaker()),
        classification=NoLevel() if classifier is None else Classification(classifier, timed),
        voting=Voting(heard, index.shots, n_voted, timed, confusions=confusions_of(parameters)) if heard else NoLevel(),
        **decided_by(parameters, classifies=classifier is not None, voters=heard),
    )  # fmt: skip


def decided_by(parameters: Mapping[str, Any], *, classifies: bool, voters: Sequence[Voter] = ()) -> dict[str, Any]:
    """The parts of a pipeline that calibration fits, by the pipeline's names for them.

    Args:
        voters: whose votes count as they state, where no labels have told yet.
    """
    share = float(parameters.get("assumed_share", UNASKED_SHARE))
    thresholds = {**THRESHOLDS, **parameters.get("thresholds", {})}
    weights = {stage: {**WEIGHTS[stage], **parameters.get("weights", {}).get(stage, {})} for stage in STAGES}
    scalings = {stage: Scaling(**line) for stage, line in parameters.get("scalings", {}).items()}
    if voters:
        learned = parameters.get("votes", {})
        others = {name: weight * learned.get("rest", 1.0) for name, weight in weights["vote"].items()}
        weights["vote"] = {**others, **stated(voters), **learned.get("weights", {})}
        thresholds["classify"] = learned.get("threshold", thresholds["classify"])
        if scaling := scalings.get("vote"):
            scalings["vote"] = replace(scaling, scale=scaling.scale * learned.get("rest", 1.0))
    if not classifies:  # the language models come right after retrieval, and are as costly as after a classifier
        thresholds["retrieve"] = thresholds["classify"]
    signs = {stage: {**SIGNS[stage], **parameters.get("signs", {}).get(stage, {})} for stage in STAGES}
    return {"fuser": Fuser(weights, signs, share, scalings), "gate": Gate(thresholds)}


def _classifier(family: str, folder: Path) -> Classifier:
    if family not in CLASSIFIERS:
        raise ModelFolderError(f"{folder} must be of a family known here ({', '.join(CLASSIFIERS)}), was {family!r}")
    return CLASSIFIERS[family](folder)


def _require_fitting(manifest: Manifest, profile: Profile, folder: Path) -> None:
    """Raises ModelFolderError where the model was made for another cleaning or another embedder."""
    cleaning = manifest.parameters.get("cleaning")
    if cleaning != CLEANING:
        raise ModelFolderError(f"{folder} must be made for cleaning {CLEANING}, was made for {cleaning}; train again")
    uri = profile.embedder(manifest.language).uri
    made_with = manifest.parameters.get("embedder")
    if made_with != uri:
        raise ModelFolderError(f"{folder} must be made with embedder {uri}, was made with {made_with}; train again")

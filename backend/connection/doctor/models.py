"""Doctor on the models that the profiles in use name: weights there and right, libraries installed.

Checksums are computed, nothing is loaded: a second or so for each gigabyte.
"""

import importlib.util
from collections.abc import Iterable

from backend.connection.doctor.check import Check, Fault, Finding
from backend.core.errors import ArtefactError, MissingExtraError
from backend.core.profiles import ModelSpec, Profile, load_profile
from backend.loop.desk import Desk
from backend.models.llm import INSTALL as INSTALL_LLM
from backend.models.model_uri import parse_uri
from backend.models.reranker import INSTALL as INSTALL_RERANKERS
from backend.models.weights import WeightStore

LIBRARIES = {"llama": ("llama_cpp", INSTALL_LLM), "flag-reranker": ("FlagEmbedding", INSTALL_RERANKERS)}

NO_EMBEDDER: Fault[Desk] = Fault(
    "the embedder's weights are missing or others", "nothing is predicted: {problem}", "{remedy}"
)
NO_RERANKER: Fault[Desk] = Fault(
    "the cross-encoder's weights are missing or others", "it is left out: {problem}", "{remedy}"
)
NO_RERANKER_LIBRARY: Fault[Desk] = Fault(
    "the cross-encoder's library is not installed", "it is left out: {module} is not installed", "run: {install}"
)
NO_VOTER: Fault[Desk] = Fault(
    "the language model's weights are missing or others", "it is left out: {problem}", "{remedy}"
)
NO_VOTER_LIBRARY: Fault[Desk] = Fault(
    "the language model's library is not installed", "it is left out: {module} is not installed", "run: {install}"
)


def embedder(desk: Desk) -> Finding[Desk]:
    specs = [spec for profile in _profiles(desk) for spec in profile.embedders.values()]
    return _found(desk, specs, NO_EMBEDDER)


def reranker(desk: Desk) -> Finding[Desk]:
    specs = [profile.reranker for profile in _profiles(desk) if profile.reranker.kind != "none"]
    return _found(desk, specs, NO_RERANKER, NO_RERANKER_LIBRARY)


def voter(desk: Desk) -> Finding[Desk]:
    """The first of a profile, which alone is asked."""
    specs = [profile.voters[0] for profile in _profiles(desk) if profile.voters]
    return _found(desk, specs, NO_VOTER, NO_VOTER_LIBRARY)


def _found(
    desk: Desk, specs: Iterable[ModelSpec], wrong: Fault[Desk], no_library: Fault[Desk] | None = None
) -> Finding[Desk]:
    unique = {spec.uri: spec for spec in specs}
    store = WeightStore(desk.settings.models_dir)
    for spec in unique.values():
        module, install = LIBRARIES.get(spec.kind, ("", ""))
        if no_library is not None and module and importlib.util.find_spec(module) is None:
            return no_library.seen(module=module, install=install)
        if not parse_uri(spec.uri).has_weights:
            continue
        try:
            store.path(spec)
        except (ArtefactError, MissingExtraError) as err:
            problem, _, remedy = str(err).rpartition("; ")
            return wrong.seen(problem=problem, remedy=remedy)
    if not unique:
        return Finding("no profile in use names one")
    return Finding(f"{len(unique)} model{' is' if len(unique) == 1 else 's are'} there, as the profile means")


def _profiles(desk: Desk) -> list[Profile]:
    """The backend's own, and those that projects chose for themselves."""
    chosen = [desk.loader.folder(key).settings().profile for key in desk.ledger.project_keys()]
    return [load_profile(name) for name in dict.fromkeys([desk.settings.profile, *filter(None, chosen)])]


CHECKS: tuple[Check[Desk], ...] = (
    Check("embedder", embedder, (NO_EMBEDDER,), needs=("database",)),
    Check("cross-encoder", reranker, (NO_RERANKER, NO_RERANKER_LIBRARY), needs=("database",)),
    Check("language model", voter, (NO_VOTER, NO_VOTER_LIBRARY), needs=("database",)),
)

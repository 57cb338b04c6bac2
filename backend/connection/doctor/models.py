"""Doctor on the models that the profiles in use name: weights there and right, libraries installed, servers answering.

Checksums are computed, nothing is loaded: a second or so for each gigabyte. Servers are asked for their models, nothing
else.
"""

import importlib.util
from collections.abc import Iterable

from backend.assembly import open_server
from backend.connection.doctor.check import Check, Fault, Finding
from backend.core.errors import ArtefactError, BadInputError, MissingExtraError, OutsideError
from backend.core.profiles import SERVER_KIND, ModelSpec, Profile, load_profile
from backend.loop.desk import Desk
from backend.models.llm import INSTALL as INSTALL_LLM
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
NO_SERVER: Fault[Desk] = Fault(
    "the language model's server does not answer, or not to this key", "nobody votes: {problem}", "{remedy}"
)
UNKNOWN_TO_SERVER: Fault[Desk] = Fault(
    "the language model's server does not know the model",
    "nobody votes: {url} has no model {model!r}, but {known}",
    "name one of these in the profile, or have the server run that one",
)
NO_EGRESS: Fault[Desk] = Fault(
    "a project's texts may not go to the language model's server",
    "nobody votes in {projects}: {url} is not on this machine",
    "set allow_egress = true in the project's settings.toml if its texts may go there, or choose another profile",
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
    servers = [spec for spec in specs if spec.kind == SERVER_KIND]
    local = [spec for spec in specs if spec.kind != SERVER_KIND]
    found = _found(desk, local, NO_VOTER, NO_VOTER_LIBRARY) if local or not servers else None
    faulty = (wrong for wrong in (found, *(_asked(desk, spec) for spec in servers)) if wrong and wrong.fault)
    return next(faulty, None) or found or Finding(f"{servers[0].uri.partition('#')[2]} is there")


def _asked(desk: Desk, spec: ModelSpec) -> Finding[Desk] | None:
    """What is wrong with a model on a server, if anything."""
    server = open_server(spec, desk.settings)
    try:
        known = server.models()
    except (BadInputError, OutsideError) as err:
        problem, _, remedy = str(err).rpartition("; ")
        return NO_SERVER.seen(problem=problem, remedy=remedy)
    finally:
        server.close()
    if server.name not in known:
        return UNKNOWN_TO_SERVER.seen(url=server.url, model=server.name, known=", ".join(known) or "none")
    kept = [key for key in desk.ledger.project_keys() if _keeps_texts(desk, key, spec)] if server.is_beyond else []
    return NO_EGRESS.seen(projects=", ".join(kept), url=server.url) if kept else None


def _keeps_texts(desk: Desk, key: str, spec: ModelSpec) -> bool:
    settings = desk.loader.folder(key).settings()
    voters = load_profile(settings.profile or desk.settings.profile).voters
    return bool(voters) and voters[0].uri == spec.uri and not settings.allow_egress


def _found(
    desk: Desk, specs: Iterable[ModelSpec], wrong: Fault[Desk], no_library: Fault[Desk] | None = None
) -> Finding[Desk]:
    unique = {spec.uri: spec for spec in specs}
    store = WeightStore(desk.settings.models_dir)
    for spec in unique.values():
        module, install = LIBRARIES.get(spec.kind, ("", ""))
        if no_library is not None and module and importlib.util.find_spec(module) is None:
            return no_library.seen(module=module, install=install)
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


LANGUAGE_MODEL = (NO_VOTER, NO_VOTER_LIBRARY, NO_SERVER, UNKNOWN_TO_SERVER, NO_EGRESS)
CHECKS: tuple[Check[Desk], ...] = (
    Check("embedder", embedder, (NO_EMBEDDER,), needs=("database",)),
    Check("cross-encoder", reranker, (NO_RERANKER, NO_RERANKER_LIBRARY), needs=("database",)),
    Check("language model", voter, LANGUAGE_MODEL, needs=("database",)),
)

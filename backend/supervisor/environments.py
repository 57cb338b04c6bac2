"""Virtual environments: prelabel's own and Label Studio's, whose pins do not go with ours.

Runs before anything is installed: standard library only, and imports nothing of prelabel that needs more. Decides what
is installed and when it is complete; knows nothing of what runs in it afterwards.
"""

import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backend.core.disk import users_umask
from backend.core.package_index import pip_environment_before_install, without_credentials

HOST = "label-studio-ml==1.0.9"  # the last one on the package index
LABEL_STUDIO = "label-studio==1.23.2"
LABEL_STUDIO_FOLDER = ".venv-label-studio"
PYTHON = (3, 11)
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"  # PyTorch's own index: without it Linux downloads CUDA
CPU_WHEELS_WITHIN_S = 3.0
TAIL_BYTES = 8000
STAMP = "prelabel-stamp.json"  # written last: an environment without it is not complete
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
NAMES_AN_ERROR = re.compile(r"(?i:error: )|[\w.]*+(?:(?<=Error)|(?<=Exception)).*: ")
COMPILERS = ("c++", "g++", "clang++")

Progress = Callable[[str], None]


class EnvironmentFailed(Exception):  # noqa: N818
    """An environment could not be made; the message names the command, the remedy and the log."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment in a folder, with one log for all that pip says."""

    folder: Path
    pip_environment: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold passwords

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def log(self) -> Path:
        return self.folder / "install.log"

    def stamp(self) -> dict[str, object]:
        """What was installed completely; empty where nothing was."""
        try:
            return dict(json.loads((self.folder / STAMP).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def write_stamp(self, stamp: dict[str, object]) -> None:
        (self.folder / STAMP).write_text(json.dumps(stamp), encoding="utf-8")

    def create(self) -> None:
        """Make the folder with a Python and a new pip in it; anything broken there is replaced.

        Raises:
            EnvironmentFailed: this Python has no venv module, or pip could not be upgraded.
        """
        if self.python.exists() and runs(self.python):
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        made = subprocess.run([sys.executable, "-m", "venv", str(self.folder)], capture_output=True, text=True)
        if made.returncode:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise EnvironmentFailed(
                f"{sys.executable} must be able to make a virtual environment in {self.folder}, but says: "
                f"{last_line(made.stdout + made.stderr)}; on Debian and Ubuntu install python3.11-venv"
            )
        self.pip("install", "--upgrade", "pip")

    def pip(self, *arguments: str) -> None:
        """Run pip in here; its output goes to the log.

        Raises:
            EnvironmentFailed: pip failed.
        """
        command = [str(self.python), *PIP, *arguments]
        environment = {**os.environ, **self.pip_environment}
        with self.log.open("ab") as log:
            log.write(f"\n$ {' '.join(command)}\n".encode())
            log.flush()
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                umask=users_umask(),
            )
        if done.returncode:
            said = without_credentials(last_line(tail(self.log)))
            raise EnvironmentFailed(
                f"`pip {' '.join(arguments)}` must succeed, but says: {said}; "
                f"see {self.log}, then run the same command again"
            )


def prepare_own(root: Path, extras: Sequence[str], progress: Progress) -> None:
    """Install prelabel from a checkout into its `.venv`, unless just this was installed before.

    Raises:
        EnvironmentFailed: pip or venv failed.
    """
    own = Environment(root / ".venv", pip_environment_before_install(os.environ))
    wanted = frozenset(extras)
    digest = fingerprint(root)
    stamp = own.stamp()
    installed = frozenset(map(str, stamp.get("extras", ()))) if stamp.get("digest") == digest else frozenset()  # type: ignore[call-overload]
    if own.python.exists() and stamp.get("digest") == digest and wanted <= installed:
        return
    progress(f"prelabel: making {own.folder.name}")
    own.create()
    constraints = ("-c", str(root / "constraints.txt"))
    if needs_cpu_index(own):
        progress("PyTorch: installing its CPU build")
        own.pip("install", *constraints, "--index-url", CPU_WHEELS, "torch")
    both = sorted(wanted | installed)
    progress(f"prelabel: installing with {', '.join(both)} (a few minutes the first time)")
    own.pip("install", *constraints, "-e", f"{root}[{','.join(both)}]")
    own.write_stamp({"digest": digest, "extras": both})


def prepare_label_studio(folder: Path, progress: Progress, pip_environment: Mapping[str, str]) -> Path:
    """Install Label Studio into an environment of its own; the path of its executable.

    Raises:
        EnvironmentFailed: pip or venv failed.
    """
    environment = Environment(folder, pip_environment)
    executable = folder / "bin" / "label-studio"
    if executable.exists() and environment.stamp() == {"installed": LABEL_STUDIO}:
        return executable
    progress(f"Label Studio: making {folder.name}")
    environment.create()
    progress(f"Label Studio: installing {LABEL_STUDIO} (a minute or two the first time)")
    environment.pip("install", LABEL_STUDIO)
    environment.write_stamp({"installed": LABEL_STUDIO})
    return executable


def prepare_voter(root: Path, progress: Progress) -> bool:
    """Build the library that runs LLMs; false where that cannot be, which hinders nothing else."""
    own = Environment(root / ".venv", pip_environment_before_install(os.environ))
    attempt = {"voter": fingerprint(root)}
    marker = own.folder / "voter-stamp.json"
    if marker.is_file() and json.loads(marker.read_text(encoding="utf-8")) == attempt:
        return True
    if not compiler():
        progress("LLM voter: no C++ compiler, so it is left out; install g++ or clang")
        return False
    progress("LLM voter: building llama-cpp-python (about three minutes)")
    try:
        own.pip("install", "-c", str(root / "constraints.txt"), "-e", f"{root}[llm]")
    except EnvironmentFailed as err:
        progress(f"LLM voter: left out; {err}")
        return False
    marker.write_text(json.dumps(attempt), encoding="utf-8")
    return True


def prepare_host(root: Path, progress: Progress) -> None:
    """Install HumanSignal's server without its pins, which ask for a Flask of 2021; the tests host prelabel with it.

    Raises:
        EnvironmentFailed: pip failed.
    """
    own = Environment(root / ".venv")
    if any(own.folder.glob(f"lib/python*/site-packages/{HOST.replace('-', '_').replace('==', '-')}.dist-info")):
        return
    progress(f"host: installing {HOST}")
    own.pip("install", "--no-deps", HOST)


def own_label_studio_folder() -> Path:
    """Beside the environment that runs this, or in the working directory where it runs in none."""
    in_environment = sys.prefix != sys.base_prefix
    return (Path(sys.prefix).parent if in_environment else Path.cwd()) / LABEL_STUDIO_FOLDER


def compiler() -> str:
    """The C++ compiler's path; empty where there is none."""
    named = os.environ.get("CXX", "")
    return next((found for name in (named, *COMPILERS) if name and (found := shutil.which(name))), "")


def fingerprint(root: Path) -> str:
    """Changes when something else must be installed."""
    parts = [
        sys.version,
        *((root / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "constraints.txt")),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def needs_cpu_index(own: Environment) -> bool:
    """On Linux without an NVIDIA GPU and without PyTorch yet, where PyTorch's index answers in time.

    Where a package index is set, PyTorch's own is not asked: everything comes from the one that is set.
    """
    if sys.platform != "linux" or Path("/dev/nvidia0").exists() or has_torch(own):
        return False
    return "PIP_INDEX_URL" not in own.pip_environment and answers(f"{CPU_WHEELS}/torch/", own.pip_environment)


def answers(url: str, environment: Mapping[str, str]) -> bool:
    """Whether an index answers in time, by the proxy and with the authorities that pip is told."""
    proxy = environment.get("HTTPS_PROXY")
    try:
        authorities = ssl.create_default_context(cafile=environment.get("PIP_CERT"))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"https": proxy} if proxy else None),
            urllib.request.HTTPSHandler(context=authorities),
        )
        with opener.open(url, timeout=CPU_WHEELS_WITHIN_S) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def has_torch(own: Environment) -> bool:
    return any(own.folder.glob("lib/python*/site-packages/torch/__init__.py"))


def runs(python: Path) -> bool:
    """Whether a Python starts and is the version that we need."""
    check = f"import pip, sys; sys.exit(sys.version_info[:2] != {PYTHON})"
    return subprocess.run([str(python), "-c", check], capture_output=True).returncode == 0


def tail(path: Path, *, since: int = 0) -> str:
    """The end of a log, without what came before the byte `since`."""
    with path.open("rb") as file:
        file.seek(max(since, path.stat().st_size - TAIL_BYTES))
        return file.read().decode("utf-8", errors="replace")


def last_line(text: str) -> str:
    """The last line that names an error, else the last that says something."""
    lines = [line.strip() for line in reversed(text.splitlines()) if line.strip()]
    return next((line for line in lines if NAMES_AN_ERROR.match(line)), lines[0] if lines else "")

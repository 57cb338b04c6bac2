"""The real programs that tests speak to, each started once a session: Label Studio, Valkey, prelabel's own processes.

`PRELABEL_LABEL_STUDIO_BIN` names a label-studio executable, `PRELABEL_TEST_MODELS` a folder of fetched weights;
without them the environment that `make test` has made is used, and weights are fetched once into `.prelabel-test`.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import requests
from filelock import FileLock

from backend.core.errors import PrelabelError
from backend.core.profiles import load_profile
from backend.core.settings import Settings
from backend.models.weights import WeightStore
from backend.supervisor.environments import LABEL_STUDIO, own_label_studio_folder
from backend.supervisor.label_studio import LabelStudio
from backend.supervisor.process import Child, Service
from backend.supervisor.services import Prelabel, web_answers
from backend.supervisor.state import StateFolder
from backend.supervisor.supervisor import stop
from backend.supervisor.valkey import Valkey

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".prelabel-test"  # survives from run to run
EMAIL, PASSWORD = "tester@example.com", "a-password-of-tests"


@dataclass(frozen=True, slots=True)
class RunningLabelStudio:
    """A Label Studio with an account and a token, nothing else."""

    url: str
    token: str
    email: str
    password: str
    program: LabelStudio


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(service: Service, logs: Path) -> Iterator[Child]:
    """A service that answers, until the block ends."""
    logs.mkdir(parents=True, exist_ok=True)
    child = Child(service, logs / f"{service.name}.log", service.environment)
    try:
        child.start(lambda: False)
        yield child
    finally:
        stop([child])


def wait_for(what: Callable[[], object], *, within_s: float = 30.0, every_s: float = 0.05) -> None:
    """Return once `what` is true; fail the test when it never is."""
    deadline = time.monotonic() + within_s
    while not what():
        if time.monotonic() > deadline:
            pytest.fail(f"{getattr(what, '__doc__', None) or 'what was waited for'} did not happen in {within_s} s")
        time.sleep(every_s)


def label_studio_executable() -> Path:
    named = os.environ.get("PRELABEL_LABEL_STUDIO_BIN") or os.environ.get("PRELABEL_TEST_LABEL_STUDIO")
    executable = Path(named) if named else own_label_studio_folder() / "bin" / "label-studio"
    if not executable.is_file():
        pytest.skip(f"needs Label Studio at {executable}: `make test-environment` installs it")
    return executable


def template(executable: Path) -> Path:
    """A data folder with migrations, account and token done; made once, since that takes half a minute."""
    CACHE.mkdir(exist_ok=True)
    folder = CACHE / LABEL_STUDIO.replace("==", "-")
    with FileLock(CACHE / "label-studio.lock"):
        if not (folder / "token").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            program = LabelStudio(executable, folder / "data", f"http://127.0.0.1:{free_port()}", EMAIL, PASSWORD)
            with running(program.service(), CACHE / "logs"):
                token = program.token("")
            (folder / "token").write_text(token, encoding="utf-8")
    return folder


def new_label_studio(folder: Path) -> RunningLabelStudio:
    """A real Label Studio on a free port, on a fresh copy of the template; it does not run yet."""
    executable = label_studio_executable()
    made = template(executable)
    shutil.copytree(made / "data", folder / "data")
    program = LabelStudio(executable, folder / "data", f"http://127.0.0.1:{free_port()}", EMAIL, PASSWORD)
    return RunningLabelStudio(program.url, (made / "token").read_text(encoding="utf-8"), EMAIL, PASSWORD, program)


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLabelStudio]:
    """The Label Studio of all tests."""
    folder = tmp_path_factory.mktemp("label-studio")
    made = new_label_studio(folder)
    with running(made.program.service(), folder):
        yield made


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Redis URL of a real Valkey with a password."""
    folder = tmp_path_factory.mktemp("valkey")
    server = Valkey(f"redis://:secret-of-tests@127.0.0.1:{free_port()}/0", folder / "data", folder / "valkey.conf")
    with running(server.service(), folder):
        yield server.url


@pytest.fixture
def redis_url(valkey: str) -> str:
    """The same server, emptied."""
    client = redis.Redis.from_url(valkey)
    client.flushall()
    client.close()
    return valkey


@contextmanager
def running_chroma(folder: Path) -> Iterator[str]:
    """The URL of a real Chroma server, until the block ends."""
    program = Path(sys.executable).with_name("chroma")
    if not program.is_file():
        pytest.skip(f"needs Chroma at {program}: `make test-environment` installs it")
    port = free_port()
    command = (str(program), "run", "--path", str(folder / "data"), "--port", str(port))

    def answers(_pid: int) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"http://127.0.0.1:{port}/api/v2/heartbeat", timeout=1).ok
        return False

    with running(Service("chroma", command, os.environ, answers), folder):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Chroma server for all tests, which leave it as they found it."""
    with running_chroma(tmp_path_factory.mktemp("chroma")) as url:
        yield url


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The weights of the embedded profile."""
    folder = Path(os.environ.get("PRELABEL_TEST_MODELS") or CACHE / "models")
    store = WeightStore(folder)
    try:
        for spec in load_profile("embedded").models:
            store.fetch(spec, progress=lambda _line: None)
    except PrelabelError as err:
        pytest.skip(f"needs the embedded profile's weights in {folder}: {err}")
    return folder


@dataclass(frozen=True)
class Backend:
    """prelabel's own processes over one state folder."""

    settings: Settings

    @property
    def home(self) -> Path:
        return self.settings.home

    @property
    def environment(self) -> dict[str, str]:
        """Nothing but the state folder says what the settings are."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PRELABEL_")}
        return {**inherited, "PRELABEL_HOME": str(self.home)}

    @contextmanager
    def web(self) -> Iterator[Child]:
        """`prelabel serve`, once it answers."""
        with running(Prelabel(self.settings).web(), self.home / "logs") as child:
            yield child

    @contextmanager
    def workers(self) -> Iterator[list[Child]]:
        """The worker for `train` and the one for everything else, once they listen."""
        trainer, other = Prelabel(self.settings).workers()
        with running(trainer, self.home / "logs") as first, running(other, self.home / "logs") as second:
            yield [first, second]

    @contextmanager
    def cron(self) -> Iterator[Child]:
        """`prelabel cron`, once it ticks."""
        with running(Prelabel(self.settings).cron(), self.home / "logs") as child:
            yield child

    def command(self, *arguments: str, timeout_s: float = 240.0) -> subprocess.CompletedProcess[str]:
        """Run `prelabel ARGUMENTS` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "backend.cli", *arguments],
            cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s,
        )  # fmt: skip

    def answers(self) -> bool:
        return web_answers(self.settings)


def make_backend(home: Path, values: dict[str, str], models: Path | None = None) -> Backend:
    """A state folder with every secret, where `values` are settings by their environment names."""
    folder = StateFolder(home)
    folder.make()
    defaults = {
        "PRELABEL_WEB_PORT": str(free_port()),
        "PRELABEL_PASSWORD": "password-of-tests",
        "PRELABEL_WEBHOOK_SECRET": secrets.token_hex(),  # each its own: webhooks are known by it
    }
    folder.remember({**defaults, **values})
    if models is not None:
        (home / "models").symlink_to(models)
    return Backend(Settings(_env_file=folder.env_file, home=home))


@pytest.fixture
def backend(tmp_path: Path, redis_url: str, label_studio: RunningLabelStudio, models_dir: Path) -> Backend:
    """A state folder that knows the session's Label Studio, an emptied queue and the weights; nothing runs yet."""
    values = {
        "PRELABEL_REDIS_URL": redis_url,
        "PRELABEL_LABEL_STUDIO_URL": label_studio.url,
        "PRELABEL_LABEL_STUDIO_TOKEN": label_studio.token,
        "PRELABEL_LABEL_STUDIO_EMAIL": label_studio.email,
        "PRELABEL_LABEL_STUDIO_PASSWORD": label_studio.password,
    }
    return make_backend(tmp_path / "home", values, models_dir)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def read_json(path: Path) -> dict[str, object]:
    return dict(json.loads(path.read_text(encoding="utf-8")))

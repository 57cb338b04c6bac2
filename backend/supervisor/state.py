"""What `prelabel up` keeps in the state folder: generated secrets, who supervises, what runs.

The one writer of prelabel.env. Knows nothing of processes but their numbers.
"""

import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from dotenv import dotenv_values
from filelock import FileLock, Timeout

from backend.core.artefacts import write_atomically
from backend.core.errors import BadInputError
from backend.core.settings import ENV_FILE, Settings, load_settings

PRIVATE = 0o600
DEFAULT_REDIS_PORT = 6390  # not 6379, where a Redis of somebody else's often listens
PLAIN = re.compile(r"[\w:/.@%+=,-]+")  # needs no quotes
SECRET_BYTES = 24
KEPT_BY_FRESH = frozenset({"models", ENV_FILE, "run"})  # downloads, ports and the lock that is being held
TOKEN = "PRELABEL_LABEL_STUDIO_TOKEN"  # noqa: S105
HEADER = (
    "# Written by `prelabel up`. Secrets: keep this file to yourself. Ports may be changed while prelabel is down.\n"
)


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Where the files of a supervised stack lie."""

    home: Path

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def env_file(self) -> Path:
        return self.home / ENV_FILE

    @property
    def status_file(self) -> Path:
        return self.run / "supervisor.json"

    def make(self) -> None:
        """Create the folders, for this user's eyes only."""
        for folder in (self.home, self.run, self.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.home.chmod(0o700)

    @contextmanager
    def only_supervisor(self) -> Iterator[None]:
        """Hold the state folder: one supervisor each.

        Raises:
            BadInputError: another supervisor holds it.
        """
        self.make()
        lock = FileLock(self.run / "supervisor.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as err:
            status = read_status(self.home)
            who = f"process {status.pid}" if status else "another process"
            raise BadInputError(
                f"one supervisor may run on {self.home}, and {who} does; stop it with `prelabel down`"
            ) from err
        try:
            yield
        finally:
            self.status_file.unlink(missing_ok=True)
            lock.release()

    def start_over(self) -> None:
        """Remove projects, labels and logs; downloaded models and prelabel.env stay. Needs `only_supervisor`."""
        for path in self.home.iterdir():
            if path.name in KEPT_BY_FRESH:
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self.remember({TOKEN: ""})  # it names an account that is gone
        self.make()

    def remember(self, values: Mapping[str, str]) -> None:
        """Write settings into prelabel.env, over those of the same name."""
        lines = {**self.recall(), **values}
        text = "".join(f"{name}={quoted(value)}\n" for name, value in lines.items() if value)
        write_atomically(self.env_file, HEADER + text, mode=PRIVATE)

    def recall(self) -> dict[str, str]:
        found = dotenv_values(self.env_file, interpolate=False) if self.env_file.is_file() else {}
        return {name: value for name, value in found.items() if value}

    def complete_settings(self) -> Settings:
        """Settings with every secret in place: what is missing is generated and written down.

        Raises:
            BadInputError: the environment names a Redis without a password, or an address that is not ours to bind.
        """
        settings = load_settings()
        missing = {
            "PRELABEL_PASSWORD": settings.password.get_secret_value() or new_secret(),
            "PRELABEL_WEBHOOK_SECRET": settings.webhook_secret.get_secret_value() or new_secret(),
            "PRELABEL_LABEL_STUDIO_EMAIL": settings.label_studio_email,
            "PRELABEL_LABEL_STUDIO_PASSWORD": settings.label_studio_password.get_secret_value() or new_secret(),
            "PRELABEL_LABEL_STUDIO_URL": settings.label_studio_url,
            "PRELABEL_WEB_PORT": str(settings.web_port),
            "PRELABEL_REDIS_URL": redis_url(settings),
        }
        if missing.items() - self.recall().items():
            self.remember(missing)
        complete = load_settings()
        if not urlsplit(complete.redis_url.get_secret_value()).password:
            raise BadInputError(
                "PRELABEL_REDIS_URL must hold a password (redis://:PASSWORD@127.0.0.1:PORT/0), has none; "
                f"unset the variable and change the port in {self.env_file}"
            )
        return complete


def redis_url(settings: Settings) -> str:
    """The present URL, or one on our own port, with a password in either case."""
    present = settings.redis_url.get_secret_value()
    unset = "redis_url" not in settings.model_fields_set
    parts = urlsplit(present)
    if parts.password:
        return present
    port = DEFAULT_REDIS_PORT if unset else parts.port or DEFAULT_REDIS_PORT
    return f"redis://:{new_secret()}@{parts.hostname or '127.0.0.1'}:{port}{parts.path or '/0'}"


def quoted(value: str) -> str:
    """A value as python-dotenv reads it back."""
    if PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def new_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One supervised process, as `prelabel status` shows it."""

    name: str
    pid: int  # 0 while it is not running
    state: str  # starting, up, waiting (to be started again), stopped
    restarts: int
    log: str


@dataclass(frozen=True, slots=True)
class Status:
    """What a running supervisor says about itself in run/supervisor.json."""

    pid: int
    started: float  # seconds since 1970, of the process `pid`: tells it from a later one with the same number
    mark: str  # value of SUPERVISOR_MARK in the environment of everything that it started
    ready: bool
    processes: tuple[ProcessStatus, ...] = ()
    home: str = ""  # the state folder that it holds: a copy of this file lies in another one

    def write(self, folder: StateFolder) -> None:
        write_atomically(folder.status_file, json.dumps(asdict(self), indent=1), mode=PRIVATE)

    def is_of(self, folder: StateFolder) -> bool:
        """Whether it speaks of this very folder, and not of one that this is a copy of."""
        return not self.home or Path(self.home) == folder.home.resolve()

    @property
    def alive(self) -> bool:
        """Whether this very supervisor still runs."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) < 1.0
        except psutil.Error:
            return False


def read_status(home: Path) -> Status | None:
    """What the supervisor of a state folder last said, also one that has died; None where there was none."""
    try:
        raw = json.loads(StateFolder(home).status_file.read_text(encoding="utf-8"))
        return Status(**{**raw, "processes": tuple(ProcessStatus(**entry) for entry in raw["processes"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None

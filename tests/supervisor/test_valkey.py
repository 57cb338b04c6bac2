import stat
from pathlib import Path

import psutil
import pytest
import redis

from backend.core.errors import BadInputError
from backend.supervisor.valkey import Valkey
from tests.stack import free_port, running

pytestmark = pytest.mark.redis


def make(folder: Path, *, port: int = 0, password: str = "the-password") -> Valkey:
    url = f"redis://:{password}@127.0.0.1:{port or free_port()}/0"
    return Valkey(url, folder / "data", folder / "valkey.conf")


def test_the_password_is_asked_for_and_stands_in_a_private_file_but_on_no_command_line(tmp_path: Path) -> None:
    server = make(tmp_path)
    with running(server.service(), tmp_path) as child:
        host, port = server.address
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(host=host, port=port).ping()
        assert redis.Redis.from_url(server.url).ping()
        assert "the-password" not in " ".join(psutil.Process(child.pid).cmdline())
        assert stat.S_IMODE(server.config.stat().st_mode) == 0o600


def test_what_was_queued_is_still_there_after_a_crash_and_a_restart(tmp_path: Path) -> None:
    server = make(tmp_path)
    with running(server.service(), tmp_path) as child:
        client = redis.Redis.from_url(server.url)
        client.rpush("a queue", "a job")
        client.waitaof(1, 0, 5000)
        child.kill()
    with running(server.service(), tmp_path):
        assert redis.Redis.from_url(server.url).lrange("a queue", 0, -1) == [b"a job"]


def test_another_server_on_our_port_is_not_ours_even_when_it_takes_our_password(tmp_path: Path) -> None:
    foreign = make(tmp_path / "foreign")
    ours = make(tmp_path / "ours", port=foreign.address[1])
    with running(foreign.service(), tmp_path) as child:
        assert foreign.is_ours(child.pid)
        assert not ours.is_ours(child.pid + 1)


def test_another_password_means_another_server(tmp_path: Path) -> None:
    foreign = make(tmp_path / "foreign", password="somebody-elses")
    ours = make(tmp_path / "ours", port=foreign.address[1])
    with running(foreign.service(), tmp_path) as child:
        assert not ours.is_ours(child.pid)


@pytest.mark.parametrize(
    "url",
    ["redis://127.0.0.1:6390/0", "rediss://:secret@127.0.0.1:6390/0", "redis://user:secret@127.0.0.1:6390/0"],
    ids=["no password", "TLS", "a user"],
)
def test_a_url_that_our_server_cannot_serve_is_refused_without_showing_it(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadInputError, match="PRELABEL_REDIS_URL must be") as caught:
        Valkey(url, tmp_path, tmp_path / "conf").service()
    assert "secret" not in str(caught.value)

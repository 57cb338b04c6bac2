"""`prelabel up` and `down` as a person runs them, with everything that they start."""

import re
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from backend.supervisor.state import read_status
from backend.supervisor.sweep import marked
from tests.stack import (
    EMAIL,
    PASSWORD,
    Backend,
    free_port,
    kill,
    label_studio_executable,
    make_backend,
    template,
    wait_for,
)  # fmt: skip

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
EVERYTHING = {"label-studio", "valkey", "web", "worker-train", "worker-live", "cron"}


@pytest.fixture
def home(tmp_path: Path, models_dir: Path) -> Backend:
    """A state folder on free ports, whose Label Studio has been migrated before."""
    executable = label_studio_executable()
    made = template(executable)
    values = {
        "PRELABEL_REDIS_URL": f"redis://:secret-of-the-queue@127.0.0.1:{free_port()}/0",
        "PRELABEL_LABEL_STUDIO_URL": f"http://127.0.0.1:{free_port()}",
        "PRELABEL_LABEL_STUDIO_EMAIL": EMAIL,
        "PRELABEL_LABEL_STUDIO_PASSWORD": PASSWORD,
        "PRELABEL_LABEL_STUDIO_BIN": str(executable),
    }
    backend = make_backend(tmp_path / "home", values, models_dir)
    shutil.copytree(made / "data", backend.home / "label-studio")
    return backend


@pytest.fixture
def stack(home: Backend) -> Iterator[Backend]:
    """The whole stack, up."""
    done = home.command("up", "--detach")
    assert done.returncode == 0, done.stderr
    assert f"password      {PASSWORD}" in done.stderr
    yield home
    home.command("down")


def pids(backend: Backend) -> dict[str, int]:
    status = read_status(backend.home)
    return {entry.name: entry.pid for entry in status.processes} if status else {}


def open_to_others(home: Path) -> list[Path]:
    """What processes of ours made there and others can read; Label Studio's data were copied."""
    made = (path for path in (home, *home.rglob("*")) if path.relative_to(home).parts[:1] != ("label-studio",))
    return [path for path in made if not path.is_symlink() and path.stat().st_mode & 0o077]


def wait_for_another_process(backend: Backend, name: str, before: int) -> None:
    wait_for(lambda: pids(backend)[name] not in (0, before))


def test_up_starts_everything_shows_no_secret_survives_crashes_and_down_stops_it_all(stack: Backend) -> None:
    status = read_status(stack.home)
    assert status is not None
    before = pids(stack)
    assert before.keys() == EVERYTHING
    assert all(before.values())
    assert stack.answers()
    assert open_to_others(stack.home) == []

    file = stack.home / "prelabel.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret_lines = re.findall(r"_(?:PASSWORD|SECRET|TOKEN)='?([^'\n]+)", file.read_text())
    assert len(secret_lines) == 4
    visible = "\n".join(" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
    logged = "\n".join(path.read_text(errors="replace") for path in (stack.home / "logs").iterdir())
    for secret in (*secret_lines, "secret-of-the-queue"):
        assert secret not in visible
        assert secret not in logged

    second = stack.command("up")
    assert second.returncode == 2
    assert f"process {status.pid} does; stop it with `prelabel down`" in second.stderr

    for name in ("web", "worker-live", "valkey"):
        kill(before[name])
        wait_for_another_process(stack, name, before[name])
    wait_for(stack.answers)

    began = time.monotonic()
    done = stack.command("down")
    assert done.returncode == 0
    assert time.monotonic() - began < 25  # 15 s, and the start of the command itself
    assert marked(status.mark) == []
    assert "was not running" in stack.command("down").stderr


def test_sigkill_of_the_supervisor_takes_everything_with_it(stack: Backend) -> None:
    status = read_status(stack.home)
    assert status is not None
    kill(status.pid)
    wait_for(lambda: not marked(status.mark), within_s=20)


def test_a_busy_port_is_named_with_its_setting_before_anything_starts(home: Backend) -> None:
    with socket.create_server(("127.0.0.1", home.settings.web_port)):
        done = home.command("up", "--detach")
    assert done.returncode == 3
    assert f"port {home.settings.web_port}" in done.stderr
    assert "PRELABEL_WEB_PORT" in done.stderr
    assert not (home.home / "valkey").exists()


def test_starting_over_is_not_done_unasked(home: Backend) -> None:
    done = home.command("up", "--fresh")
    assert done.returncode == 2
    assert "add --yes" in done.stderr
    assert (home.home / "label-studio").exists()


def test_a_step_that_fails_is_named_with_its_log_and_stops_the_rest(home: Backend) -> None:
    backend = make_backend(home.home, {"PRELABEL_LABEL_STUDIO_PASSWORD": "another-one"})
    done = backend.command("up", "--detach")
    assert done.returncode == 3
    assert re.search(
        r"access token failed: .* not the password of that account; .*; see .*supervisor\.log", done.stderr
    )
    assert "another-one" not in done.stderr
    assert read_status(home.home) is None

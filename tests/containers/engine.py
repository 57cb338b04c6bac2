"""A container engine: the one that runs, or one of our own that leaves this machine as it was.

Ours keeps its images in `.prelabel-test/docker`, so that the second run builds in seconds; remove the folder to be rid
of them.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backend.core.errors import OutsideError
from backend.supervisor.environments import last_line, tail
from backend.supervisor.process import Child, Service
from backend.supervisor.supervisor import stop
from tests.stack import CACHE

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
CLIENT = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"  # Debian's fits Debian's engine
READY_WITHIN_S = 60.0


@dataclass(frozen=True)
class Engine:
    """Where to say `docker`."""

    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, timeout_s: float = 60.0, **options: Any) -> subprocess.CompletedProcess[str]:
        """`docker ARGUMENTS`; whether it failed is the caller's to look at."""
        given = {"stdin": subprocess.DEVNULL, **options}
        return subprocess.run(
            [CLIENT, *arguments], env={**os.environ, **self.environment}, capture_output=True, text=True,
            timeout=timeout_s, check=False, **given,
        )  # fmt: skip

    def succeed(self, *arguments: str, timeout_s: float = 60.0, **options: Any) -> str:
        """Its output; the test fails where it does."""
        done = self.run(*arguments, timeout_s=timeout_s, **options)
        if done.returncode:
            pytest.fail(f"docker {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return done.stdout

    def inspect(self, *names: str) -> list[dict[str, Any]]:
        return list(json.loads(self.succeed("inspect", *names)))

    def build(self, tag: str, folder: Path, *options: str, timeout_s: float = 3600.0) -> None:
        self.succeed(
            "build", "--tag", tag, *options, str(folder), timeout_s=timeout_s,
        )  # fmt: skip

    @property
    def answers(self) -> bool:
        try:
            return self.run("info", timeout_s=20.0).returncode == 0
        except OSError:
            return False


@contextmanager
def engine_or_skip() -> Iterator[Engine]:
    """An engine that answers; the tests are skipped, with the reason, where none can be had."""
    if not shutil.which("docker"):
        pytest.skip("needs a container engine: `make test-containers` installs Debian's docker.io as root")
    running = Engine({"DOCKER_BUILDKIT": "1"})
    if running.answers:
        yield running
        return
    if os.getuid() or not shutil.which("dockerd"):
        pytest.skip("needs a container engine that answers, or root and dockerd to start one")
    with _our_own() as engine:
        yield engine


@contextmanager
def _our_own() -> Iterator[Engine]:
    run = Path(tempfile.mkdtemp(prefix="prelabel-docker-"))
    address = f"unix://{run / 'docker.sock'}"
    engine = Engine({"DOCKER_HOST": address, "DOCKER_BUILDKIT": "1"})
    command = (
        "dockerd", "--host", address, "--data-root", str(CACHE / "docker"), "--exec-root", str(run / "exec"),
        "--pidfile", str(run / "pid"),
    )  # fmt: skip
    log = run / "dockerd.log"
    service = Service("dockerd", command, os.environ, lambda _pid: engine.answers, ready_within_s=READY_WITHIN_S)
    daemon = Child(service, log, service.environment)
    with _network_as_it_was():
        try:
            try:
                daemon.start(lambda: False)
            except OutsideError:
                pytest.skip(f"needs a container engine, but this kernel runs none: {last_line(tail(log))}")
            yield engine
        finally:
            stop([daemon])
            shutil.rmtree(run, ignore_errors=True)


@contextmanager
def _network_as_it_was() -> Iterator[None]:
    """An engine makes bridges and rules, lets packets pass, and leaves all of it behind."""
    links, rules, forwarding = _links(), _said("iptables-save"), FORWARDING.read_text(encoding="ascii")
    try:
        yield
    finally:
        for link in _links() - links:
            subprocess.run(["ip", "link", "delete", link], check=False, capture_output=True)
        subprocess.run(["iptables-restore"], input=rules, text=True, check=False, capture_output=True)
        FORWARDING.write_text(forwarding, encoding="ascii")


def _links() -> set[str]:
    names = {link["ifname"] for link in json.loads(_said("ip", "-json", "link"))}
    return {name for name in names if name.startswith(("docker", "br-"))}


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout

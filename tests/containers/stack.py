"""The compose stack as it runs: its containers, its database, its Label Studio."""

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from dotenv import dotenv_values
from pydantic import SecretStr

from backend.core.settings import Settings
from backend.labelstudio.account import direct
from backend.labelstudio.client import LabelStudioClient, open_client
from tests.containers.compose import Compose
from tests.containers.engine import Engine
from tests.stack import wait_for

EMAIL = "prelabel@example.com"
BUILD_S, UP_S, HEALTHY_S = 3600.0, 900.0, 240.0
STAYING = ("label-studio", "web", "worker", "trainer", "cron", "postgres", "valkey")


@dataclass(frozen=True)
class Stack:
    """A Docker Compose project that is up, or was."""

    engine: Engine
    compose: Compose

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.compose.values['LS_PORT']}"

    def build(self) -> None:
        self.compose.succeed("build", timeout_s=BUILD_S)

    def up(self) -> None:
        """Start everything; once all is healthy and `connect` has done its work."""
        self.compose.succeed("up", "--detach", "--wait", "--wait-timeout", str(int(UP_S)), timeout_s=UP_S + 60)

    def down(self, *options: str) -> None:
        self.compose.succeed("down", *options, timeout_s=300)

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """What the engine knows of a service's containers, also of those that ended."""
        found = self.compose.succeed("ps", "--all", "--quiet", *([service] if service else [])).split()
        return self.engine.inspect(*found) if found else []

    def healthy(self, *services: str) -> bool:
        states = [each["State"] for service in services for each in self.containers(service)]
        return all(state["Running"] and state["Health"]["Status"] == "healthy" for state in states)

    def wait_until_healthy(self, *services: str) -> None:
        wait_for(lambda: self.healthy(*services), within_s=HEALTHY_S, every_s=1.0)

    def kill(self, service: str) -> None:
        """SIGKILL to a container's first process, as the kernel would send it: the engine knows of nothing."""
        if os.getuid():
            pytest.skip("needs root, to kill containers as if they had died")
        os.kill(self.containers(service)[0]["State"]["Pid"], signal.SIGKILL)

    def inside(self, service: str, *command: str, text: str | None = None, timeout_s: float = 300.0) -> str:
        """What a command says in a service's first container."""
        return self.compose.succeed("exec", "-T", service, *command, text=text, timeout_s=timeout_s)

    def prelabel(self, *arguments: str, text: str | None = None) -> Any:
        """What `prelabel ARGUMENTS --json` answers in a worker's container."""
        return json.loads(self.inside("worker", "prelabel", *arguments, "--json", text=text))

    def sql(self, query: str) -> list[list[str]]:
        """Rows of prelabel's database."""
        said = self.inside("postgres", "psql", "-qAt", "-U", "postgres", "-d", "prelabel", "-c", query)
        return [line.split("|") for line in said.splitlines()]

    def versions_served(self) -> list[str]:
        """The versions that the web process answers with, asked from beside it."""
        ask = (
            "import json, os, sys, urllib.request as http, base64; "
            "request = http.Request('http://127.0.0.1:9090/versions'); "
            "request.add_header('Authorization', 'Basic ' + base64.b64encode("
            "('prelabel:' + os.environ['PRELABEL_PASSWORD']).encode()).decode()); "
            "sys.stdout.write(http.urlopen(request, timeout=10).read().decode())"
        )
        return list(json.loads(self.inside("web", "python", "-c", ask))["versions"])

    def token(self) -> str:
        """What `connect` has made."""
        kept = self.inside("worker", "cat", "/var/lib/prelabel/prelabel.env")
        (self.compose.folder / "kept.env").write_text(kept, encoding="utf-8")
        return str(dotenv_values(self.compose.folder / "kept.env")["PRELABEL_LABEL_STUDIO_TOKEN"])

    @contextmanager
    def client(self) -> Iterator[LabelStudioClient]:
        """Label Studio over its published port, with the account's token."""
        opened = open_client(Settings(label_studio_url=self.url, label_studio_token=SecretStr(self.token())))
        try:
            yield opened
        finally:
            opened.close()

    def page(self, path: str) -> requests.Response:
        with direct() as session:
            return session.get(f"{self.url}/{path}", timeout=30)

    def left(self) -> dict[str, Sequence[str]]:
        """What the engine still has of the project, by kind."""
        mine = f"label=com.docker.compose.project={self.compose.project}"
        kinds = {
            "containers": ("ps", "--all", "--quiet"), "volumes": ("volume", "ls", "--quiet"),
            "networks": ("network", "ls", "--quiet"),
        }  # fmt: skip
        return {kind: self.engine.succeed(*command, "--filter", mine).split() for kind, command in kinds.items()}


def stack_of(engine: Engine, folder: Path, values: dict[str, str]) -> Stack:
    return Stack(engine, Compose(folder, "prelabel-test", values, engine.environment))

"""Docker Compose on our file, with settings as `make .env` writes them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.stack import ROOT

FOLDER = ROOT / "containers"
NO_COMPOSE = 69


def new_settings() -> dict[str, str]:
    """What `make .env` writes, by name."""
    text = subprocess.run(FOLDER / "secrets.sh", capture_output=True, text=True, check=True).stdout
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@dataclass(frozen=True)
class Compose:
    """A project of Docker Compose."""

    folder: Path  # where its settings lie
    project: str
    values: Mapping[str, str] = field(default_factory=new_settings, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict)  # which engine

    def run(
        self, *arguments: str, timeout_s: float = 60.0, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`docker compose ARGUMENTS`; whether it failed is the caller's to look at."""
        settings = self.folder / "compose.env"
        settings.write_text("".join(f"{name}={value}\n" for name, value in self.values.items()), encoding="utf-8")
        settings.chmod(0o600)
        kept = ("PATH", "HOME", "LANG")  # settings of the tests are none of the stack's
        inherited = {name: value for name, value in os.environ.items() if name in kept or name.startswith("DOCKER_")}
        done = subprocess.run(
            [
                FOLDER / "compose.sh", "--project-directory", ROOT, "--project-name", self.project,
                "--env-file", settings, *arguments,
            ],
            env={**inherited, **self.environment, "PYTHON": sys.executable}, input=text or "", capture_output=True,
            text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        if done.returncode == NO_COMPOSE:
            pytest.skip("needs Docker Compose v2: with the engine, on PATH, or from the package index")
        return done

    def succeed(self, *arguments: str, timeout_s: float = 60.0, text: str | None = None) -> str:
        """Its output; the test fails where it does."""
        done = self.run(*arguments, timeout_s=timeout_s, text=text)
        if done.returncode:
            pytest.fail(f"docker compose {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return done.stdout

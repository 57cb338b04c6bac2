"""A real Prometheus that reads prelabel with our own configuration and rules, only more often."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from backend.core.settings import Settings
from backend.supervisor.process import Service
from tests.stack import CACHE, ROOT, free_port, running, wait_for

MONITORING = ROOT / "monitoring"
EVERY = "1s"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """What it was told and has evaluated."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression yields now."""
        answer = requests.get(f"{self.url}/api/v1/query", {"query": expression}, timeout=10).json()
        assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
        return list(answer["data"]["result"])

    def alerts(self) -> set[str]:
        """The rules whose expression holds now, whether or not it has done so for long enough."""
        answer = requests.get(f"{self.url}/api/v1/rules", timeout=10).json()
        rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
        assert all(rule["health"] != "err" for rule in rules), rules
        return {rule["name"] for rule in rules if rule["alerts"]}


def program(name: str) -> str:
    """`prometheus` or `promtool`, from PATH or as .ci/run unpacks it."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), str(CACHE / "prometheus/usr/bin")]))
    if found is None:
        pytest.skip(f"needs {name} on PATH or unpacked in {CACHE / 'prometheus'}: Debian's package prometheus has it")
    return found


@contextmanager
def prometheus_of(settings: Settings, folder: Path) -> Iterator[Prometheus]:
    """A server that scrapes a web process each second, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    config = (MONITORING / "prometheus.yml").read_text(encoding="utf-8")
    config = config.replace("scrape_interval: 15s", f"scrape_interval: {EVERY}").replace(
        ":9090", f":{settings.web_port}"
    )
    config += f"global: {{evaluation_interval: {EVERY}, scrape_timeout: {EVERY}}}\n"
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    (folder / "password").write_text(settings.password.get_secret_value(), encoding="utf-8")
    shutil.copy(MONITORING / "alerts.yml", folder)
    prometheus = Prometheus(f"http://127.0.0.1:{free_port()}")
    command = (
        program("prometheus"), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={prometheus.url.removeprefix('http://')}",
    )  # fmt: skip
    with running(Service("prometheus", command, {"PATH": os.environ["PATH"]}), folder):
        wait_for(lambda: _scrapes(prometheus), within_s=30)
        yield prometheus


def _scrapes(prometheus: Prometheus) -> bool:
    try:
        return bool(prometheus.query('up{job="prelabel"} == 1'))
    except requests.RequestException:
        return False

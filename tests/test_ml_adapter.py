"""prelabel hosted by HumanSignal's server: 1.0.9 for real, and the calls of 2.x, which no package index carries."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import requests

from backend.core.settings import Settings
from backend.job_queue import connect, queue
from backend.ledger import open_ledger
from tests.golden.record import LABEL_CONFIG
from tests.labelstudio.served import made_for, publish, settings_for
from tests.stack import ROOT, free_port, kill, wait_for

pytestmark = pytest.mark.redis

KEY, PROJECT = "84-1795230264", "84.1795230264"
TASKS = [{"id": n, "project": 84, "data": {"text": text}} for n, text in enumerate(("где мой заказ", "верните деньги"))]
HOST = """
from label_studio_ml.api import init_app
from backend.ml_adapter import PreAnnotator
import sys

init_app(PreAnnotator, model_dir=sys.argv[2]).run(port=int(sys.argv[1]))
"""
HOST_OF_2 = '''
"""The calls that the server of label-studio-ml 2.x makes, as its api.py has them."""
import json, sys
from backend.ml_adapter import PreAnnotator

for line in sys.stdin:
    asked = json.loads(line)
    model = PreAnnotator(project_id=asked["project_id"], label_config=asked["label_config"])
    if asked["call"] == "setup":
        answer = model.get("model_version")
    elif asked["call"] == "predict":
        answer = model.predict(asked["tasks"], context=None)
    else:
        answer = model.fit(asked["event"], {"project": {"id": 84}})
    print("answer", json.dumps(answer), flush=True)
'''
MODEL_OF_2 = """
CACHE = {}

class LabelStudioMLBase:
    def __init__(self, project_id=None, label_config=None):
        self.project_id, self.label_config = project_id or "", label_config
        self.setup()

    def setup(self): ...
    def get(self, key): return CACHE.get((self.project_id, key))
    def set(self, key, value): CACHE[self.project_id, key] = value
"""


@pytest.fixture
def served(redis_url: str, models_dir: Path, tmp_path: Path) -> Settings:
    """A connected project whose first version is published; the environment names the state and the queue."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to(models_dir)
    settings = settings_for(home, redis_url)
    ledger = open_ledger(settings)
    ledger.add_project(KEY)
    ledger.update_project(KEY, config_hash=made_for(LABEL_CONFIG))
    ledger.engine.dispose()
    (settings.projects_dir / KEY).mkdir(parents=True)
    (settings.projects_dir / KEY / "settings.toml").write_text("blind_share = 0\n")
    publish(settings, KEY, LABEL_CONFIG)
    return settings


def environment(settings: Settings, *paths: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PRELABEL_")}
    ours = {
        "PRELABEL_HOME": str(settings.home),
        "PRELABEL_REDIS_URL": settings.redis_url.get_secret_value(),
        "PYTHONPATH": os.pathsep.join(map(str, (*paths, ROOT))),
    }
    return {**inherited, **ours}


@contextmanager
def hosted(settings: Settings, folder: Path) -> Iterator[str]:
    """The URL of HumanSignal's server with our model."""
    port = free_port()
    with (folder / "host.log").open("wb") as log:
        command = [sys.executable, "-c", HOST, str(port), str(folder / "jobs")]
        process = subprocess.Popen(command, env=environment(settings), cwd=folder, stdout=log, stderr=log)
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/health"), within_s=120, every_s=0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            kill(process.pid)
            process.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def test_the_server_of_1_0_9_hosts_prelabel_and_only_asks_for_trainings(served: Settings, tmp_path: Path) -> None:
    try:
        version("label-studio-ml")
    except PackageNotFoundError:
        pytest.skip("needs label-studio-ml 1.0.9: `make test-environment` installs it without its pins")
    with hosted(served, tmp_path) as url:
        setup = requests.post(f"{url}/setup", json={"project": PROJECT, "schema": LABEL_CONFIG}, timeout=60).json()
        body = {"tasks": TASKS, "project": PROJECT, "label_config": LABEL_CONFIG, "params": {"context": None}}

        def predicted() -> list[Any]:
            results: list[Any] = requests.post(f"{url}/predict", json=body, timeout=60).json()["results"]
            return results

        wait_for(lambda: all(predicted()), within_s=120, every_s=0.5)  # models load in the background
        for item in predicted():
            assert item["result"][0]["type"] == "choices"
            assert 0 <= item["score"] <= 1
            assert item["model_version"] == setup["model_version"], "or Label Studio asks for the same ones for ever"
        event = {"action": "ANNOTATION_CREATED", "project": {"id": 84, "label_config": LABEL_CONFIG}}
        assert requests.post(f"{url}/webhook", json=event, timeout=60).status_code == 201
        connection = connect(served)
        wait_for(lambda: queue(connection, "live").count == 1, within_s=120, every_s=0.2)
        connection.close()


def test_a_model_of_2_x_tells_its_version_and_only_asks_for_trainings(served: Settings, tmp_path: Path) -> None:
    package = tmp_path / "label_studio_ml"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model.py").write_text(MODEL_OF_2)
    metadata = tmp_path / "label_studio_ml-2.0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: label-studio-ml\nVersion: 2.0.1\n")
    process = subprocess.Popen(
        [sys.executable, "-c", HOST_OF_2], env=environment(served, tmp_path), cwd=tmp_path,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def ask(call: str, **more: Any) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        asked = {"call": call, "project_id": "84", "label_config": LABEL_CONFIG, **more}
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        line = next(line for line in process.stdout if line.startswith("answer "))
        return json.loads(line.removeprefix("answer "))

    try:
        told = ask("setup")
        assert told.startswith("pl-0-")
        wait_for(lambda: all(ask("predict", tasks=TASKS)), within_s=120, every_s=0.5)
        assert [item["model_version"] for item in ask("predict", tasks=TASKS)] == [told, told]
        assert ask("predict", tasks=TASKS, project_id="7") == [[], []], "a project that prelabel does not know"
        assert ask("fit", event="START_TRAINING")["job"].startswith(f"retrain-{KEY}")
        assert ask("fit", event="NOSUCH") == {}
    finally:
        kill(process.pid)
        process.communicate()


def test_without_the_library_the_remedy_is_named(tmp_path: Path) -> None:
    package = tmp_path / "label_studio_ml"
    package.mkdir()
    (package / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", "import backend.ml_adapter"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode
    assert "pip install --no-deps label-studio-ml==1.0.9" in done.stderr

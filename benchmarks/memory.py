"""What the web process takes in memory: `python -m benchmarks.memory PART`.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with fetched weights> python -m benchmarks.memory projects

projects   20 projects of 150 labels, half English, half Russian, served by one process: without examples, then trained
           on 1,000 examples each; how often each model was loaded
recovery   20 trained projects, the process killed and started again while two others keep both processors busy:
           seconds until /live and /ready answer, until a project that is asked for is predicted, until all are loaded
steady     two trained projects, 10,000 requests of mixed kind and size by four callers: memory after every 1,000;
           without the language model, which would take hours

A real gunicorn and a Valkey of their own run over a temporary state folder. Memory is PSS, which counts pages that
processes share by halves, of gunicorn and its worker.
"""

import functools
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

import psutil
import requests

from backend.assembly import Assembly
from backend.core.artefacts import new_version, write_atomically
from backend.core.profiles import load_profile
from backend.core.projects import SETTINGS_FILE, ProjectSettings, config_hash, project_folder
from backend.core.settings import Settings, load_settings
from backend.core.types import Example
from backend.labelstudio.entries import PROJECT_HEADER, SECRET_HEADER
from backend.labelstudio.schema import label_space
from backend.ledger import open_ledger
from backend.logs import configure_logs
from backend.models.model_uri import parse_uri
from backend.rows.texts import read_rows
from backend.supervisor.process import Child, Service
from backend.supervisor.services import Prelabel
from backend.supervisor.state import StateFolder
from backend.supervisor.supervisor import stop
from backend.supervisor.valkey import Valkey
from benchmarks.playground import CONFIG, wait_until
from training.run import TrainingOptions, train

N_PROJECTS, N_LABELS, N_EXAMPLES = 20, 150, 1_000
N_REQUESTS, N_CALLERS = 10_000, 4
N_BUSY = 2  # processes: as many as a small machine has processors
N_TEXTS = 5_000  # that the requests draw from: the embedders' caches hold them after the first few thousand requests
SIZES = (1, 1, 1, 1, 1, 1, 2, 5, 20, 50)  # tasks of a /predict
CALLS = ("predict",) * 7 + ("setup", "health", "webhook")
MB = 1024 * 1024
FILES = {"en": "clinc150_full.jsonl", "ru": "massive_ru.jsonl"}
COLD, TRAINED = "pl-0-00000000", new_version("benchmark")


@dataclass(frozen=True, slots=True)
class Material:
    """What a language's projects are made of."""

    language: str
    examples: list[Example]
    label_config: str

    @property
    def texts(self) -> list[str]:
        return [example.text for example in self.examples[:N_TEXTS]]


@dataclass(frozen=True, slots=True)
class Web:
    """A running web process."""

    settings: Settings
    pid: int

    @property
    def auth(self) -> tuple[str, str]:
        return self.settings.user, self.settings.password.get_secret_value()

    def post(self, path: str, body: object) -> requests.Response:
        answer = requests.post(f"{self.settings.backend_url}{path}", json=body, auth=self.auth, timeout=100)
        answer.raise_for_status()
        return answer

    def predict(self, key: str, material: Material, texts: list[str]) -> int:
        """How many of the texts were answered."""
        tasks = [{"id": number, "data": {"text": text}} for number, text in enumerate(texts, start=1)]
        body = {"tasks": tasks, "project": key.replace("-", "."), "label_config": material.label_config, "params": {}}
        return sum(item != [] for item in self.post("/predict", body).json()["results"])

    def setup(self, key: str, material: Material) -> str:
        body = {"project": key.replace("-", "."), "schema": material.label_config}
        return str(self.post("/setup", body).json()["model_version"])

    def serves(self, keys: dict[str, Material], version: str) -> bool:
        """Whether a version of all projects is loaded; asked, the process looks for a newer one."""
        told = {self.setup(key, material) for key, material in keys.items()}
        return told == {version} == set(self.health().values()) and len(self.health()) == len(keys)

    def health(self) -> dict[str, str]:
        """Version by project."""
        answer = requests.get(f"{self.settings.backend_url}/health", auth=self.auth, timeout=100)
        return dict(answer.json()["versions"])

    def ready(self) -> bool:
        return requests.get(f"{self.settings.backend_url}/ready", auth=self.auth, timeout=100).ok

    def webhook(self, key: str) -> None:
        headers = {SECRET_HEADER: self.settings.webhook_secret.get_secret_value(), PROJECT_HEADER: key}
        body = {"action": "ANNOTATION_CREATED"}
        requests.post(
            f"{self.settings.backend_url}/webhook", json=body, headers=headers, timeout=100
        ).raise_for_status()

    def metrics(self, prefix: str) -> dict[str, float]:
        answer = requests.get(f"{self.settings.backend_url}/metrics", auth=self.auth, timeout=100)
        lines = [line.rpartition(" ") for line in answer.text.splitlines() if line.startswith(prefix)]
        return {name: float(value) for name, _, value in lines}

    def pss_mb(self) -> int:
        master = psutil.Process(self.pid)
        return sum(each.memory_full_info().pss for each in (master, *master.children(recursive=True))) // MB


def main(part: str) -> None:
    configure_logs("WARNING")
    print(json.dumps({"projects": projects, "recovery": recovery, "steady": steady}[part](), indent=2))


def projects() -> dict[str, object]:
    materials = [material_of(language) for language in FILES]
    keys = {key_of(number): materials[number % 2] for number in range(N_PROJECTS)}
    with state_folder(keys) as settings, web(settings) as running:
        figures: dict[str, object] = {"projects": len(keys), "labels each": N_LABELS, "examples each": N_EXAMPLES}
        for name, version in (("cold", COLD), ("trained", TRAINED)):
            for key in keys:
                project_folder(settings.projects_dir, key).switch(version)
            wait_until(functools.partial(running.serves, keys, version), every_s=0.5)
            figures[f"{name}: loaded, MB"] = running.pss_mb()
            answered = sum(running.predict(key, keys[key], keys[key].texts[-32:]) for key in keys)
            figures[f"{name}: after 32 texts each, MB"] = running.pss_mb()
            figures[f"{name}: answered"] = f"{answered} of {32 * len(keys)}"
        figures |= running.metrics("prelabel_model_loads_total") | running.metrics("prelabel_evictions_total")
        return figures | running.metrics("prelabel_loaded_bytes")


def recovery() -> dict[str, object]:
    """The clock runs from the start of gunicorn, after a first run has read all files once."""
    materials = [material_of(language) for language in FILES]
    keys = {key_of(number): materials[number % 2] for number in range(N_PROJECTS)}
    with state_folder(keys) as settings:
        for key in keys:
            project_folder(settings.projects_dir, key).switch(TRAINED)
        with web(settings) as running:
            wait_until(functools.partial(running.serves, keys, TRAINED), every_s=0.5)
        with busy(N_BUSY):
            started = time.monotonic()
            with web(settings) as running:
                return recovered(running, keys, started)


def recovered(running: Web, keys: dict[str, Material], started: float) -> dict[str, object]:
    """Seconds since the start."""

    def after(what: Callable[[], bool]) -> float:
        wait_until(what, every_s=0.1)
        return round(time.monotonic() - started, 1)

    figures: dict[str, object] = {"projects": len(keys), "busy processes": N_BUSY}
    figures["/live, s"] = after(lambda: True)  # `web` waits for it
    figures["/ready, s"] = after(running.ready)
    figures["loaded by then"] = len(running.health())
    last = list(keys)[-1]
    figures["a project asked for is predicted, s"] = after(lambda: running.predict(last, keys[last], ["a text"]) > 0)
    figures["all loaded, s"] = after(lambda: len(running.health()) == len(keys))
    return figures


@contextmanager
def busy(n: int) -> Iterator[None]:
    """Processes that do nothing but take a processor."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def steady() -> dict[str, object]:
    keys = {key_of(number): material_of(language) for number, language in enumerate(FILES)}
    with state_folder(keys, voter=False) as settings, web(settings) as running:
        for key in keys:
            project_folder(settings.projects_dir, key).switch(TRAINED)
        wait_until(functools.partial(running.serves, keys, TRAINED), every_s=0.5)
        course, started = {0: running.pss_mb()}, time.monotonic()
        for done in range(1_000, N_REQUESTS + 1, 1_000):
            with ThreadPoolExecutor(N_CALLERS) as callers:
                list(callers.map(lambda number: call(running, keys, number), range(done - 1_000, done)))
            course[done] = running.pss_mb()
            print(done, course[done], file=sys.stderr)
        return {"MB after so many requests": course, "seconds": round(time.monotonic() - started)}


def call(running: Web, keys: dict[str, Material], number: int) -> None:
    dice = random.Random(number)
    key = dice.choice(list(keys))
    match dice.choice(CALLS):
        case "predict":
            running.predict(key, keys[key], dice.sample(keys[key].texts, dice.choice(SIZES)))
        case "setup":
            running.setup(key, keys[key])
        case "health":
            running.health()
        case _:
            running.webhook(key)


def key_of(number: int) -> str:
    return f"{number + 1}-1795230264"


def material_of(language: str) -> Material:
    """Shuffled examples of a data set, and a label config of their labels, filled up with others of no example."""
    data = Path(os.environ["PRELABEL_TEST_DATA"])
    rows = [row for row in read_rows(data / FILES[language], where="split=train", labelled=True) if row.label != "oos"]
    random.Random(0).shuffle(rows)
    labels = sorted({row.label for row in rows})
    labels += [f"spare_{number}" for number in range(N_LABELS - len(labels))]
    config = CONFIG % "".join(f'<Choice value="{label}"/>' for label in labels)
    return Material(language, [Example(row.id, row.text, row.label) for row in rows], config)


@contextmanager
def state_folder(keys: dict[str, Material], *, voter: bool = True) -> Iterator[Settings]:
    """Projects as workers would have left them, connected to nothing; the cold version is current."""
    voters = {parse_uri(spec.uri).slug for spec in load_profile("embedded").voters}
    with tempfile.TemporaryDirectory() as name:
        folder = StateFolder(Path(name))
        folder.make()
        (folder.home / "models").mkdir()
        for weights in load_settings().models_dir.iterdir():
            if voter or weights.name not in voters:
                (folder.home / "models" / weights.name).symlink_to(weights.resolve())
        secrets = {"PRELABEL_PASSWORD": "benchmark", "PRELABEL_WEBHOOK_SECRET": "benchmark"}
        redis_url = f"redis://:benchmark@127.0.0.1:{free_port()}/0"
        folder.remember({**secrets, "PRELABEL_WEB_PORT": str(free_port()), "PRELABEL_REDIS_URL": redis_url})
        settings = Settings(_env_file=folder.env_file, home=folder.home)
        publish_all(settings, keys)
        yield settings


def publish_all(settings: Settings, keys: dict[str, Material]) -> None:
    assembly, ledger, made = Assembly(settings), open_ledger(settings), dict[str, str]()
    for key, material in keys.items():
        project = project_folder(settings.projects_dir, key)
        first = made.setdefault(material.language, key)
        if first == key:
            publish(settings, key, material, assembly)
        else:  # nothing is shared between folders: a copy weighs what another training's would
            shutil.copytree(project_folder(settings.projects_dir, first).root, project.root)
        ledger.add_project(key)
        ledger.update_project(key, config_hash=config_hash(material.label_config, ProjectSettings(), ()))
        write_atomically(project.root / SETTINGS_FILE, "blind_share = 0\n")
        project.switch(COLD)
    ledger.engine.dispose()


def publish(settings: Settings, key: str, material: Material, assembly: Assembly) -> None:
    project, space = project_folder(settings.projects_dir, key), label_space(material.label_config)
    for version, examples in ((COLD, []), (TRAINED, material.examples[-N_EXAMPLES:])):
        options = TrainingOptions(language=material.language, version=version)
        train(examples, space, out=project.artefact(version), options=options, assembly=assembly)


@contextmanager
def web(settings: Settings) -> Iterator[Web]:
    """gunicorn and the queue's server, once they answer."""
    run = StateFolder(settings.home).run
    queue = Valkey(settings.redis_url.get_secret_value(), settings.home / "valkey", run / "valkey.conf")
    with ExitStack() as stack:
        stack.enter_context(running_service(queue.service(), settings))
        child = stack.enter_context(running_service(Prelabel(settings).web(), settings))
        yield Web(settings, child.pid)


@contextmanager
def running_service(service: Service, settings: Settings) -> Iterator[Child]:
    child = Child(service, StateFolder(settings.home).logs / f"{service.name}.log", service.environment)
    try:
        child.start(lambda: False)
        yield child
    finally:
        stop([child])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main(sys.argv[1])

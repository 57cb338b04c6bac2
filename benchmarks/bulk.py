"""Moving data through a running stack over HTTP: `prelabel up --detach`, then

    python -m benchmarks.bulk PART [ROWS [KILLS]]

import   `prelabel import` and bare SDK calls in turns, each into a project of its own, for a tenth of ROWS and for ROWS
export   `prelabel export` and bare paging through the SDK in turns, out of a project of ROWS tasks, a tenth labelled
killed   SIGKILL at KILLS random moments of import, predict and export each: what a second run makes of it

ROWS is 100,000 where left out, KILLS is 20. Each part removes its projects at the end. What is told of an import is
told of its whole process, its start included; exports are timed as functions, and their memory is the process's.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from label_studio_sdk import LabelStudio

from backend.connection.connect import ConnectOptions, connect
from backend.core.settings import load_settings
from backend.labelstudio.records import Json, Project
from backend.labelstudio.schema import ID_KEY
from backend.logs import configure_logs
from backend.loop.desk import Desk
from backend.moving.exported import FIELDS
from benchmarks.playground import CONFIG, gold_of, sample_tasks
from prelabel import export_labels
from samples import load_samples

N_ROWS = 100_000
CHUNKS = (1000, 2000, 5000)  # rows of a bare request; the best one counts
N_PAGE = 1000
LABELLED_EVERY = 10
N_KILLS = 20
ROUNDS = 2  # in turns; the better one of each counts
SEED = 0


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a command to its end."""

    seconds: float
    peak_mb: float
    result: Json


def main(part: str, n_rows: int = N_ROWS, n_kills: int = N_KILLS) -> None:
    configure_logs("WARNING")
    parts: dict[str, Callable[[Desk, Path, int], Json]]
    parts = {"import": importing, "export": exporting, "killed": partial(killed, n_kills=n_kills)}
    with Desk(load_settings()) as desk, tempfile.TemporaryDirectory() as folder:
        print(json.dumps(parts[part](desk, Path(folder), n_rows), indent=2))


def importing(desk: Desk, folder: Path, n_rows: int) -> Json:
    return {str(n): _import_of(desk, folder, n) for n in (n_rows // 10, n_rows)}


def _import_of(desk: Desk, folder: Path, n: int) -> Json:
    data = write_rows(folder, n)
    bare: dict[int, float] = {}
    ours: list[Ran] = []
    for turn in range(ROUNDS):
        for chunk in CHUNKS if turn == 0 else [min(bare, key=lambda size: bare[size])]:
            with fresh_project(desk) as project:
                bare[chunk] = min(bare.get(chunk, float("inf")), timed(lambda: bare_import(desk, project, data, chunk)))  # noqa: B023
        with fresh_project(desk) as project:
            ours.append(run("import", str(data), "--project", str(project.id), "--json"))
    best = min(ours, key=lambda ran: ran.seconds)
    return {
        "bare_rows_per_s": {chunk: round(n / seconds) for chunk, seconds in bare.items()},
        "rows_per_s": round(n / best.seconds),
        "ratio": round(min(bare.values()) / best.seconds, 2),
        "seconds": round(best.seconds, 1),
        "seconds_without_start": best.result["seconds"],
        "peak_mb": round(max(ran.peak_mb for ran in ours)),
    }


def bare_import(desk: Desk, project: Project, data: Path, chunk: int) -> None:
    """What a script would do: read, and send through the SDK."""
    rows: list[Any] = []
    with data.open(encoding="utf-8") as file:
        for line in file:
            rows.append({"data": json.loads(line)})
            if len(rows) == chunk:
                whole_sdk(desk).projects.import_tasks(project.id, request=rows, return_task_ids=True)
                rows = []
    if rows:
        whole_sdk(desk).projects.import_tasks(project.id, request=rows, return_task_ids=True)


def whole_sdk(desk: Desk) -> LabelStudio:
    """The SDK's client over our connection."""
    api = desk.client.api
    token = desk.settings.label_studio_token.get_secret_value()
    return LabelStudio(base_url=f"{api.url}/", api_key=token, httpx_client=api.transport)  # type: ignore[no-untyped-call]


def exporting(desk: Desk, folder: Path, n_rows: int) -> Json:
    found: Json = {}
    for n in (n_rows // 10, n_rows):
        data = write_rows(folder, n, labelled_every=LABELLED_EVERY)
        with fresh_project(desk) as project:
            run("import", str(data), "--project", str(project.id), "--labels-as", "annotations", "--json")
            bare, ours = [], []
            for _ in range(ROUNDS):
                bare.append(timed(lambda: bare_export(desk, project, folder / "bare.jsonl")))
                ours.append(timed(lambda: export_labels(project.id, folder / "out.jsonl", what="tasks")))
            out = str(folder / "out.jsonl")
            process = run("export", "--project", str(project.id), "--out", out, "--what", "tasks", "--json")
        found[str(n)] = {
            "bare_tasks_per_s": round(n / min(bare)),
            "tasks_per_s": round(n / min(ours)),
            "ratio": round(min(bare) / min(ours), 2),
            "process_s": round(process.seconds, 1),
            "peak_mb": round(process.peak_mb),
        }
    return found


def bare_export(desk: Desk, project: Project, out: Path) -> None:
    """The SDK's fastest correct way: pages, of the fields that are needed."""
    with out.open("w", encoding="utf-8") as file:
        pages: Iterable[Any] = whole_sdk(desk).tasks.list(
            project=project.id, fields="all", include=FIELDS, page=1, page_size=N_PAGE
        )
        file.writelines(f"{task.json()}\n" for task in pages)


def killed(desk: Desk, folder: Path, n_rows: int, *, n_kills: int) -> Json:
    chance, data = random.Random(SEED), write_rows(folder, n_rows)
    return {
        "import": _killed_imports(desk, data, n_kills, chance),
        "predict": _killed_predictions(desk, data, n_kills, chance),
        "export": _killed_exports(desk, data, n_kills, chance),
    }


def _killed_imports(desk: Desk, data: Path, n_kills: int, chance: random.Random) -> Json:
    lost = doubled = 0
    n_rows = _lines(data)
    with fresh_project(desk) as project:
        whole_s = run("import", str(data), "--project", str(project.id), "--json").seconds
    for _ in range(n_kills):
        with fresh_project(desk) as project:
            command = ("import", str(data), "--project", str(project.id), "--json")
            kill_within(whole_s, chance, *command)
            run(*command)
            ids = [task.data[ID_KEY] for task in desk.client.tasks(project.id, all_fields=False)]
            lost += n_rows - len(set(ids))
            doubled += len(ids) - len(set(ids))
    return {"kills": n_kills, "lost": lost, "doubled": doubled}


def _killed_predictions(desk: Desk, data: Path, n_kills: int, chance: random.Random) -> Json:
    lost = doubled = 0
    with fresh_project(desk) as project:
        run("import", str(data), "--project", str(project.id), "--json")
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        version, command = (
            desk.project(str(project.key)).folder.current(),
            ("predict", "--project", str(project.id), "--wait"),
        )
        forget_predictions(desk, project, version)
        whole_s = run(*command, "--json").seconds
        for _ in range(n_kills):
            forget_predictions(desk, project, version)
            kill_within(whole_s, chance, *command)
            run(*command, "--json")
            counts = [
                sum(item["model_version"] == version for item in task.predictions)
                for task in desk.client.tasks(project.id)
            ]
            lost += counts.count(0)
            doubled += sum(count > 1 for count in counts)
        desk.ledger.remove_project(str(project.key))
    return {"kills": n_kills, "lost": lost, "doubled": doubled}


def _killed_exports(desk: Desk, data: Path, n_kills: int, chance: random.Random) -> Json:
    broken, out = 0, data.with_name("killed.csv")
    with fresh_project(desk) as project:
        run("import", str(data), "--project", str(project.id), "--json")
        command = ("export", "--project", str(project.id), "--out", str(out), "--what", "tasks", "--json")
        whole = run(*command)
        for _ in range(n_kills):
            out.unlink()
            kill_within(whole.seconds, chance, *command)
            half = out.exists() and out.stat().st_size == 0
            again = run(*command)
            same = (again.result["rows"], again.result["sha256"]) == (_lines(data), whole.result["sha256"])
            broken += half or not same
    return {"kills": n_kills, "broken": broken}


@contextmanager
def fresh_project(desk: Desk) -> Iterator[Project]:
    labels = sorted({row.gold for row in load_samples()[0].rows})
    config = CONFIG % "".join(f'<Choice value="{label}"/>' for label in labels)
    project = desk.client.create_project(title="bulk benchmark", label_config=config)
    try:
        yield project
    finally:
        desk.client.delete_project(project.id)


def write_rows(folder: Path, n: int, *, labelled_every: int = 0) -> Path:
    path = folder / f"rows-{n}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number, task in enumerate(sample_tasks(0, n)):
            row = {"id": number, "text": task["text"]}
            if labelled_every and number % labelled_every == 0:
                row["label"] = gold_of(task["text"])
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def _lines(path: Path) -> int:
    with path.open(encoding="utf-8") as file:
        return sum(1 for _ in file)


def forget_predictions(desk: Desk, project: Project, version: str) -> None:
    if desk.client.model_versions(project.id).get(version):
        path = f"api/projects/{project.id}/model-versions/"
        desk.client.api.call("DELETE", path, body={"model_version": version}, timeout_s=900.0)


def timed(what: Callable[[], object]) -> float:
    started = time.perf_counter()
    what()
    return time.perf_counter() - started


def run(*arguments: str) -> Ran:
    """A command to its end, with the peak of its memory."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", *arguments], stdout=said, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        if process.returncode:
            raise RuntimeError(f"{' '.join(arguments)} must end with 0, ended with {process.returncode}")
        said.seek(0)
        return Ran(seconds, usage.ru_maxrss / 1024, json.load(said))


def kill_within(seconds: float, chance: random.Random, *arguments: str) -> None:
    """Begin a command, and end it with SIGKILL at a random moment of the time that it takes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "backend.cli", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(chance.uniform(0.0, seconds))
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))

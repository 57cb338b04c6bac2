"""A large project that is taken on, and left again: `prelabel up --detach` first, then `python -m benchmarks.adoption`.

40,000 tasks, 12,000 of them annotated, 1,000 with a prediction of somebody else's; texts of CLINC150 from
$PRELABEL_TEST_DATA, with a number where they come again. How long until an annotator is shown something useful, and
whether everything is as before once prelabel is disconnected.
"""

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from backend.connection.connect import ConnectOptions, connect, disconnect
from backend.core.artefacts import OWN_PREFIX
from backend.core.settings import load_settings
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.records import Json, Project
from backend.logs import configure_logs
from backend.loop.desk import Desk
from benchmarks.playground import predicted, wait_until

N_TASKS, N_ANNOTATED, N_FOREIGN = 40_000, 12_000, 1_000
CHUNK = 2_000
N_SHOWN = 20  # tasks of the label stream that are looked at
FOREIGN = "somebody-elses"
VOLATILE = ("created_at", "finished_task_number", "queue_total", "queue_done")  # of no setting, and none of ours


@dataclass(frozen=True, slots=True)
class Row:
    text: str
    label: str


def main(n_tasks: int) -> None:
    configure_logs("WARNING")
    rows = list(texts(n_tasks))
    with Desk(load_settings()) as desk:
        project = large_project(desk.client, rows)
        try:
            print(json.dumps(adoption(desk, project, rows), indent=2))
        finally:
            desk.client.delete_project(project.id)
            desk.ledger.remove_project(str(project.key))


def texts(n: int) -> Iterator[Row]:
    path = Path(os.environ["PRELABEL_TEST_DATA"]) / "clinc150_full.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [Row(line["text"], line["label"]) for line in lines if line["label"] != "oos"]
    for place in range(n):
        turn, i = divmod(place, len(rows))
        yield Row(rows[i].text + (f" #{turn}" if turn else ""), rows[i].label)


def large_project(client: LabelStudioClient, rows: list[Row]) -> Project:
    labels = "".join(f"<Choice value={quoteattr(label)}/>" for label in sorted({row.label for row in rows}))
    config = f'<View><Text name="text" value="$text"/><Choices name="intent" toName="text">{labels}</Choices></View>'
    project = client.create_project(title="adopted", label_config=config)
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        ids = client.import_tasks(project.id, [task(row, start + n) for n, row in enumerate(part)])
        if start < N_FOREIGN:
            theirs = list(zip(ids, part, strict=True))[:N_FOREIGN]
            foreign = [{"task": i, "result": chosen(row), "model_version": FOREIGN} for i, row in theirs]
            client.import_predictions(project.id, foreign)
    client.update_project(project.id, model_version="")
    return client.project(project.id)


def task(row: Row, place: int) -> Json:
    """Every third or so is annotated."""
    annotated = place * N_ANNOTATED // N_TASKS != (place + 1) * N_ANNOTATED // N_TASKS
    return {"data": {"text": row.text}, **({"annotations": [{"result": chosen(row)}]} if annotated else {})}


def chosen(row: Row) -> list[Json]:
    return [{"from_name": "intent", "to_name": "text", "type": "choices", "value": {"choices": [row.label]}}]


def adoption(desk: Desk, project: Project, rows: list[Row]) -> dict[str, object]:
    before = state_of(desk.client, project.id)
    gold = {row.text: row.label for row in rows}
    begun = time.perf_counter()
    connect(desk, project, ConnectOptions(language="en"), lambda step: print(step, file=sys.stderr, flush=True))
    connected = time.perf_counter() - begun
    wait_until(lambda: bool(shown_label(desk.client.next_task(project.id))), every_s=0.5)
    useful = time.perf_counter() - begun
    wait_until(lambda: desk.client.project(project.id).model_version.startswith(OWN_PREFIX))
    stored = time.perf_counter() - begun
    first = judged(desk.client, project.id, gold)
    work = desk.project(str(project.key))
    wait_until(lambda: predicted(work))
    all_of_it = time.perf_counter() - begun
    wait_until(lambda: any(training.promoted for training in desk.ledger.trainings(work.key)))
    wait_until(lambda: predicted(work))
    trained = time.perf_counter() - begun
    begun = time.perf_counter()
    disconnect(desk, work.key, lambda step: print(step, file=sys.stderr, flush=True))
    left = time.perf_counter() - begun
    after = state_of(desk.client, project.id)
    return {
        "tasks": len(rows),
        "connect returns after, s": round(connected),
        "Label Studio's next task is ticked after, s": round(useful),
        "stored predictions are shown after, s": round(stored),
        f"of the first {N_SHOWN} tasks shown": first,
        "every open task predicted after, s": round(all_of_it),
        "trained, promoted and predicted again after, s": round(trained),
        "disconnect, s": round(left),
        "differs from before": [name for name in before if before[name] != after[name]],
    }


def judged(client: LabelStudioClient, project_id: int, gold: dict[str, str]) -> dict[str, int]:
    """What the least certain tasks show: how many a tick, how many the right one."""
    head = list(client.tasks(project_id, ordering="tasks:predictions_score", limit=N_SHOWN))
    ticks = [(shown_label({"predictions": list(task.predictions[-1:])}), gold[str(task.data["text"])]) for task in head]
    return {"ticked": sum(bool(tick) for tick, _ in ticks), "right": sum(tick == right for tick, right in ticks)}


def shown_label(task: Json) -> str:
    """What is ticked by our newest prediction; empty for nothing."""
    ours = [item for item in task["predictions"] if str(item.get("model_version", "")).startswith("pl-")]
    regions = ours[-1]["result"] if ours else []
    return str(regions[0]["value"]["choices"][0]) if regions else ""


def state_of(client: LabelStudioClient, project_id: int) -> dict[str, Any]:
    """The project as its API tells it, entry by entry, and its export as one."""
    raw = {name: value for name, value in client.project(project_id).raw.items() if name not in VOLATILE}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.json"
        client.export(project_id, path)
        exported = json.loads(path.read_text(encoding="utf-8"))
    text = json.dumps(exported, sort_keys=True)
    tasks = [(task.id, dict(task.data)) for task in client.tasks(project_id, all_fields=False)]
    return {
        **raw,
        "export": hashlib.sha256(text.encode()).hexdigest(),
        "tasks": hashlib.sha256(json.dumps(tasks, sort_keys=True).encode()).hexdigest(),
        "predictions": client.model_versions(project_id),
        "webhooks": client.webhooks(project_id),
        "backends": client.backends(project_id),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else N_TASKS)

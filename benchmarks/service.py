"""Figures of a running stack over HTTP: `prelabel up --detach` first, then `python benchmarks/service.py PART`.

webhook    500 events in 10 s: p99 of the answers, and the trainings that they lead to
bulk       300 tasks accepted in bulk: what the ledger holds
live       seconds from an accepted label until the index knows it, and until the head of the label stream is fresh
annotator  next + submit every 2 s while 10,000 open tasks are predicted again, the version is switched and older
           predictions are pruned: errors, p50, p99

Each part makes a project of its own from the English sample and removes it at the end.
"""

import functools
import json
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import requests

from backend.connection.connect import ConnectOptions, connect, webhook_url
from backend.core.settings import load_settings
from backend.job_queue import queue
from backend.labelstudio.client import PROJECT_HEADER, SECRET_HEADER
from backend.labelstudio.filters import lacking_version, unlabelled
from backend.labelstudio.records import Project
from backend.labelstudio.schema import TOP_KEY
from backend.labelstudio.wire import choice
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.upkeep import KEPT_VERSIONS
from samples import load_samples

N_EVENTS, EVENT_SECONDS = 500, 10.0
N_BULK = 300
N_OPEN = 10_000
PAUSE_S = 2.0
SETTLE_S = 90.0
N_LIVE = 15
N_VERSIONS = 3  # so that the first one is pruned
PATIENCE_S = 900.0
CONFIG = """<View>
  <Text name="text" value="$text"/>
  <Choices name="intent" toName="text" choice="single">%s</Choices>
</View>"""


def main(part: str) -> None:
    parts = {"webhook": webhook, "bulk": bulk, "live": live, "annotator": annotator}
    desk = Desk(load_settings())
    print(json.dumps(parts[part](desk), indent=2))


def webhook(desk: Desk) -> dict[str, object]:
    """Label 60 tasks through the API, then send 500 events in 10 s."""
    with sample_project(desk, n_tasks=200) as work:
        for task, label in list(labelled(work))[:60]:
            annotate(work, task, label, lead_time=1.0)
        before = len(desk.ledger.trainings(work.key))
        seconds = send_events(desk, work.key)
        time.sleep(SETTLE_S)
        trainings = len(desk.ledger.trainings(work.key)) - before
    return {"events": len(seconds), **percentiles(seconds), "trainings": trainings}


def send_events(desk: Desk, key: str) -> list[float]:
    headers = {
        SECRET_HEADER: desk.settings.webhook_secret.get_secret_value(),
        PROJECT_HEADER: key,
    }
    seconds, started = [], time.perf_counter()
    for number in range(N_EVENTS):
        time.sleep(max(0.0, started + number * EVENT_SECONDS / N_EVENTS - time.perf_counter()))
        begun = time.perf_counter()
        answer = requests.post(
            webhook_url(desk.settings), json={"action": "ANNOTATION_CREATED"}, headers=headers, timeout=5
        )
        answer.raise_for_status()
        seconds.append(time.perf_counter() - begun)
    return seconds


def bulk(desk: Desk) -> dict[str, object]:
    """Accept 300 predictions with the Data Manager's action."""
    with sample_project(desk, n_tasks=2 * N_BULK) as work:
        tasks = [task.id for task in desk.client.tasks(work.id) if task.predictions and task.predictions[-1]["result"]]
        chosen = tasks[:N_BULK]
        desk.client.accept_predictions(work.id, chosen, version=work.folder.current())
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline and sum(n for *_, n in desk.ledger.acceptance(work.key)) < len(chosen):
            time.sleep(1.0)
        how = Counter({how: n for how, _, n in desk.ledger.acceptance(work.key)})
    return {"accepted in bulk": len(chosen), "in the ledger": dict(how)}


def live(desk: Desk) -> dict[str, object]:
    """Accept one label at a time, in a project whose tasks show reason and percents, and wait for what follows."""
    known: list[float] = []
    fresh: list[float] = []
    jobs = queue(desk.queue.connection, "live")
    with sample_project(desk, n_tasks=400, config=load_samples()[0].label_config) as work:
        for task, label in list(labelled(work))[:N_LIVE]:
            before, begun = generation(work), time.perf_counter()
            annotate(work, task, label, lead_time=1.0)
            wait_until(functools.partial(grown, work, before), every_s=0.02)
            known.append(time.perf_counter() - begun)
            wait_until(lambda: not jobs.count and not jobs.started_job_registry.count, every_s=0.02)
            fresh.append(time.perf_counter() - begun)
    return {
        "labels": len(known),
        "index knows it, s, median and max": [round(f(known), 2) for f in (statistics.median, max)],
        "head is fresh, s, median and max": [round(f(fresh), 2) for f in (statistics.median, max)],
    }


def grown(work: ProjectDesk, before: int) -> bool:
    return generation(work) > before


def generation(work: ProjectDesk) -> int:
    row = work.desk.ledger.project(work.key)
    return row.generation if row else 0


def annotator(desk: Desk) -> dict[str, object]:
    """One annotator, while the workers predict everything anew, switch the version and prune, three times."""
    with sample_project(desk, n_tasks=N_OPEN) as work:
        for task, label in list(labelled(work))[:100]:
            annotate(work, task, label, lead_time=1.0)
        stop = threading.Event()
        seconds: list[float] = []
        errors: list[str] = []
        person = threading.Thread(target=annotate_steadily, args=(work, stop, seconds, errors))
        person.start()
        started = time.monotonic()
        for _ in range(N_VERSIONS):
            before = work.folder.current()
            desk.queue.enqueue("retrain", work.key)
            wait_until(functools.partial(shows_another, work, before))
        wait_until(lambda: len(desk.client.model_versions(work.id)) <= KEPT_VERSIONS)
        stop.set()
        person.join()
    took = round(time.monotonic() - started)
    return {"seconds": took, "calls": len(seconds), "errors": errors, **percentiles(seconds)}


def annotate_steadily(work: ProjectDesk, stop: threading.Event, seconds: list[float], errors: list[str]) -> None:
    client = work.desk.client
    while not stop.is_set():
        begun = time.perf_counter()
        try:
            task = client.next_task(work.id)
            seconds.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            annotate(work, task["id"], work.control.space.values[0], lead_time=2.0)
            seconds.append(time.perf_counter() - begun)
        except Exception as err:  # noqa: BLE001  (counted, whatever it is)
            errors.append(f"{type(err).__name__}: {err}")
        stop.wait(PAUSE_S)


def annotate(work: ProjectDesk, task_id: int, label: str, *, lead_time: float) -> None:
    work.desk.client.create_annotation(task_id, [choice(work.control, label)], lead_time_s=lead_time)


def labelled(work: ProjectDesk) -> Iterator[tuple[int, str]]:
    """Open tasks with the sample's gold label."""
    gold = {row.text: row.gold for row in load_samples()[0].rows}
    for task in work.desk.client.tasks(work.id):
        label = gold.get(str(task.data["text"]).partition(" #")[0])
        if label:
            yield task.id, label


@contextmanager
def sample_project(desk: Desk, *, n_tasks: int, config: str = "") -> Iterator[ProjectDesk]:
    """A connected project of the English sample's texts, repeated with a number until there are enough."""
    rows = load_samples()[0].rows
    texts = [rows[i % len(rows)].text + (f" #{i // len(rows)}" if i >= len(rows) else "") for i in range(n_tasks)]
    labels = sorted({row.gold for row in rows})
    config = config or CONFIG % "".join(f'<Choice value="{label}"/>' for label in labels)
    project: Project = desk.client.create_project(title="benchmark", label_config=config)
    desk.client.import_tasks(project.id, [{"text": text, TOP_KEY: []} for text in texts])
    connect(desk, project, ConnectOptions(language="en"), lambda _: None)
    work = desk.project(str(project.key))
    wait_until(lambda: predicted(work))
    try:
        yield work
    finally:
        desk.client.delete_project(project.id)
        desk.ledger.remove_project(work.key)


def predicted(work: ProjectDesk) -> bool:
    """Whether every open task has a prediction of the version that serves, and Label Studio shows it."""
    version = work.folder.current()
    lacking = work.desk.client.tasks(
        work.id, filters=[unlabelled(), lacking_version(version)], limit=1, all_fields=False
    )
    return work.desk.client.project(work.id).model_version == version and not list(lacking)


def shows_another(work: ProjectDesk, before: str) -> bool:
    """Whether another version serves, and Label Studio shows it."""
    current = work.folder.current()
    return current != before and work.desk.client.project(work.id).model_version == current


def wait_until(what: Callable[[], bool], *, every_s: float = 2.0) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_S:.0f} s in vain; see the logs of the workers")
        time.sleep(every_s)


def percentiles(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {
        "p50_ms": round(1000 * cuts[49], 1),
        "p99_ms": round(1000 * cuts[98], 1),
        "max_ms": round(1000 * max(seconds), 1),
    }


if __name__ == "__main__":
    main(sys.argv[1])

"""Figures of a running stack over HTTP: `prelabel up --detach` first, then `python -m benchmarks.service PART`.

webhook    500 events in 10 s: p99 of the answers, and the trainings that they lead to
bulk       300 tasks accepted in bulk: what the ledger holds
live       seconds from an accepted label until the index knows it, and until the head of the label stream is fresh
imported   seconds from the import of one more text until it carries a prediction
killed     seconds from SIGKILL of the trainer in mid-training until that job runs again, and what it leaves
annotator  next + submit every 2 s while 10,000 open tasks are predicted again, the version is switched and older
           predictions are pruned: errors, p50, p99
leaving    next + submit every second while a project of 4,000 tasks is disconnected: errors, p50, p99, worst

Each part makes a project of its own from the English sample and removes it at the end.
"""

import functools
import json
import statistics
import sys
import threading
import time
from collections import Counter
from datetime import datetime

import psutil
import requests
from rq.job import Job
from rq.serializers import JSONSerializer

from backend.connection.connect import disconnect
from backend.connection.ties import webhook_url
from backend.core.artefacts import read_manifest
from backend.core.errors import BadInputError
from backend.core.projects import is_blind
from backend.core.settings import load_settings
from backend.job_queue import queue
from backend.labelstudio.entries import PROJECT_HEADER, SECRET_HEADER
from backend.labelstudio.schema import TOP_KEY
from backend.logs import configure_logs
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.removals import OPEN_S, note_left
from backend.supervisor.services import TRAINER
from backend.supervisor.state import read_status
from benchmarks.playground import annotate, gold_of, labelled, percentiles, predict_once, sample_project, wait_until
from samples import load_samples

N_EVENTS, EVENT_SECONDS = 500, 10.0
N_BULK = 300
N_OPEN = 10_000
PAUSE_S = 2.0
SETTLE_S = 90.0
N_LIVE = 15
N_VERSIONS = 2  # after the one without labels, which is pruned then
N_LEFT, LEAVING_PAUSE_S = 4_000, 1.0
N_PRUNED = 500  # predictions of it that are waited for


def main(part: str) -> None:
    configure_logs("WARNING")
    parts = {
        "webhook": webhook,
        "bulk": bulk,
        "live": live,
        "imported": imported,
        "killed": killed,
        "annotator": annotator,
        "leaving": leaving,
    }
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


def imported(desk: Desk) -> dict[str, object]:
    """Import one more text at a time, and wait until it can be seen with its prediction."""
    seconds = []
    with sample_project(desk, n_tasks=400) as work:
        for number in range(N_LIVE):
            begun = time.perf_counter()
            (task,) = desk.client.import_tasks(work.id, [{"text": f"where is parcel number {number}", TOP_KEY: []}])
            wait_until(functools.partial(carries_prediction, work, task), every_s=0.05)
            seconds.append(time.perf_counter() - begun)
            time.sleep(PAUSE_S)
    return {"texts": len(seconds), "s, median and max": [round(f(seconds), 2) for f in (statistics.median, max)]}


def carries_prediction(work: ProjectDesk, task_id: int) -> bool:
    return is_blind(work.key, task_id, work.settings.blind_share) or bool(work.desk.client.task(task_id).predictions)


def killed(desk: Desk) -> dict[str, object]:
    """SIGKILL the trainer while it trains; the supervisor starts another, which must find the job."""
    training = queue(desk.queue.connection, "train").started_job_registry
    with sample_project(desk, n_tasks=400) as work:
        for task, label in list(labelled(work))[:200]:
            annotate(work, task, label, lead_time=1.0)
        wait_until(lambda: not training.count and not desk.queue.waits("train"))
        before = len(desk.ledger.trainings(work.key))
        job = desk.queue.enqueue("retrain", work.key)
        wait_until(lambda: training.count > 0, every_s=0.05)
        time.sleep(1.0)
        first = begun_at(desk, job)
        trainer(desk).kill()
        died = time.perf_counter()
        wait_until(lambda: begun_at(desk, job) not in (None, first), every_s=0.1)
        again = time.perf_counter() - died
        answers = predict_once(work)
        wait_until(lambda: len(desk.ledger.trainings(work.key)) > before, every_s=0.1)
        took = time.perf_counter() - died
        for version in work.folder.versions():
            read_manifest(work.folder.artefact(version))
    return {
        "runs again after, s": round(again, 1),
        "done after, s": round(took, 1),
        "predictions while it was away": answers,
        "half-written artefacts": 0,
    }


def begun_at(desk: Desk, job_id: str) -> datetime | None:
    job = Job.fetch(job_id, connection=desk.queue.connection, serializer=JSONSerializer)
    started: datetime | None = job.started_at
    return started


def trainer(desk: Desk) -> psutil.Process:
    """The process that trains; the supervisor of `prelabel up` knows its number."""
    status = read_status(desk.settings.home)
    numbers = {process.name: process.pid for process in status.processes} if status else {}
    if TRAINER not in numbers:
        raise BadInputError("the trainer must run under `prelabel up`, but no supervisor knows it; start it")
    return psutil.Process(numbers[TRAINER])


def grown(work: ProjectDesk, before: int) -> bool:
    return generation(work) > before


def generation(work: ProjectDesk) -> int:
    row = work.desk.ledger.project(work.key)
    return row.generation if row else 0


def annotator(desk: Desk) -> dict[str, object]:
    """One annotator, while the workers predict everything anew, switch the version and prune."""
    with sample_project(desk, n_tasks=N_OPEN) as work:
        for task, label in list(labelled(work))[:100]:
            annotate(work, task, label, lead_time=1.0)
        stop = threading.Event()
        seconds: list[float] = []
        errors: list[str] = []
        person = threading.Thread(target=annotate_steadily, args=(work, stop, seconds, errors, PAUSE_S))
        person.start()
        started, first = time.monotonic(), work.folder.current()
        for _ in range(N_VERSIONS):
            before = work.folder.current()
            desk.queue.enqueue("retrain", work.key)
            wait_until(functools.partial(shows_another, work, before))
        note_left(work, first, at=time.time() - OPEN_S)
        desk.queue.enqueue("prune", work.key)
        stored = desk.client.model_versions(work.id)[first]
        wait_until(lambda: desk.client.model_versions(work.id).get(first, 0) <= stored - N_PRUNED)
        stop.set()
        person.join()
    took = round(time.monotonic() - started)
    return {"seconds": took, "calls": len(seconds), "errors": errors, **percentiles(seconds)}


def leaving(desk: Desk) -> dict[str, object]:
    """One annotator, while the project is disconnected."""
    with sample_project(desk, n_tasks=N_LEFT) as work:
        stop = threading.Event()
        seconds: list[float] = []
        errors: list[str] = []
        person = threading.Thread(target=annotate_steadily, args=(work, stop, seconds, errors, LEAVING_PAUSE_S))
        person.start()
        started = time.monotonic()
        disconnect(desk, work.key, lambda _: None)
        took = round(time.monotonic() - started)
        stop.set()
        person.join()
    return {"seconds": took, "calls": len(seconds), "errors": errors, **percentiles(seconds)}


def annotate_steadily(
    work: ProjectDesk, stop: threading.Event, seconds: list[float], errors: list[str], pause_s: float
) -> None:
    client = work.desk.client
    while not stop.is_set():
        begun = time.perf_counter()
        try:
            task = client.next_task(work.id)
            seconds.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            annotate(work, task["id"], gold_of(task["data"]["text"]), lead_time=2.0)
            seconds.append(time.perf_counter() - begun)
        except Exception as err:  # noqa: BLE001  (counted, whatever it is)
            errors.append(f"{type(err).__name__}: {err}")
        stop.wait(pause_s)


def shows_another(work: ProjectDesk, before: str) -> bool:
    """Whether another version serves, and Label Studio shows it."""
    current = work.folder.current()
    return current != before and work.desk.client.project(work.id).model_version == current


if __name__ == "__main__":
    main(sys.argv[1])

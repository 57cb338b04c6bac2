"""The web process under load, over HTTP: `prelabel up --detach` first, then `python -m benchmarks.busy`.

Label Studio retrieves predictions for 5,000 tasks in one request while a training runs; meanwhile /setup and /health
are asked without pause. Afterwards, once the queue is empty, each eligible task must have one prediction.
"""

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import requests

from backend.core.projects import is_blind
from backend.core.settings import load_settings
from backend.job_queue import queue
from backend.logs import configure_logs
from backend.loop.desk import Desk, ProjectDesk
from benchmarks.playground import annotate, labelled, percentiles, request_body, sample_project, settle, wait_until

N_TASKS, N_LABELLED = 5_000, 200
PAUSE_S = 0.02
PATIENCE_S = 120.0


def main() -> None:
    configure_logs("WARNING")
    desk = Desk(load_settings())
    with sample_project(desk, n_tasks=N_TASKS) as work:
        print(json.dumps(busy(work), indent=2))


def busy(work: ProjectDesk) -> dict[str, object]:
    for task, label in list(labelled(work))[:N_LABELLED]:
        annotate(work, task, label, lead_time=1.0)
    settle(work)
    tasks = [{"id": task.id, "data": dict(task.data)} for task in work.desk.client.tasks(work.id)]
    stop, asked = threading.Event(), Asked(work)
    with ThreadPoolExecutor(3) as pool:
        probes = [pool.submit(asked.again_and_again, route, stop) for route in ("/setup", "/health")]
        work.desk.queue.enqueue("retrain", work.key)
        wait_until(lambda: queue(work.desk.queue.connection, "train").started_job_registry.count > 0, every_s=0.05)
        begun = time.perf_counter()
        answer = asked.post("/predict", {"tasks": tasks})
        batch_s = time.perf_counter() - begun
        work.desk.client.retrieve_predictions(work.id)
        stop.set()
        for probe in probes:
            probe.result()
    settle(work)
    entries = answer.json()["results"]
    return {
        "5,000 tasks in one request": {
            "status": answer.status_code, "entries": len(entries), "s": round(batch_s, 1),
            "answered at once": sum(bool(entry) for entry in entries),
        },
        "then, retrieved by Label Studio itself, predictions by eligible task": stored(work),
        **{route: {"n": len(seconds), **percentiles(seconds)} for route, seconds in asked.seconds.items()},
        "refused": asked.refused,
    }  # fmt: skip


@dataclass
class Asked:
    """Requests as Label Studio makes them, and how long each took."""

    work: ProjectDesk
    seconds: dict[str, list[float]] = field(default_factory=dict)
    refused: int = 0

    def again_and_again(self, route: str, stop: threading.Event) -> None:
        while not stop.wait(PAUSE_S):
            begun = time.perf_counter()
            answer = self.post(route, {}) if route == "/setup" else self.get(route)
            self.seconds.setdefault(route, []).append(time.perf_counter() - begun)
            self.refused += not answer.ok

    def post(self, route: str, body: dict[str, object]) -> requests.Response:
        whole = {**request_body(self.work), **body}
        if route == "/setup":
            whole = {"project": whole["project"], "schema": whole["label_config"], "hostname": "", "access_token": ""}
        return requests.post(self.url(route), json=whole, auth=self.credentials(), timeout=PATIENCE_S)

    def get(self, route: str) -> requests.Response:
        return requests.get(self.url(route), auth=self.credentials(), timeout=PATIENCE_S)

    def url(self, route: str) -> str:
        return f"{self.work.desk.settings.backend_url}{route}"

    def credentials(self) -> tuple[str, str]:
        settings = self.work.desk.settings
        return settings.user, settings.password.get_secret_value()


def stored(work: ProjectDesk) -> dict[str, int]:
    """How many open tasks that are not blind have so many predictions of the version that serves."""
    version = work.folder.current()
    share = work.settings.blind_share
    counts = Counter(
        sum(item["model_version"] == version for item in task.predictions)
        for task in work.desk.client.tasks(work.id)
        if task.open and not is_blind(work.key, task.id, share)
    )
    return {str(n): tasks for n, tasks in sorted(counts.items())}


if __name__ == "__main__":
    main()

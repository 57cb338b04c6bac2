"""What the service's benchmarks play with: a project of their own in a running stack, and a person's labels."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import requests

from backend.connection.connect import ConnectOptions, connect
from backend.job_queue import QUEUES, queue
from backend.labelstudio.filters import lacking_version, open_tasks
from backend.labelstudio.records import Json, Project
from backend.labelstudio.schema import TOP_KEY
from backend.labelstudio.wire import choice
from backend.loop.desk import Desk, ProjectDesk
from samples import load_samples

PATIENCE_S = 3600.0  # deleting the predictions of 10,000 tasks one by one takes a quarter of an hour
CONFIG = """<View>
  <Text name="text" value="$text"/>
  <Choices name="intent" toName="text" choice="single">%s</Choices>
</View>"""


def annotate(work: ProjectDesk, task_id: int, label: str, *, lead_time: float) -> int:
    """Submit a label; the annotation's id."""
    return work.desk.client.create_annotation(task_id, [choice(work.control, label)], lead_time_s=lead_time)


def labelled(work: ProjectDesk) -> Iterator[tuple[int, str]]:
    """Open tasks with the sample's gold label."""
    for task in work.desk.client.tasks(work.id):
        yield task.id, gold_of(str(task.data["text"]))


def gold_of(text: str) -> str:
    """The right label of a text of `sample_project`."""
    return _gold()[text.partition(" #")[0]]


@cache
def _gold() -> dict[str, str]:
    return {row.text: row.gold for row in load_samples()[0].rows}


def sample_tasks(start: int, n: int) -> list[Json]:
    """Tasks of the English sample's texts, which begin again with a number when they come to an end."""
    rows = load_samples()[0].rows
    places = [divmod(place, len(rows)) for place in range(start, start + n)]
    return [{"text": rows[i].text + (f" #{turn}" if turn else ""), TOP_KEY: []} for turn, i in places]


@contextmanager
def sample_project(desk: Desk, *, n_tasks: int, config: str = "") -> Iterator[ProjectDesk]:
    """A connected project of the English sample's texts."""
    labels = sorted({row.gold for row in load_samples()[0].rows})
    config = config or CONFIG % "".join(f'<Choice value="{label}"/>' for label in labels)
    project: Project = desk.client.create_project(title="benchmark", label_config=config)
    desk.client.import_tasks(project.id, sample_tasks(0, n_tasks))
    connect(desk, project, ConnectOptions(language="en"), lambda _: None)
    work = desk.project(str(project.key))
    wait_until(lambda: predicted(work))
    try:
        yield work
    finally:
        desk.ledger.remove_project(work.key)  # first, so that no job writes to what is deleted
        desk.client.delete_project(project.id)


def predicted(work: ProjectDesk) -> bool:
    """Whether every open task has a prediction of the version that serves, and Label Studio shows it."""
    version = work.folder.current()
    lacking = work.desk.client.tasks(
        work.id, filters=[open_tasks(), lacking_version(version)], limit=1, all_fields=False
    )
    return work.desk.client.project(work.id).model_version == version and not list(lacking)


def predict_once(work: ProjectDesk) -> int:
    """How many of three texts the web process answers now."""
    tasks = [{"id": n, "data": {"text": "where is my parcel"}} for n in range(3)]
    settings = work.desk.settings
    answer = requests.post(
        f"{settings.backend_url}/predict",
        json={**request_body(work), "tasks": tasks},
        auth=(settings.user, settings.password.get_secret_value()),
        timeout=10,
    )
    answer.raise_for_status()
    return sum(bool(item) for item in answer.json()["results"])


def request_body(work: ProjectDesk) -> Json:
    """What Label Studio says of a project in each request, without tasks."""
    return {"project": work.key.replace("-", "."), "label_config": work.project.label_config, "params": {}}


def settle(work: ProjectDesk) -> None:
    """Wait until no job is left but pruning, every task is predicted, and a reconcile has looked after that."""
    wait_until(lambda: idle(work) and predicted(work))
    looked_after(work)
    wait_until(lambda: idle(work) and predicted(work))


def looked_after(work: ProjectDesk) -> None:
    """Wait until every task is predicted and a reconcile that began with all of them has ended."""
    wait_until(lambda: predicted(work))
    after = time.time()
    wait_until(lambda: (row := work.desk.ledger.project(work.key)) is not None and row.reconciled_at > after)


def idle(work: ProjectDesk) -> bool:
    """Whether nothing runs or waits but pruning, which makes way for everything and takes a minute a 1,000 tasks."""
    queues = [queue(work.desk.queue.connection, name) for name in QUEUES]
    jobs = [job for each in queues for job in (*each.job_ids, *each.started_job_registry.get_job_ids())]
    row = work.desk.ledger.project(work.key)
    due = row is not None and row.due_at > 0
    return not due and all(job.startswith("prune-") for job in jobs)


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

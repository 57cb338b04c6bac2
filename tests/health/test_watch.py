"""Health, readiness and metrics of the web application: from memory, whatever is away."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import TestResponse

from backend.core.artefacts import MANIFEST, new_version
from backend.core.disk import Disk
from backend.health.faults import faults, unsettled
from backend.health.notes import Coverage, keep_coverage
from backend.health.sight import ProjectSight, QueueSight, Sight
from backend.job_queue import JobQueue
from backend.ledger import ProjectRow
from backend.serving import Failure
from backend.supervisor.valkey import Valkey
from backend.telemetry.published import publish
from tests.golden.record import LABEL_CONFIG
from tests.labelstudio.served import BASIC, Web, serve, settings_for
from tests.labelstudio.served import publish as publish_version
from tests.stack import free_port, running, wait_for

KEY = "84-1795230264"
pytestmark = pytest.mark.redis


@pytest.fixture
def web(redis_url: str, tmp_path: Path) -> Iterator[Web]:
    served = serve(settings_for(tmp_path / "home", redis_url), KEY, LABEL_CONFIG)
    yield served
    served.close()


def get(web: Web, path: str) -> TestResponse:
    return web.client.get(path, headers={"Authorization": BASIC})


def kinds(web: Web) -> set[str]:
    return {fault["kind"] for fault in get(web, "/health").get_json()["degraded"]}


def samples(web: Web, name: str) -> dict[tuple[str, ...], float]:
    """Values of a metric by its labels' values, in the order of their names."""
    metrics = text_string_to_metric_families(get(web, "/metrics").get_data(as_text=True))
    found = [sample for metric in metrics for sample in metric.samples if sample.name == name]
    return {tuple(value for _, value in sorted(sample.labels.items())): sample.value for sample in found}


def test_a_request_keeps_its_harmless_id_and_gets_one_where_it_has_none(web: Web) -> None:
    assert (
        web.client.get("/health", headers={"X-Request-ID": "from-a-proxy.1"}).headers["X-Request-ID"]
        == "from-a-proxy.1"
    )
    first, second = (web.client.get("/health", headers={"X-Request-ID": "a b"}).headers["X-Request-ID"] for _ in "12")
    assert first != second
    assert len(first) == 16


def test_a_fault_keeps_the_time_since_when_it_lasts_and_goes_with_it(web: Web) -> None:
    current = web.folder.current()
    broken = publish_version(web.settings, KEY, LABEL_CONFIG, version=new_version("broken"))
    (web.folder.artefact(broken) / MANIFEST).unlink()
    web.watch.look()
    wait_for(lambda: web.watch.projects.failures())
    web.watch.look()
    first, again = (next(f for f in get(web, "/health").get_json()["degraded"] if f["kind"] == "version") for _ in "12")
    assert first == again
    assert broken in first["what"]
    assert get(web, "/ready").status_code == 200, "the version of before answers"
    web.folder.switch(current)
    wait_for(lambda: "version" not in kinds(web))


def test_a_queue_that_hangs_delays_no_answer(tmp_path: Path) -> None:
    server = Valkey(f"redis://:secret@127.0.0.1:{free_port()}/0", tmp_path / "data", tmp_path / "valkey.conf")
    with running(server.service(), tmp_path) as child:
        web = serve(settings_for(tmp_path / "home", server.url), KEY, LABEL_CONFIG)
        os.kill(child.pid, signal.SIGSTOP)
        try:
            wait_for(lambda: "queue" in kinds(web), within_s=20)
            assert samples(web, "prelabel_queue_up") == {(): 0.0}
            assert samples(web, "prelabel_jobs") == {}
            assert samples(web, "prelabel_trainings") != {}, "the other figures are still worth reading"
        finally:
            os.kill(child.pid, signal.SIGCONT)
        wait_for(lambda: "queue" not in kinds(web), within_s=20)
        web.close()


def test_what_workers_count_is_told_apart_by_process_and_lost_figures_are_no_error(web: Web, redis_url: str) -> None:
    queue = JobQueue(redis.Redis.from_url(redis_url))
    for worker, n in (("worker-a", 2), ("worker-b", 3)):
        registry = CollectorRegistry()
        Counter("prelabel_tokens", "Tokens that language models evaluated.", registry=registry).inc(n)
        publish(queue, worker, registry)
    web.watch.look()
    assert samples(web, "prelabel_tokens_total") == {("web",): 0.0, ("worker-a",): 2.0, ("worker-b",): 3.0}
    queue.connection.flushall()
    web.watch.look()
    assert samples(web, "prelabel_tokens_total") == {("web",): 0.0}
    queue.connection.close()
    away = redis.Redis.from_url(f"redis://127.0.0.1:{free_port()}/0")
    publish(JobQueue(away), "worker-a", CollectorRegistry())
    away.close()


def test_open_tasks_are_told_as_a_job_has_counted_them(web: Web, redis_url: str) -> None:
    queue = JobQueue(redis.Redis.from_url(redis_url))
    keep_coverage(queue, KEY, Coverage("pl-1", 200, 150, time.time()))
    web.watch.look()
    assert samples(web, "prelabel_open_tasks") == {(KEY,): 200.0}
    assert samples(web, "prelabel_predicted_tasks") == {(KEY,): 150.0}
    queue.connection.close()


def test_the_time_of_each_stage_is_counted(web: Web) -> None:
    body = {
        "tasks": [{"id": 1, "data": {"text": "где мой заказ"}}],
        "project": web.project,
        "label_config": LABEL_CONFIG,
    }
    assert web.post("/predict", body).status_code == 200
    counted = samples(web, "prelabel_stage_seconds_count")
    assert {stage for _, stage in counted} == {"clean", "keywords", "retrieve", "classify"}
    assert set(counted.values()) == {1.0}


def test_a_project_that_is_gone_leaves_no_series(web: Web) -> None:
    assert (KEY,) in samples(web, "prelabel_changed_labels")
    web.ledger.remove_project(KEY)
    web.watch.look()
    assert samples(web, "prelabel_changed_labels") == {}


@dataclass(frozen=True)
class Memory:
    """What a process has loaded, as a test wants it."""

    versions: dict[str, str]
    failed: dict[str, Failure]
    away: frozenset[str] = frozenset()
    waits: frozenset[str] = frozenset()

    def ready(self) -> dict[str, str]:
        return self.versions

    def failures(self) -> dict[str, Failure]:
        return self.failed

    def put_away(self) -> frozenset[str]:
        return self.away

    def waiting(self) -> frozenset[str]:
        return self.waits


SETTLED = [
    ("nothing yet", Memory({}, {}), ["7-1"]),
    ("loaded", Memory({"7-1": "pl-1"}, {}), []),
    ("put away for want of memory", Memory({}, {}, frozenset({"7-1"})), []),
    ("not asked for since the start", Memory({}, {}, waits=frozenset({"7-1"})), []),
    ("known to be unusable", Memory({}, {"7-1": Failure("pl-1", "damaged")}), []),
]


@pytest.mark.parametrize(("memory", "left"), [row[1:] for row in SETTLED], ids=[row[0] for row in SETTLED])
def test_a_project_keeps_the_process_from_being_ready_until_its_version_is_settled(
    memory: Memory, left: list[str]
) -> None:
    project = ProjectSight(ProjectRow("7-1"), "pl-1", "", [], [], None, None)
    never_published = ProjectSight(ProjectRow("8-1"), "", "", [], [], None, None)
    sight = Sight(time.time(), None, "", [project, never_published], Disk(1, 1))
    assert unsettled(sight, memory) == left


@pytest.mark.parametrize(("free_gb", "kinds"), [(500, []), (0.9, ["disk"])], ids=["roomy", "nearly full"])
def test_a_disk_that_is_nearly_full_is_a_fault(free_gb: float, kinds: list[str]) -> None:
    queue = QueueSight({}, [], {"live": 1}, {})
    sight = Sight(time.time(), queue, "", [], Disk(int(free_gb * 1e9), 1000 * 10**9))
    assert [fault.kind for fault in faults(sight, Memory({}, {}), [])] == kinds

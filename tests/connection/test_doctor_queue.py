"""Each fault of the queue, made for real with real servers, is named, and mended where it is prelabel's own."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr
from rq.job import Job
from rq.serializers import JSONSerializer

from backend.connection.doctor import queue as doctor_queue
from backend.connection.doctor.check import Result, results_of
from backend.connection.doctor.examination import desk_of_doctor
from backend.connection.doctor.queue import OVERDUE_S
from backend.connection.status import shared_faults
from backend.core.settings import Settings
from backend.health.faults import Fault
from backend.health.faults import faults as faults_of
from backend.health.sight import look
from backend.job_queue import LATE_S, queue
from backend.loop.desk import Desk
from backend.roll_call import cron_registered, listens
from backend.serving import ServedProjects
from backend.supervisor.process import Service
from backend.supervisor.services import Prelabel
from backend.supervisor.valkey import Valkey, server
from backend.supervisor.worker import give_up
from tests.connection.doctored import faults, mend
from tests.stack import Backend, free_port, kill, make_backend, running, wait_for

pytestmark = pytest.mark.redis
KILLED = "tests.supervisor.jobs.note"
OPEN_SERVER = 'port {port}\ndir {folder}\nsave ""\nappendonly no\nmaxmemory-policy allkeys-lru\n'


@pytest.fixture
def backend(tmp_path: Path, redis_url: str) -> Backend:
    return make_backend(tmp_path / "home", {"PRELABEL_REDIS_URL": redis_url})


@contextmanager
def desk_at(folder: Path, url: str) -> Iterator[Desk]:
    with desk_of_doctor(Settings(home=folder, redis_url=SecretStr(url))) as desk:
        yield desk


def examined(desk: Desk) -> dict[str, Result]:
    return faults(results_of(doctor_queue.CHECKS, desk))


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[str]:
    """A Redis of somebody else: no append-only file, an eviction policy, a user who may not CONFIG."""
    port, config = free_port(), tmp_path / "foreign.conf"
    config.write_text(OPEN_SERVER.format(port=port, folder=tmp_path), encoding="utf-8")

    def answers(_pid: int) -> bool:
        try:
            return bool(redis.Redis(port=port).ping())
        except redis.RedisError:
            return False

    with running(Service("foreign", (str(server()), str(config)), {}, answers), tmp_path):
        redis.Redis(port=port).acl_setuser(
            "humble", enabled=True, passwords=["+secret"], keys=["*"], channels=["*"], commands=["+@all", "-config"]
        )
        yield f"redis://127.0.0.1:{port}/0"


def test_a_foreign_redis_that_forgets_is_told_the_commands_and_never_changed(foreign: str, tmp_path: Path) -> None:
    with desk_at(tmp_path / "home", foreign) as desk:
        found = examined(desk)
        assert "redis-cli CONFIG SET appendonly yes" in found["queue on disk"].remedy
        assert "allkeys-lru" in found["queue in memory"].finding
        assert "redis-cli CONFIG SET maxmemory-policy noeviction" in found["queue in memory"].remedy
        assert found["queue on disk"].mend is found["queue in memory"].mend is None


def test_where_config_is_forbidden_doctor_sees_it_all_the_same_and_says_whom_to_ask(
    foreign: str, tmp_path: Path
) -> None:
    with desk_at(tmp_path / "home", foreign.replace("redis://", "redis://humble:secret@")) as desk:
        found = examined(desk)
    assert "CONFIG is forbidden" in found["queue on disk"].remedy
    assert "CONFIG is forbidden" in found["queue in memory"].remedy


def test_the_server_that_prelabel_started_is_set_right(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, redis_url=SecretStr(f"redis://:secret@127.0.0.1:{free_port()}/0"))
    own = Valkey(settings.redis_url.get_secret_value(), tmp_path / "valkey", settings.queue_config)
    with running(own.service(), tmp_path), desk_of_doctor(settings) as desk:
        assert {"queue on disk", "queue in memory"}.isdisjoint(examined(desk))
        desk.queue.connection.config_set("appendonly", "no")
        desk.queue.connection.config_set("maxmemory-policy", "allkeys-lru")
        found = examined(desk)
        for name in ("queue on disk", "queue in memory"):
            mend(found[name])
            mend(found[name])
        assert {"queue on disk", "queue in memory"}.isdisjoint(examined(desk))
        assert desk.queue.connection.config_get("appendonly") == {"appendonly": "yes"}


@pytest.mark.parametrize("hangs", [False, True], ids=["nothing listens", "it hangs"])
def test_a_dead_redis_is_named_once_and_the_rest_waits_for_it(tmp_path: Path, hangs: bool) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        if hangs:
            mute.listen()
        with desk_at(tmp_path / "home", f"redis://:hidden@127.0.0.1:{mute.getsockname()[1]}/0") as desk:
            results = results_of(doctor_queue.CHECKS, desk)
    assert list(faults(results)) == ["queue"]
    assert {result.waits_for for result in results[1:]} == {"queue"}
    assert not any("hidden" in f"{result.finding} {result.remedy}" for result in results)


def test_missing_workers_and_a_missing_cron_are_named_also_after_a_kill(backend: Backend) -> None:
    with desk_of_doctor(backend.settings) as desk:
        assert set(examined(desk)) == {"workers", "cron"}
        client = desk.queue.connection
        with backend.workers() as (trainer, _), backend.cron() as cron:
            assert examined(desk) == {}
            kill(trainer.pid)
            wait_for(lambda: not listens(client, "worker-train"))
            found = examined(desk)
            assert set(found) == {"workers"}
            assert found["workers"].remedy == "run: prelabel worker --queues train"
            kill(cron.pid)
            wait_for(lambda: not cron.runs)
        assert cron_registered(client), "a killed one does not sign off"
        client.zadd("rq:cron_schedulers", {"prelabel-cron": time.time() - 600})  # ten minutes later
        found = examined(desk)
        assert "no cron process for 600 s" in found["cron"].finding
        assert found["cron"].remedy == "run: prelabel cron"


def test_a_job_that_a_killed_worker_left_is_named_with_the_worker_that_takes_it_up(
    backend: Backend, tmp_path: Path
) -> None:
    with desk_of_doctor(backend.settings) as desk:
        client, notes = desk.queue.connection, tmp_path / "notes"
        queue(client, "train").enqueue(KILLED, str(notes), job_id="retrain-1-2-1", job_timeout=1800)
        with running(Prelabel(backend.settings).workers()[0], backend.home / "logs") as child:
            wait_for(notes.exists)
            kill(child.pid)
            wait_for(lambda: not listens(client, "worker-train"))
        found = examined(desk)["jobs"]
    assert found.finding == "1 x note: the worker that ran it is gone"
    assert "prelabel worker --name worker-train" in found.remedy


def test_jobs_that_failed_are_named_by_kind_and_queued_again(backend: Backend) -> None:
    with desk_of_doctor(backend.settings) as desk:
        client, trainer = desk.queue.connection, Prelabel(backend.settings).workers()[0]
        desk.ledger.add_project("7-1")
        desk.queue.enqueue("retrain", "7-1")
        desk.queue.enqueue("retrain", "8-1")
        with running(trainer, backend.home / "logs"):  # there is no Label Studio
            wait_for(lambda: queue(client, "train").finished_job_registry.count == 1, within_s=60)
            wait_for(lambda: queue(client, "train").failed_job_registry.count == 1, within_s=60)
        found = examined(desk)["failed jobs"]
        assert found.finding == "1 x retrain failed in the last day"
        assert mend(found) == "1 x retrain: queued again"
        assert "failed jobs" not in examined(desk)
        assert len(queue(client, "train").get_job_ids()) == 1


def test_a_training_that_was_given_up_is_told_with_the_reason_until_it_is_asked_for_again(backend: Backend) -> None:
    with desk_of_doctor(backend.settings) as desk:
        client = desk.queue.connection
        desk.ledger.add_project("7-1")
        job = Job.fetch(desk.queue.enqueue("retrain", "7-1"), connection=client, serializer=JSONSerializer)
        queue(client, "train").remove(job)
        with client.pipeline() as pipeline:
            give_up(job, "its worker ended 6 times while it ran", pipeline)
            pipeline.execute()
        found = examined(desk)
        assert found["jobs"].finding == "1 x retrain: its worker ended 6 times while it ran"
        assert "failed jobs" not in found
        assert any("retrain was given up: its worker ended 6 times" in fault.what for fault in seen_by_web(desk))
        assert any(fault.startswith("jobs: 1 x retrain: its worker ended") for fault in shared_faults(desk))
        mend(found["jobs"])
        assert "jobs" not in examined(desk)
        assert not any(fault.kind == "jobs" for fault in seen_by_web(desk))


def test_a_worker_that_stands_and_a_queue_that_grows_are_told(backend: Backend) -> None:
    with desk_of_doctor(backend.settings) as desk:
        client = desk.queue.connection
        job = Job.fetch(desk.queue.enqueue("follow", "7-1"), connection=client, serializer=JSONSerializer)
        job.enqueued_at = datetime.now(UTC) - timedelta(seconds=LATE_S["live"] + 120)
        job.save()
        assert examined(desk)["waiting"].finding == "live: 1 job waits for 12 min"
        assert {fault.what for fault in seen_by_web(desk)} >= {
            "live: 1 job waits for 12 min",
            "no cron process: nothing is reconciled and no training starts",
        }
        assert any(fault.startswith("waiting: live: 1 job waits") for fault in shared_faults(desk))


def test_a_job_whose_time_is_over_while_its_worker_listens_stands(backend: Backend, tmp_path: Path) -> None:
    with desk_of_doctor(backend.settings) as desk:
        client, notes = desk.queue.connection, tmp_path / "notes"
        job = queue(client, "train").enqueue(KILLED, str(notes), job_timeout=1800)
        with running(Prelabel(backend.settings).workers()[0], backend.home / "logs"):
            wait_for(notes.exists)
            assert "jobs" not in examined(desk)
            job.refresh()
            job.started_at = datetime.now(UTC) - timedelta(seconds=1800 + OVERDUE_S + 1)
            job.save()
            found = examined(desk)["jobs"]
            Path(f"{notes}.go").touch()
    assert found.finding.startswith("1 x note: its time is over")
    assert found.remedy.endswith("worker-train")


def seen_by_web(desk: Desk) -> list[Fault]:
    """What /health would tell of the queue."""
    sight = look(desk.settings, desk.ledger, desk.queue, desk.loader, ())
    return faults_of(sight, ServedProjects(desk.loader), [])


@contextmanager
def late(url: str, seconds: int) -> Iterator[str]:
    """The same Redis, whose TIME is late: every other command goes through."""
    client = redis.Redis.from_url(url)
    host, _, port = url.rpartition("@")[2].partition(":")
    listener = socket.create_server(("127.0.0.1", 0))

    opened: list[socket.socket] = []

    def across(source: socket.socket, target: socket.socket) -> None:
        while data := received(source):
            if data.endswith(b"TIME\r\n"):
                now, micro = client.time()
                source.sendall(
                    f"*2\r\n${len(str(now))}\r\n{now - seconds}\r\n${len(str(micro))}\r\n{micro}\r\n".encode()
                )
            else:
                target.sendall(data)

    def serve() -> None:
        while True:
            try:
                outer, _ = listener.accept()
            except OSError:
                return
            inner = socket.create_connection((host, int(port.partition("/")[0])))
            opened.extend((outer, inner))
            for pair in ((outer, inner), (inner, outer)):
                threading.Thread(target=across, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield url.replace(f":{port}", f":{listener.getsockname()[1]}/0")
    finally:
        for each in (listener, *opened):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
            each.close()
        client.close()


def received(source: socket.socket) -> bytes:
    """What came; nothing where the connection was closed."""
    try:
        return source.recv(65536)
    except OSError:
        return b""


def test_a_redis_whose_clock_is_another_is_named(redis_url: str, tmp_path: Path) -> None:
    with late(redis_url, 90) as url, desk_at(tmp_path / "home", url) as desk:
        found = examined(desk)["queue's clock"]
    assert "90 s ahead of Redis's" in found.finding
    assert "time server" in found.remedy

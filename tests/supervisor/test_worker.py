import re
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import redis
from rq.job import Job, JobStatus

from backend.core.settings import Settings
from backend.job_queue import QUEUES, JobQueue, connect, queue
from backend.loop.retrain import failed_lately
from backend.roll_call import listens
from backend.supervisor.process import LONGEST_WAIT_S, Child, Service
from backend.supervisor.services import Prelabel
from backend.supervisor.worker import (
    INTERRUPTIONS,
    INTERRUPTIONS_ALLOWED,
    INTERRUPTIONS_WITHIN_S,
    RECONCILE,
    RECONCILE_ID,
    STANDS_S,
    ReconcileJob,
    queue_again,
)
from tests.stack import Backend, kill, make_backend, running, wait_for

pytestmark = pytest.mark.redis
NOTE, KILL = "tests.supervisor.jobs.note", "tests.supervisor.jobs.kill_worker"
LOAD = "tests.supervisor.jobs.load"
NOTE_AS, STAND = "tests.supervisor.jobs.note_as", "tests.supervisor.jobs.stand"
KEY = "84-1795230264"
IMPATIENT = """
from backend.core.settings import load_settings
from backend.supervisor import worker
worker.STANDS_S = 1.0
worker.work(load_settings(), ["train"], "worker-train")
"""

SOON_IDLE = """
from backend.core.settings import load_settings
from backend.supervisor import worker
worker.IDLE_S = 1.0
worker.LOOKS = {"note_as"}
worker.work(load_settings(), ["train"], "worker-train")
"""


@pytest.fixture
def stack(tmp_path: Path, redis_url: str) -> Backend:
    return make_backend(tmp_path / "home", {"PRELABEL_REDIS_URL": redis_url})


@pytest.fixture
def connection(stack: Backend) -> Iterator[redis.Redis]:
    client = connect(stack.settings)
    yield client
    client.close()


@contextmanager
def trainer(settings: Settings) -> Iterator[Child]:
    with running(Prelabel(settings).workers()[0], settings.home / "logs") as child:
        yield child


def ended(service: Service, folder: Path) -> int:
    """Start a worker and wait until it ends by itself; its exit code."""
    child = Child(service, folder / "log", service.environment)
    child.spawn()
    assert child.process is not None
    return child.process.wait(60)


def runs(path: Path) -> int:
    return path.read_text().count("run") if path.exists() else 0


def status(job: Job) -> str:
    return str(job.get_status(refresh=True).value)


def test_a_job_of_a_killed_worker_runs_again_when_a_worker_of_that_name_starts(
    stack: Backend, connection: redis.Redis, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    job = queue(connection, "train").enqueue(NOTE, str(notes), job_id="retrain-1-2-1", job_timeout=1800)
    with trainer(stack.settings) as child:
        wait_for(lambda: runs(notes) == 1)
        kill(child.pid)
        wait_for(lambda: not listens(connection, "worker-train"))
    assert status(job) == "started"
    Path(f"{notes}.go").touch()
    with trainer(stack.settings):
        wait_for(lambda: status(job) == "finished")
    assert runs(notes) == 2


def test_a_job_that_another_living_worker_runs_is_left_alone(
    stack: Backend, connection: redis.Redis, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    service = Prelabel(stack.settings)._worker("other", ["train"])
    with running(service, tmp_path):
        job = queue(connection, "train").enqueue(NOTE, str(notes))
        wait_for(lambda: runs(notes) == 1)
        with trainer(stack.settings):
            assert status(job) == "started"
        Path(f"{notes}.go").touch()
        wait_for(lambda: status(job) == "finished")
    assert runs(notes) == 1


def test_a_job_that_was_taken_off_the_queue_but_not_begun_is_not_lost(
    stack: Backend, connection: redis.Redis, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    Path(f"{notes}.go").touch()
    own = queue(connection, "train")
    job = own.enqueue(NOTE, str(notes))
    connection.lmove(own.key, own.intermediate_queue_key)
    with trainer(stack.settings):
        wait_for(lambda: status(job) == "finished")


def test_a_job_that_kills_its_worker_each_time_fails_in_the_end(
    stack: Backend, connection: redis.Redis, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    own = queue(connection, "train")
    job = own.enqueue(KILL, str(notes), meta={INTERRUPTIONS: [time.time()] * (INTERRUPTIONS_ALLOWED - 1)})
    service = Prelabel(stack.settings).workers()[0]
    for _ in range(2):
        ended(service, tmp_path)
    with trainer(stack.settings) as child:
        assert status(job) == "failed"
        assert job.id in own.failed_job_registry.get_job_ids()
        assert f"job {job.id} was interrupted and is given up: its worker ended 6 times" in child.log.read_text()
    assert "is queued again" in (tmp_path / "log").read_text()
    assert runs(notes) == 2
    (told,) = JobQueue(connection).given_up()
    assert (told.kind, told.why) == ("kill_worker", "its worker ended 6 times while it ran")


@pytest.mark.parametrize(
    ("ago_s", "given_up"), [(60.0, True), (INTERRUPTIONS_WITHIN_S + 60.0, False)], ids=["just now", "on other days"]
)
def test_a_training_is_given_up_where_its_worker_ended_again_and_again_in_a_short_time(
    ago_s: float, given_up: bool, connection: redis.Redis
) -> None:
    own = queue(connection, "train")
    before = [time.time() - ago_s] * INTERRUPTIONS_ALLOWED
    job = own.enqueue("backend.jobs.retrain", KEY, meta={INTERRUPTIONS: before})
    with connection.pipeline() as pipeline:
        assert bool(queue_again(own, job, pipeline)) is given_up
        pipeline.execute()
    assert status(job) == ("failed" if given_up else "queued")
    assert failed_lately(JobQueue(connection), KEY) is given_up, "or the cron would ask for another at once"


def test_a_job_that_stands_in_c_ends_its_worker_and_the_queue_goes_on(
    stack: Backend, connection: redis.Redis, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    own = queue(connection, "train")
    job = own.enqueue(STAND, str(notes), job_timeout=1)
    after = own.enqueue(NOTE_AS, str(notes), "after")
    service = replace(Prelabel(stack.settings).workers()[0], command=(sys.executable, "-c", IMPATIENT))
    assert ended(service, tmp_path) == 1
    assert (status(job), status(after)) == ("started", "queued")
    with trainer(stack.settings) as child:
        wait_for(lambda: status(after) == "finished")
        assert "is given up: it did not end within its 1 s" in child.log.read_text()
    assert notes.read_text().split() == ["run", "after"]
    assert [told.kind for told in JobQueue(connection).given_up()] == ["stand"]


def test_a_worker_that_stands_is_back_within_30_s_of_its_jobs_time_out() -> None:
    assert STANDS_S + LONGEST_WAIT_S < 30


def test_a_worker_ends_after_its_job_when_it_is_asked_to(
    stack: Backend, connection: redis.Redis, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    own = queue(connection, "train")
    first, second = own.enqueue(NOTE, str(notes)), own.enqueue(NOTE, str(notes))
    with trainer(stack.settings) as child:
        wait_for(lambda: runs(notes) == 1)
        assert child.process is not None
        child.process.terminate()
        threading.Timer(0.3, Path(f"{notes}.go").touch).start()
        assert child.process.wait(20) == 0
    assert (status(first), status(second)) == ("finished", "queued")


def test_labels_come_first_but_without_end_they_do_not_starve_what_trainings_begin_with(
    stack: Backend, connection: redis.Redis, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    for name in ("bulk", "bulk", "reconcile", "live", "live", "live", "live", "live"):
        queue(connection, name).enqueue(NOTE_AS, str(notes), name)
    with running(Prelabel(stack.settings).workers()[1], stack.home / "logs"):
        wait_for(lambda: notes.exists() and len(notes.read_text().split()) == 8)
    assert notes.read_text().split() == ["live", "reconcile", *["live"] * 4, "bulk", "bulk"]


def test_a_second_worker_of_the_same_name_is_refused(stack: Backend) -> None:
    with trainer(stack.settings):
        done = stack.command("worker", "--queues", "train", "--name", "worker-train")
    assert done.returncode == 2
    assert "worker-train runs already; choose another --name" in done.stderr


def test_an_unknown_queue_is_refused_with_those_that_exist(stack: Backend) -> None:
    done = stack.command("worker", "--queues", "train,fast")
    assert done.returncode == 2
    assert "queues must be some of train, live, reconcile, bulk, were train, fast" in done.stderr


def test_a_worker_that_cannot_reach_redis_says_so_without_the_password(stack: Backend) -> None:
    url = "redis://:hunter2@127.0.0.1:1/0"
    away = make_backend(stack.home.with_name("away"), {"PRELABEL_REDIS_URL": url})
    done = away.command("worker", "--queues", "train")
    assert done.returncode == 3
    assert "Redis did not" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_no_job_is_pickled_and_the_recurring_one_does_not_pile_up(connection: redis.Redis) -> None:
    job = ReconcileJob("reconcile", func_name=RECONCILE, interval=30)
    for _ in range(3):
        job.enqueue(connection)
    own = queue(connection, "reconcile")
    assert own.job_ids == [RECONCILE_ID]
    raw = connection.hget(f"rq:job:{RECONCILE_ID}", "data")
    assert isinstance(raw, bytes)
    assert re.match(rb'\["backend\.jobs\.reconcile_all"', zlib.decompress(raw))


def test_the_recurring_job_is_queued_again_where_its_worker_is_gone_for_good(connection: redis.Redis) -> None:
    entry = ReconcileJob("reconcile", func_name=RECONCILE, interval=30)
    job = entry.enqueue(connection)
    own = queue(connection, "reconcile")
    own.remove(job)
    job.set_status(JobStatus.STARTED)
    job.worker_name = "worker-in-a-container-that-was-removed"
    job.save()
    entry.enqueue(connection)
    assert own.job_ids == [RECONCILE_ID]


def test_the_cron_process_queues_the_recurring_job(stack: Backend, connection: redis.Redis) -> None:
    with running(Prelabel(stack.settings).cron(), stack.home / "logs"):
        wait_for(lambda: queue(connection, "reconcile").job_ids == [RECONCILE_ID])


def test_trainings_have_a_worker_of_their_own_so_that_one_project_never_keeps_another_waiting(tmp_path: Path) -> None:
    commands = [service.command for service in Prelabel(Settings(home=tmp_path)).workers()]
    queues = [set(command[command.index("--queues") + 1].split(",")) for command in commands]
    assert queues == [{"train"}, set(QUEUES) - {"train"}]


def test_an_idle_worker_gives_back_what_its_jobs_loaded_and_goes_on_as_the_same_process(
    stack: Backend, connection: redis.Redis, tmp_path: Path
) -> None:
    """Also while jobs come that only look around, as the cron's tick does."""
    own, notes = queue(connection, "train"), tmp_path / "notes"
    service = replace(Prelabel(stack.settings).workers()[0], command=(sys.executable, "-c", SOON_IDLE))
    with running(service, tmp_path) as child:
        own.enqueue(LOAD, str(notes))
        wait_for(lambda: notes.exists())
        process = psutil.Process(child.pid)
        loaded, nice = process.memory_info().rss, process.nice()

        def looked_and_gave_back() -> bool:
            own.enqueue(NOTE_AS, str(tmp_path / "looks"), "look")
            return process.memory_info().rss < loaded - 100 * 1024 * 1024

        wait_for(looked_and_gave_back, every_s=0.2)
        own.enqueue(LOAD, str(notes))
        wait_for(lambda: len(notes.read_text().split()) == 2)
        assert notes.read_text().split() == [str(child.pid)] * 2
        assert process.nice() == nice >= 10

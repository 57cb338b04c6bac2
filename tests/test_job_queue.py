"""The queue: storms become one job, nothing that happens during a run is lost, leases end with their holders."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import structlog
from pydantic import SecretStr
from rq.job import Job
from rq.serializers import JSONSerializer

from backend import job_queue, jobs
from backend.core.errors import QueueError
from backend.core.settings import Settings
from backend.job_queue import ASIDE_LIMIT, JOBS, LEASE_S, QUEUES, UNVOTED, JobQueue, connect, queue
from backend.ledger import open_ledger
from tests.stack import ROOT, free_port, wait_for

KEY = "84-1795230264"


@pytest.fixture
def work(redis_url: str) -> Iterator[JobQueue]:
    connection = redis.Redis.from_url(redis_url)
    yield JobQueue(connection)
    connection.close()


def waiting(work: JobQueue, name: str) -> list[str]:
    return list(queue(work.connection, name).get_job_ids())


def test_every_job_exists_under_the_name_that_is_queued() -> None:
    for name, (queue_name, timeout_s) in JOBS.items():
        assert callable(getattr(jobs, name)), name
        assert queue_name in QUEUES
        assert timeout_s > 0


def test_jobs_that_waited_while_their_project_was_disconnected_do_nothing(
    work: JobQueue, redis_url: str, tmp_path: Path
) -> None:
    work.note("poll", KEY, "seen")
    code = "import sys; from backend import jobs; [getattr(jobs, name)(sys.argv[1]) for name in jobs.JOBS]"
    nobody = f"http://127.0.0.1:{free_port()}"  # who asked Label Studio would fail
    environment = {**os.environ, "PRELABEL_HOME": str(tmp_path), "PRELABEL_REDIS_URL": redis_url}
    environment |= {"PRELABEL_LABEL_STUDIO_URL": nobody, "PRELABEL_LABEL_STUDIO_TOKEN": "not.a.token"}
    subprocess.run([sys.executable, "-c", code, KEY], cwd=ROOT, env=environment, check=True)
    assert open_ledger(Settings(home=tmp_path)).project_keys() == []
    assert work.noted("poll", KEY) == "", "nothing is kept of it"


def test_of_a_project_that_is_left_nothing_is_kept(work: JobQueue) -> None:
    other = f"1{KEY}"
    for key in (KEY, other):
        work.note("poll", key, "seen")
        work.put_aside(UNVOTED, key, [1, 2])
    work.forget(KEY)
    assert [work.noted("poll", key) for key in (KEY, other)] == ["", "seen"]
    assert [work.take(UNVOTED, key, 9) for key in (KEY, other)] == [[], [1, 2]]


def test_a_storm_of_events_becomes_one_waiting_job(work: JobQueue) -> None:
    ids = {work.enqueue("follow", KEY) for _ in range(500)}
    assert len(ids) == 1
    assert waiting(work, "live") == list(ids)


def test_a_storm_from_several_threads_becomes_one_waiting_job(work: JobQueue) -> None:
    threads = [threading.Thread(target=lambda: [work.enqueue("retrain", KEY) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waiting(work, "train")) == 1


def test_events_during_a_run_ask_for_exactly_one_more(work: JobQueue) -> None:
    first = work.enqueue("follow", KEY)
    work.begin("follow", KEY)  # the job has begun to read
    later = {work.enqueue("follow", KEY) for _ in range(500)}
    assert len(later) == 1
    assert waiting(work, "live") == [first, *later]


def test_projects_and_jobs_do_not_wait_for_each_other(work: JobQueue) -> None:
    for job, key in (
        ("follow", KEY),
        ("follow", "85-1"),
        ("retrain", KEY),
        ("reconcile", KEY),
        ("predict_project", KEY),
    ):
        work.enqueue(job, key)
    assert {name: len(waiting(work, name)) for name in QUEUES} == {"train": 1, "live": 2, "reconcile": 1, "bulk": 1}


def test_a_waiting_job_can_be_seen_by_those_who_should_make_way(work: JobQueue) -> None:
    assert not work.waits("live", "train")
    work.enqueue("follow", KEY)
    assert work.waits("live", "train")
    assert not work.waits("train")


def test_what_is_queued_is_a_name_and_plain_values_in_json(work: JobQueue) -> None:
    job = Job.fetch(work.enqueue("retrain", KEY), connection=work.connection, serializer=JSONSerializer)
    assert (job.func_name, list(job.args), job.timeout) == ("backend.jobs.retrain", [KEY], 1800)
    stored = work.connection.hget(f"rq:job:{job.id}", "data")
    assert isinstance(stored, bytes)
    assert json.loads(zlib.decompress(stored)) == ["backend.jobs.retrain", None, [KEY], {}]


def test_a_job_tells_its_state_until_it_is_forgotten(work: JobQueue) -> None:
    assert work.status(work.enqueue("retrain", KEY)) == "queued"
    assert work.status("retrain-84-1-1") == "unknown"


def test_a_job_that_waits_long_is_not_queued_again_and_one_that_was_lost_is(work: JobQueue) -> None:
    work.enqueue("follow", KEY)
    left_s = work.connection.ttl(f"prelabel:waiting:follow:{KEY}")
    assert isinstance(left_s, int)
    longest_s = max(timeout_s for _, timeout_s in JOBS.values())
    assert longest_s < left_s < 24 * 3600


def test_whatever_is_kept_for_a_project_ends_by_itself(work: JobQueue) -> None:
    for job in JOBS:
        work.enqueue(job, KEY)
    work.note("what", KEY, "text")
    work.put_aside(UNVOTED, KEY, [1])
    with work.lease("push", KEY):
        kept = {str(name): work.connection.ttl(name) for name in work.connection.keys("prelabel:*")}
    assert len(kept) == 2 * len(JOBS) + 3
    assert all(left_s > 0 for left_s in kept.values()), kept


def test_no_more_is_put_aside_than_a_project_needs(work: JobQueue) -> None:
    work.put_aside(UNVOTED, KEY, range(ASIDE_LIMIT - 1))
    work.put_aside(UNVOTED, KEY, range(10**6, 10**6 + 10))
    work.put_aside(UNVOTED, KEY, [5 * 10**6])
    assert work.connection.scard(f"prelabel:aside:{UNVOTED}:{KEY}") == ASIDE_LIMIT


def test_a_queue_that_is_down_is_said_at_once(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, redis_url=SecretStr(f"redis://:hidden@127.0.0.1:{free_port()}/0"))
    work = JobQueue(connect(settings))
    started = time.monotonic()
    with pytest.raises(QueueError, match="Redis did not; check that it runs") as raised:
        work.enqueue("follow", KEY)
    assert "hidden" not in str(raised.value)
    assert time.monotonic() - started < 1.0, "a webhook has one second in all"


def test_a_wrong_password_is_said_as_such(redis_url: str, tmp_path: Path) -> None:
    wrong = redis_url.replace("secret-of-tests", "wrong")
    work = JobQueue(connect(Settings(home=tmp_path, redis_url=SecretStr(wrong))))
    with pytest.raises(QueueError, match="its password"):
        work.enqueue("follow", KEY)
    with pytest.raises(QueueError, match="its password"):
        work.waits("live")
    with pytest.raises(QueueError, match="its password"):
        work.status("follow-84-1-1")


def test_a_lease_has_one_holder_at_a_time(work: JobQueue) -> None:
    with work.lease("push", KEY) as first:
        assert first
        with work.lease("push", KEY, wait_s=0.2) as second:
            assert not second
        with work.lease("push", "85-1") as other:
            assert other, "another project"
        with work.lease("retrain", KEY) as other:
            assert other, "another thing"
    with work.lease("push", KEY) as third:
        assert third


def test_who_waits_for_a_lease_gets_it_when_it_is_given_back(work: JobQueue) -> None:
    got = threading.Event()
    held = threading.Event()

    def hold() -> None:
        with work.lease("push", KEY):
            held.set()
            time.sleep(0.3)

    def wait() -> None:
        with work.lease("push", KEY) as mine:
            if mine:
                got.set()

    holder, waiter = threading.Thread(target=hold), threading.Thread(target=wait)
    holder.start()
    assert held.wait(5)
    waiter.start()
    holder.join()
    waiter.join()
    assert got.is_set()


def test_a_lease_is_given_back_when_its_work_fails(work: JobQueue) -> None:
    def fail() -> None:
        with work.lease("push", KEY):
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail()
    with work.lease("push", KEY) as again:
        assert again


def test_a_holder_renews_its_lease_for_as_long_as_it_works(work: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_queue, "LEASE_S", 0.3)
    with work.lease("push", KEY):
        time.sleep(0.9)
        with work.lease("push", KEY, wait_s=0.1) as second:
            assert not second


HOLDER = """
import sys, time
import redis
from backend.job_queue import JobQueue
with JobQueue(redis.Redis.from_url(sys.argv[1])).lease("push", sys.argv[2]) as held:
    print(held, flush=True)
    time.sleep(600)
"""


def test_the_lease_of_a_killed_holder_ends_by_itself(work: JobQueue, redis_url: str) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, redis_url, KEY], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    name = f"prelabel:lease:push:{KEY}"
    left_ms = work.connection.pttl(name)
    assert isinstance(left_ms, int)
    assert 0 < left_ms <= LEASE_S * 1000, "nobody renews it, so it ends"
    work.connection.pexpire(name, 50)  # the rest of its time, shortened
    wait_for(lambda: not work.connection.exists(name))
    with work.lease("push", KEY) as mine:
        assert mine


def test_a_job_carries_the_trace_of_who_asked_first_and_who_joins_finds_its_id(work: JobQueue) -> None:
    with structlog.contextvars.bound_contextvars(trace="the-first"):
        asked = work.enqueue("follow", KEY)
    with structlog.contextvars.bound_contextvars(trace="the-second"), structlog.testing.capture_logs() as lines:
        assert work.enqueue("follow", KEY) == asked
    assert [(line["event"], line["asked"]) for line in lines] == [("job_joined", asked)]
    (job,) = queue(work.connection, "live").get_jobs()
    assert job.meta == {"project": KEY, "trace": "the-first"}


def test_what_waits_is_told_with_its_project_and_age(work: JobQueue) -> None:
    work.enqueue("retrain", KEY)
    work.enqueue("follow", KEY)
    assert [(job.queue, job.project) for job in work.waiting()] == [("train", KEY), ("live", KEY)]
    assert all(0 <= job.waits_s < 60 for job in work.waiting())
    work.begin("retrain", KEY)
    assert work.workers() == {"train": 0, "live": 0, "reconcile": 0, "bulk": 0}

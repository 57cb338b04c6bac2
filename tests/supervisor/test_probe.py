"""What a container's health check says of its own process."""

import redis

from backend.job_queue import connect
from backend.supervisor.probe import complaint
from backend.supervisor.services import TRAINER
from tests.stack import Backend, make_backend


def test_a_process_that_works_is_not_complained_of(backend: Backend) -> None:
    with backend.web(), backend.workers(), backend.cron():
        assert [complaint(name, backend.settings) for name in ("web", TRAINER, "cron")] == ["", "", ""]


def test_one_that_is_not_there_is_named(backend: Backend) -> None:
    redis.Redis.flushall(connect(backend.settings))
    assert complaint("web", backend.settings) == "the web process must answer, but says: ConnectionError"
    assert complaint("a-worker", backend.settings) == "the queue does not hear a worker named a-worker"
    assert complaint("cron", backend.settings).startswith("cron must say every 5 s that it runs")


def test_a_queue_that_is_away_is_told_without_its_password(backend: Backend) -> None:
    away = make_backend(backend.home / "away", {"PRELABEL_REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"})
    assert complaint("cron", away.settings) == "the queue must answer, but says: ConnectionError"

"""prelabel's own processes: how each is run, and how one sees that it works."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis
import requests

from backend.core.settings import Settings
from backend.job_queue import QUEUES, connect
from backend.labelstudio.account import direct
from backend.roll_call import cron_registered, listens
from backend.supervisor.process import Service

WEB, TRAINER, WORKER, CRON = "web", "worker-train", "worker-live", "cron"
COMMAND = (sys.executable, "-m", "backend.cli")
WEB_THREADS = 16  # the annotators' requests wait for Label Studio and for each other, seldom for the processor
WEB_TIMEOUT_S = 120
WEB_GRACE_S = 5
ANSWER_S = 5.0
READY_WITHIN_S = 120.0  # imports on a busy laptop with a cold disk
LIBRARIES = {
    "OMP_WAIT_POLICY": "passive",  # idle threads would spin: single texts are embedded three times slower then
    "HF_HUB_OFFLINE": "1",  # serving never downloads
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True, slots=True)
class Prelabel:
    """The processes that are prelabel itself, for one state folder."""

    settings: Settings

    def web(self) -> Service:
        return self._service(WEB, gunicorn(self.settings), lambda _pid: web_answers(self.settings), watched=True)

    def workers(self) -> tuple[Service, ...]:
        """One for `train` alone, so that a training delays nothing; one for everything else."""
        return (
            self._worker(TRAINER, [name for name in QUEUES if name == "train"]),
            self._worker(WORKER, [name for name in QUEUES if name != "train"]),
        )

    def cron(self) -> Service:
        return self._service(CRON, (*COMMAND, "cron"), self._asks_redis(cron_registered))

    def _worker(self, name: str, queues: Sequence[str]) -> Service:
        command = (*COMMAND, "worker", "--queues", ",".join(queues), "--name", name)
        return self._service(name, command, self._asks_redis(lambda connection: listens(connection, name)))

    def _service(
        self, name: str, command: tuple[str, ...], answers: Callable[[int], bool], *, watched: bool = False
    ) -> Service:
        environment = child_environment(self.settings.home)
        return Service(name, command, environment, answers, watched, ready_within_s=READY_WITHIN_S)

    def _asks_redis(self, question: Callable[[redis.Redis], bool]) -> Callable[[int], bool]:
        def answers(_pid: int) -> bool:
            connection = connect(self.settings)
            try:
                return question(connection)
            except redis.RedisError:
                return False
            finally:
                connection.close()

        return answers


def gunicorn(settings: Settings) -> tuple[str, ...]:
    """The web server's command line: one process, threads, models loaded after the fork."""
    return (
        sys.executable, "-m", "gunicorn", "backend.app:application()",
        "--bind", f"{settings.web_host}:{settings.web_port}",
        "--workers", "1", "--worker-class", "backend.web_server.Worker", "--threads", str(WEB_THREADS),
        "--timeout", str(WEB_TIMEOUT_S), "--graceful-timeout", str(WEB_GRACE_S),
        "--forwarder-headers", "", "--no-control-socket", "--log-level", settings.log_level.lower(),
    )  # fmt: skip


def child_environment(home: Path) -> Mapping[str, str]:
    """This process's environment, for prelabel's own processes: where the state is, and no proxy on loopback."""
    exceptions = ",".join(
        filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1,localhost"))
    )
    ours = {"PRELABEL_HOME": str(home), "NO_PROXY": exceptions, "no_proxy": exceptions, "PYTHONUNBUFFERED": "1"}
    return {**LIBRARIES, **os.environ, **ours}


def web_answers(settings: Settings) -> bool:
    """Whether the process answers: whatever else is wrong, starting it again would not mend."""
    host = "127.0.0.1" if settings.web_host == "0.0.0.0" else settings.web_host  # noqa: S104
    try:
        reply = direct().get(f"http://{host}:{settings.web_port}/live", timeout=ANSWER_S)
        return bool(reply.status_code == 200)
    except requests.RequestException:
        return False

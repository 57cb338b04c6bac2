"""`prelabel serve`, `worker`, `cron`: the processes that `prelabel up` keeps running, each by itself.

They live as long as the machine is up: each imports what it needs and no more.
"""

import os
import socket
from typing import Annotated

import typer

from backend.core.settings import load_settings
from backend.logs import configure_logs, say_started
from backend.supervisor.alone import hold_alone

Queues = Annotated[str, typer.Option(help="queues to take jobs from, comma-separated, in falling priority")]
Name = Annotated[str, typer.Option(help="the worker's name: stable over restarts, and one worker's only")]


def serve() -> None:
    """Run the web process that Label Studio talks to."""
    from backend.supervisor.services import LIBRARIES, gunicorn

    settings = load_settings()
    settings.require_secrets()
    hold_alone(settings.home, "web")
    command = gunicorn(settings)
    os.execve(command[0], command, {**LIBRARIES, **os.environ})  # noqa: S606


def worker(queues: Queues = "live,reconcile,bulk", name: Name = "") -> None:
    """Run jobs from the queue until stopped."""
    from backend.ledger import open_ledger
    from backend.supervisor.services import LIBRARIES
    from backend.supervisor.worker import work

    for variable, value in LIBRARIES.items():
        os.environ.setdefault(variable, value)
    settings = load_settings()
    configure_logs(settings.log_level)
    say_started("worker")
    open_ledger(settings).engine.dispose()  # what is wrong with the state is said at once, not job by job
    names = [queue.strip() for queue in queues.split(",") if queue.strip()]
    work(settings, names, name or f"worker-{socket.gethostname()}-{'-'.join(names)}")


def cron() -> None:
    """Queue the recurring jobs; one such process is enough."""
    from backend.supervisor.worker import keep_time

    settings = load_settings()
    configure_logs(settings.log_level)
    hold_alone(settings.home, "cron")
    say_started("cron")
    keep_time(settings)

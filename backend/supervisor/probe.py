"""How a container's own process is: `python -m backend.supervisor.probe web`, or `cron`, or a worker's name.

Ends with 0 where it works, else with 1 and a line that says why. A worker works while the queue hears it; whether its
jobs do well is told by /metrics.
"""

import sys
import time
from collections.abc import Sequence

import redis
import requests

from backend.core.clock import age_s
from backend.core.settings import Settings, load_settings
from backend.job_queue import connect
from backend.labelstudio.account import ANSWER_S, direct
from backend.roll_call import cron_seen_at, listens

CRON_SILENT_S = 30.0  # it says with every tick that it runs; there is one every 5 s


def complaint(process: str, settings: Settings) -> str:
    """What is wrong with a process of this machine; empty where nothing is."""
    if process == "web":
        return _web(settings)
    connection = connect(settings, answer_within_s=ANSWER_S)
    try:
        if process != "cron":
            return "" if listens(connection, process) else f"the queue does not hear a worker named {process}"
        silent_s = age_s(cron_seen_at(connection), time.time())
        return "" if silent_s < CRON_SILENT_S else f"cron must say every 5 s that it runs, has not for {silent_s:.0f} s"
    except redis.RedisError as err:
        return f"the queue must answer, but says: {type(err).__name__}"
    finally:
        connection.close()


def _web(settings: Settings) -> str:
    credentials = (settings.user, settings.password.get_secret_value())
    try:
        reply = direct().get(f"http://127.0.0.1:{settings.web_port}/ready", auth=credentials, timeout=ANSWER_S)
    except requests.RequestException as err:
        return f"the web process must answer, but says: {type(err).__name__}"
    return "" if reply.ok else str(reply.reason)


def main(arguments: Sequence[str]) -> str:
    return (
        complaint(arguments[0], load_settings()) if len(arguments) == 1 else "name one process: web, cron or a worker"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) or 0)

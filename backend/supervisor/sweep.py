"""Nothing is left behind: finds every process that a supervisor started, however deep, by a mark in its environment.

Run as `python -m backend.supervisor.sweep PIPE` it is the warden: it waits until the supervisor's end of the pipe
closes, which also SIGKILL cannot prevent, and then kills whatever still carries the mark.
"""

import os
import signal
import sys
from contextlib import suppress

import psutil

SUPERVISOR_MARK = "PRELABEL_SUPERVISOR"
TERM_S = 5.0  # Valkey needs a moment to write what it holds
KILL_S = 3.0


def marked(mark: str) -> list[psutil.Process]:
    """Every process but this one whose environment carries the mark."""
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and carries(process, mark)]


def carries(process: psutil.Process, mark: str) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.environ().get(SUPERVISOR_MARK) == mark)
    except (psutil.Error, OSError):
        return False  # it ended just now, or belongs to somebody else


def sweep(mark: str, *, term_s: float = TERM_S) -> int:
    """End everything that carries the mark; how many there were."""
    found = marked(mark)
    for process in found:
        with suppress(psutil.Error):
            process.terminate()
    psutil.wait_procs(found, timeout=term_s)
    for process in left if (left := marked(mark)) else ():
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=KILL_S)
    return len(found)


def stand_watch(pipe: int) -> None:
    """Wait for the supervisor's end, then sweep."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the supervisor alone decides when to end
    mark = os.environ[SUPERVISOR_MARK]
    while os.read(pipe, 1):
        pass
    sweep(mark)


if __name__ == "__main__":
    stand_watch(int(sys.argv[1]))

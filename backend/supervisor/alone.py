"""One web process and one cron process a state folder: a lock that a process holds as long as it lives.

The kernel gives a dead process's lock back. It is a lock of the open file, not filelock's: it has to outlive `exec`.
"""

import fcntl
import os
import time
from pathlib import Path

from backend.core.disk import PRIVATE_FILE, PRIVATE_FOLDER, writing
from backend.core.errors import BadInputError

WAIT_S = 5.0  # for one that is just ending, as when the supervisor starts it again
LOOK_EVERY_S = 0.1
PID_BYTES = 20


def hold_alone(home: Path, role: str) -> None:
    """Hold the role, "web" or "cron", of a state folder for as long as this process, or what it becomes, lives.

    Raises:
        BadInputError: another process holds it.
        StateError: the folder takes no writes.
    """
    path = home / "run" / f"{role}.lock"
    with writing(path):
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    deadline = time.monotonic() + WAIT_S
    while not _locked(handle):
        if time.monotonic() > deadline:
            holder = os.pread(handle, PID_BYTES, 0).decode() or "another"
            os.close(handle)
            raise BadInputError(
                f"one {role} process may run on {home}, and process {holder} does; stop that one first, or name "
                "another state folder with PRELABEL_HOME"
            )
        time.sleep(LOOK_EVERY_S)
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    os.set_inheritable(handle, True)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""Jobs for the tests of workers: what they do is seen in a file."""

import os
import signal
import time
from pathlib import Path

held: list[bytes] = []  # what a job leaves loaded


def note(path: str) -> None:
    """Add a line, then wait for the file `path`.go."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write("run\n")
    while not Path(f"{path}.go").exists():
        time.sleep(0.02)


def note_as(path: str, what: str) -> None:
    """Add a line that says what ran."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{what}\n")


def stand(path: str) -> None:
    """Add a line, then compute in C, where no signal reaches Python and no other thread runs."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write("run\n")
    sum(range(10**15))


def kill_worker(path: str) -> None:
    """Add a line, then take the worker down."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write("run\n")
    os.kill(os.getpid(), signal.SIGKILL)


def load(path: str) -> None:
    """Leave 100 MB loaded, and add a line with the process's number."""
    held.append(os.urandom(1024) * 100 * 1024)
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")

"""One supervised process: how it is started, watched, stopped, and what its log is.

Every process leads a session of its own, so that Ctrl-C in a terminal reaches the supervisor alone, and carries the
supervisor's mark, so that nothing it starts is lost.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from backend.core.errors import OutsideError
from backend.supervisor.environments import last_line, tail

State = Literal["starting", "up", "waiting", "stopped"]
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 6.0  # and with its start still back within 15 s, whatever keeps killing it
STEADY_S = 10.0  # a process that ran this long starts from the first wait again
LOG_BYTES = 10 * 1024 * 1024
LOGS_KEPT = 3
POLL_S = 0.1


def always(_pid: int) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Service:
    """What to run, and how one sees that it works."""

    name: str
    command: tuple[str, ...]  # no secrets: everybody on the machine can read it
    environment: Mapping[str, str] = field(repr=False)  # all of it, without the supervisor's mark
    answers: Callable[[int], bool] = always  # given the process number; may block up to a few seconds
    watched: bool = False  # whether `answers` is asked again and again after the start
    ready_within_s: float = 60.0
    stop_within_s: float = 7.0


@dataclass
class Child:
    """A service and the process that runs it now."""

    service: Service
    log: Path
    environment: Mapping[str, str] = field(repr=False)
    state: State = "stopped"
    restarts: int = 0
    misses: int = 0  # answers missed in a row
    failures: int = 0  # ends in a row, none after a steady run
    renewed: bool = False  # asked to end and be started again, and has not ended yet
    process: subprocess.Popen[bytes] | None = None
    _started_s: float = 0.0
    _start_at_s: float = 0.0
    _log_from: int = 0  # bytes; what came before was said by a predecessor

    @property
    def pid(self) -> int:
        return self.process.pid if self.process and self.runs else 0

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def stopped(self) -> bool:
        """Whether the process stands: somebody has stopped it, and no time-out of its own can end it."""
        try:
            return self.runs and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False

    @property
    def ended_as_asked(self) -> bool:
        return self.renewed and self.process is not None and self.process.poll() == 0

    def spawn(self) -> None:
        """Start the process; its output is appended to the log."""
        with self.log.open("ab") as log:
            self._log_from = log.tell()
            self.process = subprocess.Popen(
                self.service.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(self.environment), start_new_session=True,
            )  # fmt: skip
        self.misses = 0
        self.renewed = False
        self._started_s = time.monotonic()

    def start(self, given_up: Callable[[], bool]) -> None:
        """Start and wait until it answers.

        Raises:
            OutsideError: it ended, or did not answer in time; names the log.
        """
        self.state = "starting"
        self.spawn()
        deadline = time.monotonic() + self.service.ready_within_s
        while not given_up():
            if not self.runs:
                raise OutsideError(f"{self.service.name} must keep running, but ended {self.how_it_ended()}")
            if self.service.answers(self.pid):
                self.state = "up"
                return
            if time.monotonic() > deadline:
                raise OutsideError(
                    f"{self.service.name} must answer within {self.service.ready_within_s:.0f} s, but does not; "
                    f"see {self.log}"
                )
            time.sleep(POLL_S)

    def how_it_ended(self) -> str:
        """Exit code or signal, the last that it said, and where the rest is."""
        code = self.process.poll() if self.process else None
        how = f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
        said = last_line(tail(self.log, since=self._log_from))
        return f"{how} ({said}); see {self.log}" if said else f"{how}; see {self.log}"

    def tend(self) -> bool:
        """Start again what has ended, after a wait that doubles; true where it was noticed just now."""
        now = time.monotonic()
        if self.state == "up" and not self.runs:
            self.failures = 1 if now - self._started_s > STEADY_S else self.failures + 1
            self._start_at_s = now + min(FIRST_WAIT_S * 2 ** (self.failures - 1), LONGEST_WAIT_S)
            self.state = "waiting"
            return True
        if self.state == "waiting" and now >= self._start_at_s:
            self.restarts += 1
            self.spawn()
            self.state = "up"
        return False

    def signal(self, number: signal.Signals) -> None:
        """To the process and all of its session's first group."""
        if self.process is not None and self.runs:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def rotate_log(self) -> None:
        """Keep the log small. It is copied and emptied: the process goes on writing to the same file."""
        if not self.log.is_file() or self.log.stat().st_size < LOG_BYTES:
            return
        for number in range(LOGS_KEPT, 1, -1):
            older = self.log.with_suffix(f".{number - 1}.log")
            if older.is_file():
                older.replace(self.log.with_suffix(f".{number}.log"))
        shutil.copyfile(self.log, self.log.with_suffix(".1.log"))
        os.truncate(self.log, 0)

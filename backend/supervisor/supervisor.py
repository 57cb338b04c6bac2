"""Keeps a set of processes running, and leaves nothing behind when it ends, however it ends.

Knows nothing of what the processes do. Its main thread tends; whoever starts services does so from another thread.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import psutil

from backend.core.errors import OutsideError
from backend.supervisor.process import Child, Service
from backend.supervisor.state import ProcessStatus, StateFolder, Status, read_status
from backend.supervisor.sweep import SUPERVISOR_MARK, sweep

TEND_S = 0.2
PROBE_EVERY_S = 10.0
MISSES_ALLOWED = 3
FAILURES_SAID = 4  # of the same process in a row; more would flood the terminal
ROTATE_EVERY_S = 60.0
WARDEN_S = 9.0  # what its sweep may take
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST_TO_STOP = "valkey"  # the others still speak to it while they end

Notice = Callable[[str], None]


@dataclass
class Supervisor:
    """The processes of one state folder. A context: leaving it stops everything."""

    folder: StateFolder
    notice: Notice  # what a person should know: a process died, does not answer
    probe_every_s: float = PROBE_EVERY_S
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    stopping: threading.Event = field(default_factory=threading.Event)
    _children: dict[str, Child] = field(default_factory=dict)
    _ready: bool = False
    _warden: subprocess.Popen[bytes] | None = None
    _pipe: int = -1

    def __enter__(self) -> Self:
        before = read_status(self.folder.home)
        if before is not None and not before.alive and before.is_of(self.folder):
            sweep(before.mark)
        os.environ[SUPERVISOR_MARK] = self.mark  # also pip, which fetches models and builds, is swept
        self._set_warden()
        self._say_status()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._stop_children()
        self._dismiss_warden()

    def start(self, service: Service) -> None:
        """Start a service and return once it answers.

        Raises:
            OutsideError: it does not come up; names its log.
        """
        if self.stopping.is_set():
            raise OutsideError(f"{service.name} is not started: everything is being stopped")
        log = self.folder.logs / f"{service.name}.log"
        child = Child(service, log, {**service.environment, SUPERVISOR_MARK: self.mark})
        child.rotate_log()
        self._children[service.name] = child
        child.start(self.stopping.is_set)
        self._say_status()

    def renew(self, name: str, number: signal.Signals) -> None:
        """Ask a process to take in what was installed since: by SIGHUP, on which it reloads, or SIGTERM, to end."""
        self._children[name].renewed = number == signal.SIGTERM
        self._children[name].signal(number)

    def tend_until_stopped(self, *, ended: Callable[[], bool] = lambda: False) -> None:
        """Watch over the children until a stop signal comes or `ended` says so. For the main thread."""
        probes = threading.Thread(target=self._probe_forever, daemon=True)
        probes.start()
        rotated = time.monotonic()
        while not self.stopping.wait(TEND_S) and not ended():
            self._tend()
            if time.monotonic() - rotated > ROTATE_EVERY_S:
                rotated = time.monotonic()
                for child in list(self._children.values()):
                    child.rotate_log()

    @contextmanager
    def stop_on_signals(self) -> Iterator[None]:
        """Ctrl-C, SIGTERM and a closed terminal stop everything in order."""
        before = {number: signal.signal(number, lambda *_: self.stopping.set()) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def say_ready(self) -> None:
        self._ready = True
        self._say_status()

    def _tend(self) -> None:
        if self._warden is not None and self._warden.poll() is not None:
            self._set_warden()
        before = [(child.state, child.pid) for child in self._children.values()]
        for child in list(self._children.values()):
            if child.tend() and not child.ended_as_asked and child.failures <= FAILURES_SAID:
                self.notice(what_happened(child))
        if before != [(child.state, child.pid) for child in self._children.values()]:
            self._say_status()

    def _probe_forever(self) -> None:
        while not self.stopping.wait(self.probe_every_s):
            for child in list(self._children.values()):
                if child.state == "up" and child.runs:
                    self._probe(child)

    def _probe(self, child: Child) -> None:
        pid = child.pid
        well = not child.stopped and (not child.service.watched or child.service.answers(pid))
        child.misses = 0 if well else child.misses + 1
        if child.misses >= MISSES_ALLOWED and child.pid == pid:
            self.notice(f"{child.service.name} does not answer and is started again; see {child.log}")
            child.kill()

    def _stop_children(self) -> None:
        children = list(self._children.values())
        for child in children:
            child.state = "stopped"
        last = [child for child in children if child.service.name == LAST_TO_STOP]
        for group in ([child for child in children if child not in last], last):
            stop(group)

    def _set_warden(self) -> None:
        """Start the process that sweeps when this one is gone."""
        self._close_pipe()
        read_end, self._pipe = os.pipe()
        self._warden = subprocess.Popen(
            [sys.executable, "-m", "backend.supervisor.sweep", str(read_end)],
            stdin=subprocess.DEVNULL, pass_fds=(read_end,), start_new_session=True,
        )  # fmt: skip
        os.close(read_end)

    def _dismiss_warden(self) -> None:
        """Its sweep is the last word: also what a child's child has left behind."""
        self._close_pipe()
        try:
            if self._warden is not None:
                self._warden.wait(WARDEN_S)
        except subprocess.TimeoutExpired:
            self.notice("something of prelabel does not end; it is killed")
        sweep(self.mark)
        os.environ.pop(SUPERVISOR_MARK, None)

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1

    def _say_status(self) -> None:
        processes = tuple(
            ProcessStatus(child.service.name, child.pid, child.state, child.restarts, str(child.log))
            for child in list(self._children.values())
        )
        me = psutil.Process()
        home = str(self.folder.home.resolve())
        Status(me.pid, me.create_time(), self.mark, self._ready, processes, home).write(self.folder)


def what_happened(child: Child) -> str:
    if child.failures < FAILURES_SAID:
        return f"{child.service.name} ended {child.how_it_ended()}; it is started again"
    return f"{child.service.name} keeps ending {child.how_it_ended()}; it is tried again, but more rarely"


def stop(children: list[Child]) -> None:
    """End processes: politely, then, after the longest of their times, by force."""
    for child in children:
        child.signal(signal.SIGTERM)
    deadline = time.monotonic() + max((child.service.stop_within_s for child in children), default=0.0)
    while any(child.runs for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    for child in children:
        child.kill()


def side_by_side(*jobs: Callable[[], None]) -> None:
    """Run all at once and wait for all.

    Raises:
        Exception: the first of what they raised.
    """
    failures: list[Exception] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as err:  # noqa: BLE001
            failures.append(err)

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def stop_other(folder: StateFolder, *, within_s: float) -> bool:
    """Stop the supervisor that holds a state folder, and everything of it; false where none was running.

    What runs on the folder that this one was copied from is left alone.

    Raises:
        OutsideError: it may not be signalled.
    """
    status = read_status(folder.home)
    if status is None or not status.is_of(folder):
        return False
    alive = status.alive
    if alive:
        try:
            process = psutil.Process(status.pid)
            process.terminate()
            process.wait(within_s)
        except psutil.TimeoutExpired:
            process.kill()
        except psutil.NoSuchProcess:
            pass
        except psutil.AccessDenied as err:
            raise OutsideError(f"process {status.pid} must be yours to be stopped, but is not; ask its owner") from err
    left = sweep(status.mark)
    folder.status_file.unlink(missing_ok=True)
    return alive or left > 0

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend.core.errors import BadInputError, OutsideError
from backend.supervisor import process as process_module
from backend.supervisor.process import Child, Service
from backend.supervisor.state import StateFolder, Status, read_status
from backend.supervisor.supervisor import Supervisor, stop_other
from backend.supervisor.sweep import marked
from tests.stack import ROOT, kill, wait_for


def sleeper(name: str = "sleeper", code: str = "import time; time.sleep(600)") -> Service:
    return Service(name, (sys.executable, "-c", code), dict(os.environ), stop_within_s=1.0)


@contextmanager
def stack_of_two(home: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Status]]:
    """The program of stack_of_two.py, once it is up."""
    program = subprocess.Popen([sys.executable, "-m", "tests.supervisor.stack_of_two", str(home)], cwd=ROOT)
    try:
        wait_for(lambda: (said := read_status(home)) is not None and said.ready)
        status = read_status(home)
        assert status is not None
        wait_for(lambda: len(marked(status.mark)) == 4)  # two processes, a grandchild, the warden
        yield program, status
    finally:
        program.kill()
        program.wait()


def test_a_copy_of_a_state_folder_does_not_stop_what_runs_on_the_original(tmp_path: Path) -> None:
    original, copied = tmp_path / "original", tmp_path / "copied"
    with stack_of_two(original) as (program, status):
        shutil.copytree(original, copied)
        assert not stop_other(StateFolder(copied), within_s=15)
        assert program.poll() is None
        assert len(marked(status.mark)) == 4
        assert read_status(original) is not None


def pid_of(home: Path, name: str) -> int:
    status = read_status(home)
    return next((entry.pid for entry in status.processes if entry.name == name), 0) if status else 0


def test_a_process_that_is_killed_is_started_again(tmp_path: Path) -> None:
    with stack_of_two(tmp_path):
        before = pid_of(tmp_path, "parent")
        kill(before)
        wait_for(lambda: pid_of(tmp_path, "parent") not in (0, before))


def test_sigkill_of_the_supervisor_leaves_no_process_behind(tmp_path: Path) -> None:
    with stack_of_two(tmp_path) as (program, status):
        program.kill()
        program.wait()
        wait_for(lambda: not marked(status.mark), within_s=15)


def test_stopping_ends_the_stubborn_and_the_grandchildren_within_15_seconds(tmp_path: Path) -> None:
    with stack_of_two(tmp_path) as (program, status):
        program.terminate()
        assert program.wait(timeout=15) == 0
        assert marked(status.mark) == []


def test_down_from_elsewhere_stops_everything_and_says_whether_there_was_anything(tmp_path: Path) -> None:
    with stack_of_two(tmp_path) as (program, status):
        threading.Thread(target=program.wait, daemon=True).start()
        assert stop_other(StateFolder(tmp_path), within_s=15)
        assert marked(status.mark) == []
    assert not stop_other(StateFolder(tmp_path), within_s=15)


def test_a_second_supervisor_on_the_same_state_folder_refuses_and_names_the_first(tmp_path: Path) -> None:
    with (
        stack_of_two(tmp_path) as (program, _),
        pytest.raises(BadInputError, match=f"process {program.pid} does; stop it with `prelabel down`"),
        StateFolder(tmp_path).only_supervisor(),
    ):
        pass


def test_what_a_dead_supervisor_and_its_dead_warden_left_behind_is_swept_at_the_next_start(tmp_path: Path) -> None:
    with stack_of_two(tmp_path) as (program, status):
        warden = next(process for process in marked(status.mark) if "backend.supervisor.sweep" in process.cmdline())
        program.send_signal(19)  # SIGSTOP: it cannot set a new warden
        warden.kill()
        program.kill()
        program.wait()
        assert marked(status.mark)
        with Supervisor(StateFolder(tmp_path), lambda _text: None):
            assert marked(status.mark) == []


def test_a_warden_that_is_killed_is_replaced(tmp_path: Path) -> None:
    with stack_of_two(tmp_path) as (program, status):
        warden = next(process for process in marked(status.mark) if "backend.supervisor.sweep" in process.cmdline())
        warden.kill()
        wait_for(lambda: len({process.pid for process in marked(status.mark)} - {warden.pid}) == 4)
        program.kill()
        wait_for(lambda: not marked(status.mark), within_s=15)


def test_a_process_that_ends_at_once_is_reported_with_its_error_and_its_log(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.make()
    broken = Service("broken", (sys.executable, "-c", "raise ValueError('no such thing')"), {}, lambda _pid: False)
    with (
        Supervisor(folder, lambda _text: None) as supervisor,
        pytest.raises(OutsideError, match=r"ended with exit code 1 \(ValueError: no such thing\); see .*broken\.log"),
    ):
        supervisor.start(broken)


def test_a_process_that_never_answers_is_reported_with_its_log(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.make()
    code = "import time; time.sleep(600)"
    mute = Service("mute", (sys.executable, "-c", code), {}, lambda _pid: False, ready_within_s=0.3, stop_within_s=1.0)
    with (
        Supervisor(folder, lambda _text: None) as supervisor,
        pytest.raises(OutsideError, match=r"must answer within 0 s, but does not; see .*mute\.log"),
    ):
        supervisor.start(mute)


def test_a_process_that_stops_answering_is_started_again(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.make()
    hung: set[int] = set()
    code = "import time; time.sleep(600)"
    service = Service(
        "web", (sys.executable, "-c", code), {}, lambda pid: pid not in hung, watched=True, stop_within_s=1.0
    )
    with Supervisor(folder, lambda _text: None, probe_every_s=0.05) as supervisor:
        supervisor.start(service)
        before = pid_of(tmp_path, "web")
        hung.add(before)
        supervisor.tend_until_stopped(ended=lambda: pid_of(tmp_path, "web") not in (0, before))


def test_a_process_that_somebody_has_stopped_is_started_again(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.make()
    said: list[str] = []
    with Supervisor(folder, said.append, probe_every_s=0.05) as supervisor:
        supervisor.start(sleeper("worker"))
        before = pid_of(tmp_path, "worker")
        os.kill(before, signal.SIGSTOP)
        supervisor.tend_until_stopped(ended=lambda: pid_of(tmp_path, "worker") not in (0, before))
    assert any("worker does not answer and is started again" in text for text in said)


RENEWALS = [
    ("asked to end, and ended", signal.SIGTERM, 0, ""),
    ("asked to end, but killed", signal.SIGTERM, 1, "ended with exit code 1"),
    ("asked to load anew, and ended long after", signal.SIGHUP, 1, "ended with exit code 1"),
]
OBEYS = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda *_: None)
print("up", flush=True)
while not os.path.exists(%r):
    time.sleep(0.01)
raise SystemExit(%d)
"""


@pytest.mark.parametrize(("number", "code", "said"), [row[1:] for row in RENEWALS], ids=[row[0] for row in RENEWALS])
def test_after_a_renewal_only_the_end_that_was_asked_for_is_not_told(
    number: signal.Signals, code: int, said: str, tmp_path: Path
) -> None:
    folder, end = StateFolder(tmp_path), tmp_path / "end"
    folder.make()
    told: list[str] = []
    service = sleeper("web", OBEYS % (str(end), code))
    with Supervisor(folder, told.append) as supervisor:
        supervisor.start(service)
        before = pid_of(tmp_path, "web")
        wait_for(lambda: "up" in (folder.logs / "web.log").read_text())
        supervisor.renew("web", number)
        end.touch()
        supervisor.tend_until_stopped(ended=lambda: pid_of(tmp_path, "web") not in (0, before))
    assert len(told) == bool(said)
    assert all(said in text for text in told)


def test_restarts_wait_longer_each_time_but_never_so_long_that_service_is_back_late(tmp_path: Path) -> None:
    child = Child(sleeper(code="pass"), tmp_path / "x.log", {}, state="up")
    waits = []
    for _ in range(9):
        child.spawn()
        assert child.process is not None
        child.process.wait()
        child.tend()
        waits.append(round(child._start_at_s - child._started_s, 0))
        child.state = "up"
    assert waits == sorted(waits)
    assert 1 <= waits[3] < waits[-1] <= 7


def test_a_log_is_rotated_by_size_and_the_process_writes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "LOG_BYTES", 10)
    log = tmp_path / "talker.log"
    code = "import sys, time\nwhile True: print('a line', flush=True); time.sleep(0.01)"
    child = Child(sleeper("talker", code), log, {})
    child.spawn()
    try:
        for _ in range(process_module.LOGS_KEPT + 2):
            wait_for(lambda: log.stat().st_size > 10)
            child.rotate_log()
        wait_for(lambda: log.stat().st_size > 0)
    finally:
        child.kill()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "talker.1.log", "talker.2.log", "talker.3.log", "talker.log",
    ]  # fmt: skip
    assert b"\0" not in log.read_bytes()

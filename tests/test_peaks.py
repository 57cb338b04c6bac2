"""A test process that the kernel kills for its memory ends the run, which must not wait for it for ever."""

import subprocess
import sys
from pathlib import Path

from tests.stack import ROOT

KILLED = "import os, signal\ndef test_killed(): os.kill(os.getpid(), signal.SIGKILL)\ndef test_next(): pass\n"


def test_a_killed_process_ends_the_run_with_an_error(tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        (tmp_path / f"test_{name}.py").write_text(KILLED, encoding="utf-8")
    options = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--numprocesses", "2", "--dist", "loadfile", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode not in (0, 5), ended.stdout
    assert "crashed while running" in ended.stdout

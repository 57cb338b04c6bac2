"""A state folder has one process of a kind, whoever starts the second; a dead one's place is free."""

import subprocess
import sys
from pathlib import Path

import pytest

from backend.core.errors import BadInputError
from backend.supervisor import alone
from backend.supervisor.alone import hold_alone
from tests.stack import ROOT, wait_for

HOLD = (
    "import sys; from pathlib import Path; from backend.supervisor.alone import hold_alone; "
    "hold_alone(Path(sys.argv[1]), 'cron'); "
)
BECOMES = "import os; os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(600)'])"
WAYS = [("as it is", "import time; time.sleep(600)"), ("after it became another program", BECOMES)]


@pytest.mark.parametrize("code", [row[1] for row in WAYS], ids=[row[0] for row in WAYS])
def test_a_second_process_is_refused_and_told_who_holds_the_place(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alone, "WAIT_S", 0.3)
    lock = tmp_path / "run" / "cron.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD + code, str(tmp_path)], cwd=ROOT)
    try:
        wait_for(lambda: lock.is_file() and lock.read_text() == str(holder.pid))
        with pytest.raises(BadInputError, match=f"one cron process may run on .*, and process {holder.pid} does"):
            hold_alone(tmp_path, "cron")
        hold_alone(tmp_path, "web")
    finally:
        holder.kill()
        holder.wait()
    hold_alone(tmp_path, "cron")

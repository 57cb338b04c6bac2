"""A bug report helps those who mend, and tells them nothing that is not theirs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from backend.core.code_version import code_version
from backend.ledger import open_ledger
from tests.stack import Backend, free_port, make_backend

KEY = "7-1795230264"
TEXT, LABEL = "my card was swallowed", "lost_card_of_mine"
SECRETS = {
    "PRELABEL_LABEL_STUDIO_TOKEN": "token-that-nobody-may-see",
    "PRELABEL_PASSWORD": "password-that-nobody-may-see",
    "PRELABEL_WEBHOOK_SECRET": "secret-that-nobody-may-see",
    "PRELABEL_LABEL_STUDIO_EMAIL": "somebody@example.org",
}
LOGS = {
    "web.log": json.dumps({"event": "answered", "url": SECRETS["PRELABEL_PASSWORD"]}) + f"\nValueError: {TEXT!r}\n",
    "worker-train.log": f"Traceback\n  File 'a.py'\nKeyError: {LABEL!r}\n" + '{"event": "trained"}\n',
    "label-studio.log": f"POST {TEXT}\n",
    "supervisor.log": f"2026-11-28 WARNING web ended with exit code 1 (ValueError: {TEXT}); see web.log\n",
}


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    """A state folder whose Label Studio and queue do not run, with a project in it."""
    queue = f"redis://:queue-password-nobody-sees@127.0.0.1:{free_port()}/0"
    nowhere = {"PRELABEL_LABEL_STUDIO_URL": f"http://127.0.0.1:{free_port()}", "PRELABEL_REDIS_URL": queue}
    made = make_backend(tmp_path / "home", {**SECRETS, **nowhere})
    for name, text in LOGS.items():
        (made.home / "logs" / name).write_text(text, encoding="utf-8")
    folder = made.settings.projects_dir / KEY
    folder.mkdir(parents=True)
    (folder / "settings.toml").write_text(f'head = 7\n[keywords]\n{LABEL} = ["{TEXT}"]\n', encoding="utf-8")
    ledger = open_ledger(made.settings)
    ledger.add_project(KEY)
    ledger.engine.dispose()
    return made


def test_a_bug_report_holds_what_helps_and_no_text_no_label_no_secret_for_its_owner_alone(backend: Backend) -> None:
    path = backend.home.parent / "bug.json"
    command = [sys.executable, "-m", "backend.cli", "report-bug", "--out", str(path)]
    done = subprocess.run(command, umask=0o022, env=backend.environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text(encoding="utf-8")
    for hidden in (TEXT, LABEL, "queue-password-nobody-sees", *SECRETS.values()):
        assert hidden not in text
    found = json.loads(text)
    assert found["versions"]["prelabel"] == code_version()
    assert found["settings"]["password"] == "set"
    assert {"project": None, "check": "queue", "ok": False, "fault": "Redis does not answer"} in found["doctor"]
    assert found["projects"][0]["settings"] == {"head": 7}
    assert found["logs"]["worker-train.log"] == [{"event": "trained"}]
    assert found["logs"]["supervisor.log"] == ["2026-11-28 WARNING web ended with exit code 1"]

"""A trial on a project of a real Label Studio: it reads, and every request that it makes is looked at."""

import json
import os
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from backend.connection.history import settings_of
from backend.labelstudio.schema import usable_control
from backend.labelstudio.wire import choice
from backend.loop.desk import Desk
from samples import load_samples
from tests.projects import config_of
from tests.relays import Relay, relaying
from tests.stack import ROOT, Backend

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
N_TASKS, N_SKIPPED = 60, 3
TOKENS = "POST /api/token/refresh/"  # how a personal access token is used


def test_a_trial_writes_nothing_to_label_studio_and_nothing_to_the_state(backend: Backend) -> None:
    sample = load_samples()[0]
    labels = sorted({row.gold for row in sample.rows})
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="trial", label_config=config_of(labels))
        ids = desk.client.import_tasks(project.id, [{"text": row.text} for row in sample.rows[: N_TASKS + N_SKIPPED]])
        control = usable_control(project.label_config, settings_of(backend.settings, project))
        for place, (task_id, row) in enumerate(zip(ids, sample.rows, strict=False)):
            desk.client.create_annotation(
                task_id, [choice(control, row.gold)], lead_time_s=4.0, skipped=place >= N_TASKS
            )
        before = desk.client.project(project.id).raw
        target = urlsplit(backend.settings.label_studio_url)
        with relaying(Relay((str(target.hostname), int(target.port or 80)))) as relay:
            state = sorted(path for path in backend.home.rglob("*") if path.is_file())
            found = trial(backend, f"http://127.0.0.1:{relay.port}", project.id)
            assert sorted(path for path in backend.home.rglob("*") if path.is_file()) == state
        assert desk.client.project(project.id).raw == before
    assert {line for line in relay.asked if not line.startswith("GET ")} <= {TOKENS}
    assert any("/export" in line for line in relay.asked)
    assert found["n"] == N_TASKS
    assert found["minutes"] == pytest.approx(N_TASKS * 4 / 60)
    assert found["worth_it"] == (not found["objection"])


def trial(backend: Backend, url: str, project_id: int) -> dict[str, object]:
    environment = {**os.environ, **backend.environment, "PRELABEL_LABEL_STUDIO_URL": url}
    command = [sys.executable, "-m", "backend.cli", "trial", "--project", str(project_id), "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found

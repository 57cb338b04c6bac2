"""`prelabel retrain`: a training now, and what became of it."""

import json

import pytest

from tests.connection.doctored import LABELS, connected
from tests.stack import Backend

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]


def test_a_training_that_is_asked_for_runs_at_once_and_its_verdict_is_said(backend: Backend) -> None:
    with backend.web(), connected(backend) as work:
        asking = ("retrain", "--project", str(work.id))
        alone = backend.command(*asking)
        assert (alone.returncode, alone.stdout) == (3, "")
        assert "a worker must listen to the queue `train`, but none does" in alone.stderr
        for task, label in zip(work.desk.client.tasks(work.id), LABELS * 2, strict=False):
            choice = {"from_name": "c", "to_name": "text", "type": "choices", "value": {"choices": [label]}}
            work.desk.client.create_annotation(task.id, [choice])
        with backend.workers():
            done = backend.command(*asking, "--wait", "--json")
        told = json.loads(done.stdout)
        assert done.returncode == 0, done.stderr
        assert told["promoted"] is True
        assert told["n_labels"] == 4
        assert told["trained"] == told["model_version"] == work.folder.current()
        assert told["verdict"] == work.desk.ledger.trainings(work.key)[-1].reason
        work.update(frozen=True)
        frozen = backend.command(*asking)
        assert "must not be frozen" in frozen.stderr
        assert frozen.returncode == 2

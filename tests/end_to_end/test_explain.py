"""Why a task of a real Label Studio got its tick, and what a training tells of itself."""

from dataclasses import replace

import pytest

from backend.connection.explained import Asked, Explained, explain_task, explain_text
from backend.connection.versions import list_versions
from backend.core.errors import BadInputError
from backend.core.types import Decision
from backend.labelstudio.wire import choice
from backend.loop.follow import follow
from backend.loop.push import fill
from backend.loop.report import report_newest
from backend.loop.retrain import retrain
from tests.projects import half_labelled
from tests.stack import Backend

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
N_TASKS = 40


def test_a_task_is_explained_as_it_was_shown_whatever_was_learned_since(backend: Backend) -> None:
    with half_labelled(backend, N_TASKS) as work:
        desk = work.desk
        version = retrain(work, why="asked")
        fill(desk.project(work.key))
        shown = desk.ledger.last_shown(work.key, [task.id for task in desk.client.tasks(work.id) if task.open])
        row = next(row for row in shown.values() if row.kind == "label")
        found = explain_task(desk, row.task_id, Asked())
        assert (found.version, found.reproduced) == (version, True)
        assert found.explanation.decision.predicted_label == row.label

        other = next(value for value in work.control.space.values if value != row.label)
        desk.client.create_annotation(row.task_id, [choice(work.control, other)], lead_time_s=2.0)
        follow(desk.project(work.key))
        assert decided(explain_task(desk, row.task_id, Asked())) == decided(found)
        assert decided(explain_task(desk, row.task_id, Asked(version, row.generation))) == decided(found)

        newest = desk.project(work.key).row.generation
        now = explain_task(desk, row.task_id, Asked(version, newest))
        assert now.explanation.neighbours[0].example_id == str(row.task_id), "it is its own example by now"
        assert now.reproduced is None
        text = str(next(iter(desk.client.tasks(work.id))).data["text"])
        assert explain_text(desk, work.id, text, Asked()).version == version
        with pytest.raises(BadInputError, match="must be in"):
            explain_task(desk, row.task_id, Asked(version, newest + 1))

        report_newest(work)
        (line,) = [line for line in list_versions(desk.project(work.key)) if line.version == version]
        assert line.report is not None
        assert line.report.stat().st_mode & 0o777 == 0o600
        assert "judged on" in line.report.read_text(encoding="utf-8")


def decided(found: Explained) -> Decision:
    return replace(found.explanation.decision, milliseconds=0.0)

"""Clocks that were set back: a project whose times lie ahead goes on, and it is said."""

import time
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from backend.connection.connect import ConnectOptions, connect
from backend.connection.doctor import project as doctor_project
from backend.connection.doctor.check import results_of
from backend.core.projects import ProjectSettings
from backend.health.faults import faults
from backend.health.sight import look
from backend.labelstudio.wire import choice
from backend.ledger import ProjectRow
from backend.loop.clocks import TIMES, set_right, times_ahead
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.follow import training_due
from backend.loop.upkeep import reconcile
from backend.serving import ServedProjects
from tests.connection.doctored import mend
from tests.projects import config_of
from tests.stack import Backend

NOW = 1_800_000_000.0
YEAR_S = 365 * 86400.0
IN_A_YEAR = "2099-01-01T00:00:00.000000Z"


@pytest.mark.parametrize("name", TIMES)
def test_no_time_that_lies_ahead_keeps_a_training_waiting(name: str) -> None:
    due: dict[str, Any] = {"due_at": NOW - 600, "changed_at": NOW - 600, "trained_at": NOW - 3600}
    row = ProjectRow("1-2", trained_labels=40, **{**due, name: NOW + YEAR_S})
    assert training_due(row, ProjectSettings(), NOW)
    assert times_ahead(row, NOW) == (name,)


def test_every_time_of_a_project_is_looked_at() -> None:
    times = {field.name for field in fields(ProjectRow) if field.name.endswith("_at")}
    assert times == set(TIMES)


@pytest.fixture
def work(backend: Backend) -> Iterator[ProjectDesk]:
    """A connected project with two tasks; nobody works on its queue."""
    with Desk(backend.settings) as desk:
        config = config_of(["complaint", "praise"])
        project = desk.client.create_project(title="clocks", label_config=config)
        desk.client.import_tasks(project.id, [{"text": "a fine thing"}, {"text": "it broke"}])
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        yield desk.project(str(project.key))


@pytest.mark.label_studio
@pytest.mark.redis
def test_a_project_whose_times_lie_ahead_is_told_of_and_set_right(work: ProjectDesk) -> None:
    desk, later = work.desk, time.time() + YEAR_S
    ahead = work.update(**dict.fromkeys(TIMES, later))
    told = [each for each in results_of(doctor_project.CONTENT, ahead) if each.name == "times"]
    assert [(each.ok, "lie ahead by up to 8760" in each.finding) for each in told] == [(False, True)]
    seen = look(desk.settings, desk.ledger, desk.queue, desk.loader, ())
    (late,) = [each for each in faults(seen, ServedProjects(desk.loader), ()) if each.kind == "reconcile"]
    assert "the clock was set back" in late.what

    assert mend(told[0]) == "what lay ahead counts as now"
    row = desk.ledger.project(work.key)
    assert row is not None
    assert times_ahead(row, time.time()) == ()
    assert (row.reconciled_at, row.due_at > 0) == (0.0, True), "reconciled at once, and still due"
    assert set_right(desk, row, time.time()) == row


@pytest.mark.label_studio
@pytest.mark.redis
def test_what_changed_after_label_studios_clock_was_set_back_is_read(work: ProjectDesk) -> None:
    work.update(watermark=IN_A_YEAR)
    task = next(work.desk.client.tasks(work.id))
    work.desk.client.create_annotation(task.id, [choice(work.control, "praise")])
    assert "labels" in reconcile(work.desk.project(work.key))
    assert [row.task_id for row in work.desk.ledger.index_rows(work.key)] == [task.id]
    again = work.desk.project(work.key)
    assert again.row.watermark < IN_A_YEAR
    assert reconcile(again) == []

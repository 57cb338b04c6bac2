"""Among thousands of tasks that pruning has touched, what people did is found."""

from collections.abc import Iterator

import pytest

from backend.connection.connect import ConnectOptions, prepare
from backend.labelstudio.wire import choice
from backend.loop import changes as module
from backend.loop.changes import changes
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.follow import follow
from tests.projects import config_of
from tests.stack import Backend

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]

N_TASKS = 12


@pytest.fixture
def work(backend: Backend) -> Iterator[ProjectDesk]:
    """A project that was followed up to now."""
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="changes", label_config=config_of(["refund", "delivery"]))
        prepare(desk, project, ConnectOptions(language="en"))
        desk.client.import_tasks(project.id, [{"text": f"text {n}"} for n in range(N_TASKS)])
        yield desk.project(str(project.key))
        desk.client.delete_project(project.id)


def test_what_people_did_is_told_from_what_pruning_touched(work: ProjectDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    client = work.desk.client
    touched, again, skipped, freed, *_ = [task.id for task in client.tasks(work.id)]
    said = [choice(work.control, "refund")]
    deleted = client.create_annotation(freed, said, lead_time_s=1.0)
    old = [
        client.create_prediction(work.id, task, {"result": said, "model_version": "old"}) for task in (touched, again)
    ]
    follow(work)
    work = work.desk.project(work.key)
    assert {row.task_id for row in work.desk.ledger.index_rows(work.key)} == {freed}

    monkeypatch.setattr(module, "MANY", 3)
    for prediction in old:
        client.delete_prediction(prediction)
    client.create_annotation(again, said, lead_time_s=1.0)
    client.create_annotation(skipped, [], lead_time_s=1.0, skipped=True)
    client.delete_annotation(deleted)
    new = client.import_tasks(work.id, [{"text": "one more"}])
    found = changes(work)
    assert {again, skipped, freed, *new} <= {task.id for task in found.tasks}
    assert touched not in {task.id for task in found.tasks}
    assert next(len(task.annotations) for task in found.tasks if task.id == again) == 1

    follow(work)
    work = work.desk.project(work.key)
    rows = {row.task_id: row.label for row in work.desk.ledger.index_rows(work.key)}
    assert rows == {again: "refund", freed: ""}
    assert work.row.watermark == max(task.updated_at for task in client.tasks(work.id))

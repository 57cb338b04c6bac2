"""Predictions are removed without anybody noticing who has a page open, against a real Label Studio."""

import time
from collections.abc import Iterator

import pytest

from backend.connection.connect import ConnectOptions, connect
from backend.core.errors import LabelStudioError
from backend.labelstudio.records import Json, Task
from backend.labelstudio.wire import choice
from backend.ledger import Shown
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.push import fill
from backend.loop.removals import OPEN_S, note_left, remove_surplus, removing
from backend.loop.retrain import retrain
from backend.loop.upkeep import drop_made_up, prune
from tests.projects import config_of
from tests.stack import Backend

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
TEXTS = {
    "a fine thing that works": "praise",
    "broken when it came": "complaint",
    "would buy it again": "praise",
    "the worst one of all": "complaint",
    "my friends love it": "praise",
    "it stopped after a day": "complaint",
}


@pytest.fixture
def work(backend: Backend) -> Iterator[ProjectDesk]:
    """A connected project with predictions of its first version."""
    with Desk(backend.settings) as desk:
        config = config_of(["complaint", "praise"])
        project = desk.client.create_project(title="removals", label_config=config)
        desk.client.import_tasks(project.id, [{"text": text} for text in TEXTS])
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        file = desk.loader.folder(str(project.key)).root / "settings.toml"
        file.write_text('language = "en"\nblind_share = 0.0\n')
        yield desk.project(str(project.key))


def tasks_of(work: ProjectDesk) -> list[Task]:
    return list(work.desk.client.tasks(work.id))


def submit(work: ProjectDesk, opened: Json) -> None:
    """Submit a page as it was opened, as the editor does."""
    label = choice(work.control, TEXTS[str(opened["data"]["text"])])
    body = {"result": [label], "lead_time": 1.0, "parent_prediction": opened["predictions"][0]["id"]}
    work.desk.client.api.json("POST", f"api/tasks/{opened['id']}/annotations/", body=body)


def serve_others(work: ProjectDesk, n: int) -> None:
    """Train and push again and again, as the workers do."""
    for _ in range(n):
        retrain(work.desk.project(work.key), why="asked")
        while not fill(work.desk.project(work.key)):
            continue


def prune_all(work: ProjectDesk) -> None:
    while not prune(work.desk.project(work.key)):
        continue


def test_a_page_that_was_opened_some_versions_ago_is_submitted_and_long_after_that_they_go(
    work: ProjectDesk,
) -> None:
    opened, first = work.desk.client.next_task(work.id), work.project.model_version
    labelled, other = [task for task in tasks_of(work) if task.id != opened["id"]][:2]
    opened_for_long = work.desk.client.api.json("GET", f"api/tasks/{other.id}/")
    label = choice(work.control, TEXTS[str(labelled.data["text"])])
    work.desk.client.create_annotation(labelled.id, [label])
    serve_others(work, 3)
    prune_all(work)
    submit(work, opened)

    for version in work.folder.versions():
        note_left(work, version, at=time.time() - OPEN_S)
    prune_all(work)
    kept = set(work.desk.client.model_versions(work.id))
    assert first not in kept
    assert kept == set(work.folder.versions()[-2:]), "the shown one, and the one to go back to"
    with pytest.raises(LabelStudioError) as refused:
        submit(work, opened_for_long)
    assert refused.value.status == 400


def test_a_version_that_was_shown_again_counts_from_then_on(work: ProjectDesk) -> None:
    submit(work, work.desk.client.next_task(work.id))
    serve_others(work, 2)
    first = work.folder.versions()[0]
    note_left(work, first, at=time.time() - OPEN_S)
    work.desk.client.update_project(work.id, model_version=first)  # as a rollback does
    opened = work.desk.client.next_task(work.id)
    serve_others(work, 1)
    prune_all(work)
    submit(work, opened)


def test_of_doubled_predictions_the_one_on_the_page_stays(work: ProjectDesk) -> None:
    version, client = work.project.model_version, work.desk.client
    for task in tasks_of(work):
        twin = {name: task.predictions[0][name] for name in ("result", "score", "model_version")}
        client.create_prediction(work.id, task.id, twin)
    opened = client.next_task(work.id)
    assert len(opened["predictions"]) == 2
    assert remove_surplus(work, version) == len(TEXTS)
    assert all(len(task.predictions) == 1 for task in tasks_of(work))
    submit(work, opened)


def test_what_was_answered_for_tasks_that_do_not_exist_is_dropped(work: ProjectDesk) -> None:
    ids, ledger = {task.id for task in tasks_of(work)}, work.desk.ledger
    made_up = Shown(max(ids) + 1000, work.project.model_version, 0, "praise", 0.9, "retrieve", "label")
    ledger.add_shown(work.key, [made_up])
    drop_made_up(work)
    assert ledger.shown_tasks(work.key) == ids


def test_what_somebody_else_predicted_stays(work: ProjectDesk) -> None:
    client, version = work.desk.client, work.project.model_version
    shared, *_ = tasks_of(work)
    theirs = {**{name: shared.predictions[0][name] for name in ("result", "score")}, "model_version": "theirs"}
    client.create_prediction(work.id, shared.id, theirs)
    assert sum(removing(work, [version])) == len(TEXTS)
    assert client.model_versions(work.id) == {"theirs": 1}

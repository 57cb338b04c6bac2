"""Projects in which two people label each task, against a real Label Studio with two accounts."""

from collections.abc import Iterator

import pytest

from backend.connection.connect import ConnectOptions, connect
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.records import Task
from backend.labelstudio.wire import choice
from backend.loop.coverage import count_open
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.follow import follow, learn
from backend.loop.push import fill
from backend.loop.retrain import retrain
from backend.loop.second_annotator import TASKS_AT_ONCE, carry_over
from tests.label_studios import second_person
from tests.projects import config_of
from tests.stack import Backend, RunningLabelStudio

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
TEXTS = {
    "a fine thing that works": "praise",
    "broken when it came": "complaint",
    "would buy it again": "praise",
    "the worst one of all": "complaint",
    "my friends love it": "praise",
    "it stopped after a day": "complaint",
}
SETTINGS = 'language = "en"\nblind_share = 0.0\n'


@pytest.fixture
def work(backend: Backend) -> Iterator[ProjectDesk]:
    """A connected project that wants two annotations a task; its predictions are pushed."""
    with Desk(backend.settings) as desk:
        config = config_of(["complaint", "praise"])
        project = desk.client.create_project(title="in pairs", label_config=config, maximum_annotations=2)
        desk.client.import_tasks(project.id, [{"text": text} for text in TEXTS])
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        (desk.loader.folder(str(project.key)).root / "settings.toml").write_text(SETTINGS)
        yield desk.project(str(project.key))


@pytest.fixture
def second(label_studio: RunningLabelStudio) -> Iterator[LabelStudioClient]:
    with second_person(label_studio) as client:
        yield client


def accept(work: ProjectDesk, client: LabelStudioClient, task: Task) -> None:
    """Submit from the tick, as the editor does."""
    label = choice(work.control, TEXTS[str(task.data["text"])])
    body = {"result": [label], "lead_time": 1.0, "parent_prediction": task.predictions[-1]["id"]}
    client.api.json("POST", f"api/tasks/{task.id}/annotations/", body=body)


def serve_another_version(work: ProjectDesk) -> str:
    """Train on what was labelled and push, as the workers do; the version."""
    again = work.desk.project(work.key)
    follow(again)
    version = retrain(again, why="asked")
    while not (fill(work.desk.project(work.key)) and carry_over(work.desk.project(work.key))):
        continue
    return version


def tasks_of(work: ProjectDesk) -> list[Task]:
    return list(work.desk.client.tasks(work.id))


def versions_of(task: Task) -> list[str]:
    return [str(item["model_version"]) for item in task.predictions]


def test_the_second_person_sees_the_shown_version_and_nobody_gets_a_second_annotation(
    work: ProjectDesk, second: LabelStudioClient
) -> None:
    first = work.desk.client
    *labelled, done = tasks_of(work)[:4]
    for task in (*labelled, done):
        accept(work, first, task)
    accept(work, second, done)
    old, new = work.project.model_version, serve_another_version(work)
    assert first.project(work.id).model_version == new != old

    shown = second.next_task(work.id)
    assert shown["id"] in {task.id for task in labelled}, "what one has labelled comes first"
    assert [item["model_version"] for item in shown["predictions"] if item["result"]] == [new]
    now = {task.id: task for task in tasks_of(work)}
    assert [now[task.id].open for task in (*labelled, done)] == [True, True, True, False]
    assert {tuple(versions_of(now[task.id])) for task in labelled} == {(new,)}, "moved on, not added"
    assert all(new in versions_of(task) for task in now.values() if task.open)
    assert versions_of(now[done.id]) == [old], "nobody is shown it any more"
    assert count_open(work.desk.project(work.key)) == 0

    first.accept_predictions(work.id, list(now), version=new)
    for task in tasks_of(work):
        people = [item.completed_by for item in task.annotations]
        assert len(people) == len(set(people)), "bulk accept leaves alone what was labelled"


def test_what_was_labelled_before_prelabel_came_is_ticked_for_the_second_person(
    work: ProjectDesk, second: LabelStudioClient
) -> None:
    label = [choice(work.control, "praise")]
    come = [{"data": {"text": f"{text} indeed"}, "annotations": [{"result": label}]} for text in TEXTS]
    work.desk.client.import_tasks(work.id, come)
    assert fill(work.desk.project(work.key))
    version = work.desk.client.project(work.id).model_version
    assert all(versions_of(task) == [version] for task in tasks_of(work))
    assert [item["model_version"] for item in second.next_task(work.id)["predictions"]] == [version]


def test_where_labels_never_stop_coming_the_tasks_are_moved_on_piece_by_piece(work: ProjectDesk) -> None:
    client, label = work.desk.client, choice(work.control, "praise")
    item = {"model_version": "pl-0-00000000", "result": [label], "score": 0.5}
    both = {"annotations": [{"result": [label]}], "predictions": [item]}
    ids = client.import_tasks(work.id, [{"data": {"text": f"thing {n}"}, **both} for n in range(TASKS_AT_ONCE + 2)])
    unread, read = ids[:TASKS_AT_ONCE], ids[TASKS_AT_ONCE:]
    learn(work, [client.task(task_id) for task_id in read])
    work.desk.queue.enqueue("follow", work.key)
    assert not carry_over(work.desk.project(work.key)), "it makes way after each piece"
    assert not carry_over(work.desk.project(work.key))
    now = {task.id: versions_of(task) for task in tasks_of(work)}
    assert {tuple(now[task_id]) for task_id in read} == {(work.project.model_version,)}
    assert carry_over(work.desk.project(work.key)), "nothing is left but what the ledger does not hold"

    learn(work, [client.task(task_id) for task_id in unread])
    carry_over(work.desk.project(work.key))
    now = {task.id: versions_of(task) for task in tasks_of(work)}
    assert {tuple(now[task_id]) for task_id in unread} == {(work.project.model_version,)}

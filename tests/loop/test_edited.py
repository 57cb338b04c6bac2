"""Tasks whose text is edited in Label Studio, which sends no webhook for it."""

from collections.abc import Iterator

import pytest

from backend.answering import answering_of
from backend.connection.connect import ConnectOptions, connect
from backend.core.projects import is_blind
from backend.labelstudio.records import Task
from backend.labelstudio.wire import choice, predict_request
from backend.loop import changes
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.follow import follow
from backend.loop.upkeep import reconcile
from tests.projects import config_of
from tests.stack import Backend, wait_for

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
TEXTS = ("it is lovely", "lovely, lovely", "what a lovely thing", "lovely again")
BROKEN = "it is broken"


@pytest.fixture
def work(backend: Backend) -> Iterator[ProjectDesk]:
    """A connected project with one label; nobody works on its queue."""
    with Desk(backend.settings) as desk:
        config = config_of(["lovely", "broken"])
        project = desk.client.create_project(title="edited", label_config=config)
        desk.client.import_tasks(project.id, [{"text": text} for text in TEXTS])
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        work = desk.project(str(project.key))
        label = [choice(work.control, "lovely")]
        desk.client.create_annotation(tasks_of(work)[0].id, label, lead_time_s=1.0)
        follow(work)
        assert reconcile(desk.project(work.key)) == ["labels"]
        yield desk.project(work.key)


def tasks_of(work: ProjectDesk) -> list[Task]:
    return list(work.desk.client.tasks(work.id))


def ticked(work: ProjectDesk) -> dict[int, list[str]]:
    """The ticks of each task, by what is stored now."""
    return {
        task.id: [region["value"]["choices"][0] for item in task.predictions for region in item["result"]]
        for task in tasks_of(work)
    }


def edit(work: ProjectDesk, task: Task) -> None:
    work.desk.client.patch_task(task.id, {**task.data, "text": BROKEN})


@pytest.mark.parametrize("many", [300, 0], ids=["a few changes", "more changes than are read whole"])
def test_an_edited_task_is_predicted_again(work: ProjectDesk, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MANY", many)
    open_ones = [task for task in tasks_of(work) if task.open]
    for task in open_ones[:2]:
        edit(work, task)
    assert reconcile(work) == ["texts"]
    shown, share = ticked(work), work.settings.blind_share
    for task in open_ones:
        label = "broken" if task in open_ones[:2] else "lovely"
        assert shown[task.id] == [] if is_blind(work.key, task.id, share) else [label]
    assert reconcile(work.desk.project(work.key)) == [], "once is enough"


def test_a_labelled_task_that_was_edited_is_learnt_by_its_present_text(work: ProjectDesk) -> None:
    labelled = tasks_of(work)[0]
    edit(work, labelled)
    assert reconcile(work) == ["labels"]
    rows = work.desk.ledger.index_rows(work.key)
    assert [(row.task_id, row.text, row.label) for row in rows] == [(labelled.id, BROKEN, "lovely")]
    assert reconcile(work.desk.project(work.key)) == []


def test_an_edit_is_followed_also_after_the_page_has_asked_for_a_prediction_of_it(
    work: ProjectDesk, backend: Backend
) -> None:
    share = work.settings.blind_share
    task = next(each for each in tasks_of(work) if each.open and not is_blind(work.key, each.id, share))
    edit(work, task)
    asked = {
        "project": work.key.replace("-", "."),
        "label_config": work.project.label_config,
        "tasks": [{"id": task.id, "data": {"text": BROKEN}}],
        "params": {"context": {"result": []}},
    }
    web = answering_of(backend.settings)
    wait_for(lambda: web.predict(predict_request(asked)) != [None])
    assert reconcile(work) == ["texts"]
    assert ticked(work)[task.id] == ["broken"]

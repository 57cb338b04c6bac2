"""The order of showing that a project asks for, in a real Label Studio."""

from collections.abc import Iterator

import pytest

from backend.connection.connect import ConnectOptions, connect
from backend.core.projects import showing_rank
from backend.labelstudio.records import Task
from backend.labelstudio.schema import TOP_KEY
from backend.labelstudio.wire import choice
from backend.loop.deciding import kept_blind
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.follow import follow
from backend.loop.leading import TYPICAL_UNTIL
from backend.loop.order import MOVED, is_place
from backend.loop.push import fill
from backend.loop.retrain import retrain
from samples import load_samples
from tests.records import stored_contradictions
from tests.stack import Backend

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
SAMPLE = load_samples()[0]
GOLD = {row.text: row.gold for row in SAMPLE.rows}
N_TASKS = 200


@pytest.fixture
def work(backend: Backend) -> Iterator[ProjectDesk]:
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="order", label_config=SAMPLE.label_config)
        desk.client.import_tasks(project.id, [{"text": row.text, TOP_KEY: []} for row in SAMPLE.rows[:N_TASKS]])
        connected(desk, project.id, "auto")
        yield desk.project(str(project.key))


def connected(desk: Desk, project_id: int, order: str) -> None:
    options = ConnectOptions(language="en", push_only=True, order=order)
    connect(desk, desk.client.project(project_id), options, lambda _: None)


def in_order(work: ProjectDesk) -> list[Task]:
    """Tasks that are not blind, as Label Studio shows them."""
    found = work.desk.client.tasks(work.id, ordering="tasks:predictions_score")
    return [task for task in found if not kept_blind(work, task.id)]


def score(task: Task) -> float:
    return float(task.predictions[-1]["score"])


def confidences(work: ProjectDesk, tasks: list[Task]) -> list[float]:
    shown = work.desk.ledger.last_shown(work.key, [task.id for task in tasks])
    return [shown[task.id].confidence for task in tasks]


def right(work: ProjectDesk, tasks: list[Task]) -> int:
    shown = work.desk.ledger.last_shown(work.key, [task.id for task in tasks])
    return sum(shown[task.id].tick == GOLD[str(task.data["text"])] for task in tasks)


def test_a_new_project_begins_with_typical_texts_and_goes_on_with_the_least_certain(work: ProjectDesk) -> None:
    tasks = in_order(work)
    first, others = tasks[:TYPICAL_UNTIL], tasks[TYPICAL_UNTIL:]
    assert all(is_place(score(task)) for task in first)
    told = list(zip(confidences(work, others), others, strict=True))
    assert all(abs(score(task) - confidence) <= MOVED for confidence, task in told)
    sure = dict(zip((task.id for task in tasks), confidences(work, tasks), strict=True))
    least_certain = sorted(tasks, key=lambda task: sure[task.id])[:TYPICAL_UNTIL]
    assert right(work, first) > right(work, least_certain)


def test_a_label_moves_no_task_from_its_place(work: ProjectDesk) -> None:
    before = in_order(work)[:TYPICAL_UNTIL]
    gold = GOLD[str(before[0].data["text"])]
    work.desk.client.create_annotation(before[0].id, [choice(work.control, gold)])
    follow(work.desk.project(work.key))
    after = in_order(work)
    assert stored_contradictions(work) == [], "the ledger has the confidences that are read now"
    assert {task.id for task in after[:TYPICAL_UNTIL]} == {task.id for task in before}
    assert [score(task) for task in after[:TYPICAL_UNTIL]] == [score(task) for task in before]


def test_the_order_can_be_chosen_and_changed(work: ProjectDesk) -> None:
    connected(work.desk, work.id, "uncertain")
    tasks = in_order(work)
    assert not any(is_place(score(task)) for task in tasks)
    assert [score(task) for task in tasks] == sorted(score(task) for task in tasks)
    connected(work.desk, work.id, "random")
    tasks = in_order(work)
    ranks = [showing_rank(work.key, task.id) for task in tasks]
    assert ranks == sorted(ranks)
    assert work.desk.client.next_task(work.id)["id"] in {task.id for task in work.desk.client.tasks(work.id)}


def test_labels_end_the_typical_texts_of_a_project_that_does_not_ask_for_more(work: ProjectDesk) -> None:
    for task in in_order(work)[:TYPICAL_UNTIL]:
        gold = GOLD[str(task.data["text"])]
        work.desk.client.create_annotation(task.id, [choice(work.control, gold)])
    retrain(work.desk.project(work.key), why="labels")
    fill(work.desk.project(work.key))
    assert not any(is_place(score(task)) for task in in_order(work) if task.open)

"""Labels accepted without a person, in a real Label Studio: marked or annotated, checked, stopped and taken back."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from backend.connection.connect import ConnectOptions, connect
from backend.connection.status import project_status
from backend.core.artefacts import read_manifest, write_atomically
from backend.core.errors import BadInputError
from backend.core.projects import SETTINGS_FILE, is_blind
from backend.core.types import Example
from backend.labelstudio.records import Json, Task
from backend.labelstudio.schema import AUTO_KEY
from backend.labelstudio.wire import choice
from backend.ledger import Accepted
from backend.loop import auto_accept
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.follow import follow
from backend.loop.gold import HELD, keep_gold
from backend.loop.promised import BROKEN, TAKEN_BACK, keep, look_again, read_rule, settle, standing
from backend.loop.retrain import read_labels, retrain
from samples import load_samples
from tests.projects import config_of
from tests.stack import Backend, wait_for

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
N_TASKS, BLIND_SHARE = 60, 0.2
SAMPLE = load_samples()[0]
QUIET = ConnectOptions(language="en", push_only=True)


@pytest.fixture
def work(backend: Backend) -> Iterator[ProjectDesk]:
    """A connected project whose version has told nobody anything yet."""
    with Desk(backend.settings) as desk:
        labels = sorted({row.gold for row in SAMPLE.rows})
        project = desk.client.create_project(title="auto-accept", label_config=config_of(labels))
        write_settings(desk, str(project.key), "")
        desk.client.import_tasks(project.id, [{"text": row.text} for row in SAMPLE.rows[:N_TASKS]])
        connect(desk, project, QUIET, lambda _: None)
        yield desk.project(str(project.key))


def write_settings(desk: Desk, key: str, more: str) -> None:
    text = f'language = "en"\nblind_share = {BLIND_SHARE}\n{more}'
    write_atomically(desk.settings.projects_dir / key / SETTINGS_FILE, text)


def asking(work: ProjectDesk, more: str) -> ProjectDesk:
    write_settings(work.desk, work.key, more)
    return work.desk.project(work.key)


def blind_labels(work: ProjectDesk, n: int, *, n_wrong: int = 0, first: int = 100_000) -> None:
    """Labels of blind tasks as the ledger would hold them, all of the same confidence."""
    rows = [
        Accepted(
            task_id=first + row, annotation_id=first + row, annotation_updated_at="t", annotator=1,
            label="wrong" if row < n_wrong else "right", how="blind", lead_time_s=3.0, version="pl-trained",
            generation=0, shown_label="right", confidence=0.999, stage="classify",
        )
        for row in range(n)
    ]  # fmt: skip
    work.desk.ledger.add_accepted(work.key, rows)


def sure(work: ProjectDesk) -> set[int]:
    """Tasks whose prediction is sure enough, the blind ones left out."""
    rule = read_rule(work.folder)
    shown = work.desk.ledger.last_shown(work.key, [task.id for task in work.desk.client.tasks(work.id)])
    assert rule is not None
    return {task_id for task_id, row in shown.items() if rule.accepts(row)}


def marked(work: ProjectDesk) -> set[int]:
    """As the Data Manager filters them."""
    by_mark: Json = {"filter": f"filter:tasks:data.{AUTO_KEY}", "operator": "equal", "type": "String", "value": "auto"}
    return {task.id for task in work.desk.client.tasks(work.id, filters=[by_mark])}


def offered(work: ProjectDesk) -> set[str]:
    """The columns of task data that the Data Manager lets people filter by."""
    columns = work.desk.client.api.json("GET", "api/dm/columns", params={"project": work.id})["columns"]
    return {column["id"] for column in columns if column.get("parent") == "data"}


def lowered(work: ProjectDesk) -> ProjectDesk:
    """A precision so low that a version without any training has something to accept."""
    blind_labels(work, 400, n_wrong=150)
    return asking(work, "target_precision = 0.5\n")


def apply_all(work: ProjectDesk) -> None:
    """Job after job, each of which writes a bounded number, until nothing is left to do."""
    wait_for(lambda: auto_accept.apply(work))


def test_it_is_off_until_a_project_asks_and_then_until_there_are_labels_enough(
    work: ProjectDesk, backend: Backend
) -> None:
    assert standing(work).message == "off"
    assert not auto_accept.wanted(work)
    work = asking(work, "target_precision = 0.98\n")
    blind_labels(work, 37)
    apply_all(work)
    assert standing(work).message == "needs at least 228 accepted labels for 0.98, has 37"
    assert marked(work) == set()
    assert project_status(work.desk, work.key).auto.startswith("needs at least 228")
    told = json.loads(backend.command("auto-accept", "--project", str(work.id), "--json").stdout)
    assert (told["n_accepted"], told["state"]) == (0, standing(work).message)


def test_what_the_promise_covers_is_marked_filterable_and_one_command_takes_it_back(work: ProjectDesk) -> None:
    before = {task.id: dict(task.data) for task in work.desk.client.tasks(work.id)}
    work = lowered(work)
    set_threshold(work, 0.35)
    apply_all(work)
    assert marked(work) == sure(work) != set()
    assert AUTO_KEY in offered(work)
    assert not any(is_blind(work.key, task_id, BLIND_SHARE) for task_id in marked(work))
    assert f"{len(sure(work))} accepted" in standing(work).message

    set_threshold(work, 0.999)
    apply_all(work)
    assert marked(work) == sure(work), "marks that the rule does not cover any more go"

    set_threshold(work, 0.35)
    auto_accept.apply(work)
    assert auto_accept.take_back(work, lambda _: None) > 0
    assert {task.id: dict(task.data) for task in work.desk.client.tasks(work.id)} == before
    apply_all(work)
    assert marked(work) == set(), "nothing is accepted again until somebody says so"
    assert "STOPPED, taken back" in standing(work).message


def test_gold_rows_judge_each_version_carry_the_promise_and_never_train(work: ProjectDesk) -> None:
    own, apart = SAMPLE.rows[:N_TASKS], SAMPLE.rows[N_TASKS : N_TASKS + 260]
    tasks = {str(task.data["text"]): task.id for task in work.desk.client.tasks(work.id)}
    for row in own[:20]:
        work.desk.client.create_annotation(tasks[row.text], [choice(work.control, row.gold)])
    rows = [{"text": row.text.upper(), "label": row.gold} for row in (*own[:2], *apart)]  # two say what tasks say
    keep_gold(work, [Example(str(number), row["text"], row["label"]) for number, row in enumerate(rows)])
    work = asking(work, "target_precision = 0.5\n")
    retrain(work, why="gold")
    manifest = read_manifest(work.folder.artefact(work.folder.current()))
    assert (manifest.judged_on, manifest.metrics["n"], manifest.data.n_examples) == ("gold", len(rows), 18)
    assert {row.bucket for row in work.desk.ledger.index_rows(work.key) if row.text in (own[0].text, own[1].text)} == {
        HELD
    }
    rule = settle(work)
    assert rule is not None
    assert rule.promise.n_judged == len(rows)
    keep(work.folder, replace(rule, stopped=TAKEN_BACK))
    look_again(work.folder)
    again = settle(work)
    assert again is not None
    assert (again.promise, again.stopped) == (rule.promise, TAKEN_BACK), "other gold rows set nothing going"
    with pytest.raises(BadInputError, match="'no such label' is not"):
        keep_gold(work, [Example("1", "a text", "no such label")])
    keep_gold(work, [])
    assert {row.bucket for row in work.desk.ledger.index_rows(work.key)}.isdisjoint({HELD})


def test_annotations_of_ours_are_no_persons_do_not_train_and_are_taken_back_but_for_those_a_person_changed(
    work: ProjectDesk,
) -> None:
    blind_labels(work, 400, n_wrong=150)
    work = asking(work, 'target_precision = 0.5\nauto_accept = "annotation"\n')
    auto_accept.apply(work)
    set_threshold(work, 0.35)
    apply_all(work)
    ours = {task.id: task for task in work.desk.client.tasks(work.id) if task.annotations}
    assert len(ours) > 3
    apply_all(work)
    assert all(len(task.annotations) == 1 for task in work.desk.client.tasks(work.id) if task.id in ours)

    follow(work.desk.project(work.key))
    assert {row.how for row in work.desk.ledger.accepted(work.key) if row.task_id in ours} == {"auto"}
    assert work.desk.ledger.index_rows(work.key) == []
    assert read_labels(work).examples == []

    kept, *_ = ours.values()
    change(work, kept)
    follow(work.desk.project(work.key))
    assert [row.how for row in work.desk.ledger.accepted(work.key) if row.task_id == kept.id] == ["seen"]
    assert [row.task_id for row in work.desk.ledger.index_rows(work.key)] == [kept.id]

    auto_accept.take_back(work, lambda _: None)
    left = [task.id for task in work.desk.client.tasks(work.id) if task.annotations]
    assert left == [kept.id]


def test_a_promise_that_breaks_stops_by_itself(work: ProjectDesk) -> None:
    work = lowered(work)
    auto_accept.apply(work)
    blind_labels(work, 60, n_wrong=55, first=200_000)
    apply_all(work)
    rule = read_rule(work.folder)
    assert rule is not None
    assert rule.stopped == BROKEN
    assert marked(work) == set()
    message = standing(work).message
    assert "STOPPED, broken" in message
    assert "5 of 60 checked since were right" in message


def set_threshold(work: ProjectDesk, threshold: float) -> None:
    """As if the labels had told it: a version without training is never as sure as they are."""
    rule = settle(work)
    assert rule is not None
    keep(work.folder, replace(rule, promise=replace(rule.promise, threshold=threshold, labels=()), made_at=time.time()))


def change(work: ProjectDesk, task: Task) -> None:
    """A person chooses another label in an annotation of ours."""
    (annotation,) = task.annotations
    other = next(value for value in work.control.space.values if value not in str(annotation.result))
    body = {"result": [choice(work.control, other)]}
    work.desk.client.api.call("PATCH", f"api/annotations/{annotation.id}/", body=body)

"""Blind tasks and changed ticks carry a mark for the Data Manager, and lose it when it stands for nothing."""

import pytest

from backend.connection.connect import ConnectOptions, connect
from backend.labelstudio.schema import BLIND_KEY, CHANGED_KEY
from backend.ledger import Accepted, Shown
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.marks import WRITES, mark
from tests.connection.doctored import LABELS, TEXTS, config_of
from tests.stack import Backend

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]


def test_marks_follow_the_ledger_and_bring_their_tabs(backend: Backend) -> None:
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="marks", label_config=config_of(LABELS))
        blind, changed, kept, _ = desk.client.import_tasks(project.id, [{"text": text} for text in TEXTS])
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        key = str(project.key)
        all_blind(desk.project(key))
        desk.ledger.add_shown(key, [Shown(blind, "pl-1", 0, "praise", 0.9, "retrieve", "blind")])
        desk.ledger.add_accepted(key, [said(changed, 1, "complaint"), said(kept, 2, "praise"), said(kept, 3, "")])
        assert mark(desk.project(key))
        data = {task.id: task.data for task in desk.client.tasks(project.id)}
        assert data[blind][BLIND_KEY] == "blind"
        assert data[changed][CHANGED_KEY] == "praise", "what was ticked before"
        assert [task for task in data if CHANGED_KEY in data[task]] == [changed]
        assert all(data[task]["text"] == text for task, text in zip(data, TEXTS, strict=True))
        titles = [tab["data"]["title"] for tab in desk.client.tabs(project.id)]
        assert titles == ["Default", "To do: least sure", "Blind", "Changed by people"]
        desk.ledger.add_accepted(key, [said(changed, 1, "praise", at="later")])
        desk.client.delete_task(blind)
        assert mark(desk.project(key)), "a task that is gone holds nobody up"
        assert CHANGED_KEY not in desk.client.task(changed).data, "changed back"


def test_many_marks_are_written_as_long_as_nobody_waits_and_then_go_on(backend: Backend) -> None:
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="marks", label_config=config_of(LABELS))
        ids = desk.client.import_tasks(project.id, [{"text": f"text {n}"} for n in range(WRITES + 5)])
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        key = str(project.key)
        desk.ledger.add_accepted(key, [said(task_id, task_id, "complaint") for task_id in ids])
        desk.queue.enqueue("follow", key)
        assert not mark(desk.project(key)), "whoever follows labels has a turn"
        assert n_marked(desk, project.id) == WRITES
        assert mark(desk.project(key))
        assert n_marked(desk, project.id) == len(ids)
        desk.ledger.add_accepted(key, [said(task_id, task_id, "praise", at="later") for task_id in ids])
        desk.queue.begin("follow", key)
        while not mark(desk.project(key)):
            continue
        assert n_marked(desk, project.id) == 0, "all were changed back"


def test_a_task_that_is_kept_blind_by_another_share_loses_its_mark(backend: Backend) -> None:
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="marks", label_config=config_of(LABELS))
        task_id, *_ = desk.client.import_tasks(project.id, [{"text": text} for text in TEXTS])
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        key = str(project.key)
        all_blind(desk.project(key))
        desk.ledger.add_shown(key, [Shown(task_id, "pl-1", 0, "praise", 0.9, "retrieve", "blind")])
        assert mark(desk.project(key))
        assert desk.client.task(task_id).data[BLIND_KEY] == "blind"
        file = desk.project(key).folder.root / "settings.toml"
        file.write_text("blind_share = 0.0\n", encoding="utf-8")
        assert mark(desk.project(key))
        assert BLIND_KEY not in desk.client.task(task_id).data


def n_marked(desk: Desk, project_id: int) -> int:
    return sum(CHANGED_KEY in task.data for task in desk.client.tasks(project_id))


def all_blind(work: ProjectDesk) -> None:
    file = work.folder.root / "settings.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("blind_share = 0.03", "blind_share = 1.0"), encoding="utf-8")
    assert work.desk.project(work.key).settings.blind_share == 1.0


def said(task_id: int, annotation_id: int, label: str, at: str = "now") -> Accepted:
    return Accepted(
        task_id=task_id,
        annotation_id=annotation_id,
        annotation_updated_at=at,
        annotator=1,
        label=label,
        how="seen",
        lead_time_s=1.0,
        version="pl-1",
        generation=0,
        shown_label="praise",
        confidence=0.9,
        stage="retrieve",
    )

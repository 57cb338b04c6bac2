"""The Data Manager's tabs are made where there is something to see, and go where nobody made them theirs."""

import pytest

from backend.connection.connect import ConnectOptions, connect, disconnect
from backend.labelstudio.schema import BLIND_KEY, TOP_KEY
from backend.labelstudio.wire import Json
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.tabs import make_tabs
from samples import load_samples
from tests.stack import Backend

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
PUSH_ONLY = ConnectOptions(language="en", push_only=True)


def test_a_connected_project_has_tabs_in_columns_that_people_read_and_a_disconnected_one_has_none(
    backend: Backend,
) -> None:
    sample = load_samples()[0]
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="tabs", label_config=sample.label_config)
        rows = [{"text": row.text, TOP_KEY: []} for row in sample.rows[:3]]
        ids = desk.client.import_tasks(project.id, rows)
        connect(desk, project, PUSH_ONLY, lambda _: None)
        work = desk.project(str(project.key))
        assert titles(work) == ["Default", "To do: least sure"], "the others would be empty"
        task = desk.client.task(ids[0])
        desk.client.patch_task(task.id, {**task.data, BLIND_KEY: "blind"})
        make_tabs(work)
        make_tabs(work)
        assert titles(work) == ["Default", "To do: least sure", "Blind"]
        assert "filters" not in tabs_of(work)[0]["data"], "labelled in the order of the project"
        for tab in tabs_of(work):
            assert f"tasks:data.{TOP_KEY}" in tab["data"]["hiddenColumns"]["explore"]
            assert "tasks:data.text" not in tab["data"]["hiddenColumns"]["explore"]
        theirs = desk.client.create_tab(project.id, {"title": "Mine", "type": "list"})
        disconnect(desk, work.key, lambda _: None)
        assert [tab["id"] for tab in tabs_of(work)] == [theirs]
        kept = desk.client.task(ids[0]).data
        assert sorted(kept) == [TOP_KEY, "text"], "the list of labels is needed to show the choices"
        assert all("%" not in item.get("html", "") for item in kept[TOP_KEY])
        names = {item["value"] for item in kept[TOP_KEY]}
        assert names == {*work.control.space.values, work.control.space.oos_value} - {""}


def tabs_of(work: ProjectDesk) -> list[Json]:
    return work.desk.client.tabs(work.id)


def titles(work: ProjectDesk) -> list[str]:
    return [tab["data"]["title"] for tab in tabs_of(work)]

"""Of a project that nobody connected nothing stays, and of one that is connected no more than it may."""

from pathlib import Path
from typing import Any

import pytest
import redis

from backend.core.projects import CONTROL_FILE
from backend.labelstudio.wire import CONTROL_LENGTH, LABEL_EVENTS
from tests.golden.record import LABEL_CONFIG
from tests.labelstudio.served import Web
from tests.labelstudio.unserved import UNSERVED

STRANGER = "77.1700000000"
TASKS = [{"id": 1, "data": {"text": "где мой заказ"}}]
EVENTS = [*sorted(LABEL_EVENTS), "TASKS_CREATED", "TASKS_DELETED", "PROJECT_UPDATED", "START_TRAINING"]
PROJECT = {"id": 77, "created_at": "2023-11-14T22:13:20Z"}
CALLS: list[tuple[str, str, dict[str, Any], int]] = [
    ("set up", "/setup", {"project": STRANGER, "schema": LABEL_CONFIG}, 200),
    (
        "set up with a control named at length",
        "/setup",
        {"project": STRANGER, "schema": LABEL_CONFIG, "extra_params": {"control": "x" * 100_000}},
        200,
    ),
    ("set up with a config that is not served", "/setup", {"project": STRANGER, "schema": UNSERVED[0].config}, 200),
    ("predicted", "/predict", {"project": STRANGER, "label_config": LABEL_CONFIG, "tasks": TASKS}, 200),
    ("trained", "/train", {"project": STRANGER}, 400),
    *((event, "/webhook", {"action": event, "project": PROJECT}, 200) for event in EVENTS),
]


def kept(web: Web, queues: redis.Redis) -> dict[str, Any]:
    files = {path: path.stat().st_size for path in Path(web.settings.home).rglob("*") if "sqlite" not in path.name}
    return {"files": files, "keys": sorted(queues.keys("*")), "projects": web.ledger.project_keys()}


@pytest.mark.parametrize(("path", "body", "status"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
def test_of_a_project_that_nobody_connected_nothing_is_kept(
    path: str, body: dict[str, Any], status: int, web: Web, queues: redis.Redis
) -> None:
    before = kept(web, queues)
    assert web.post(path, body).status_code == status
    assert kept(web, queues) == before


def test_a_project_that_is_not_connected_yet_gets_a_version_so_that_it_can_be(web: Web) -> None:
    answer = web.post("/setup", {"project": STRANGER, "schema": LABEL_CONFIG})
    assert answer.get_json()["model_version"].startswith("pl-0-")


def test_the_control_that_a_call_names_counts_for_that_call(web: Web) -> None:
    body = {"project": STRANGER, "schema": LABEL_CONFIG, "extra_params": {"control": "nobody"}}
    assert web.post("/setup", body).get_json() == {"model_version": "pl-unconfigured"}


def test_of_a_control_that_is_named_at_length_a_beginning_is_kept(web: Web) -> None:
    file = web.folder.root / CONTROL_FILE
    try:
        body = {"project": web.project, "schema": LABEL_CONFIG, "extra_params": {"control": "x" * 1_000_000}}
        assert web.post("/setup", body).get_json() == {"model_version": "pl-unconfigured"}
        assert file.stat().st_size == CONTROL_LENGTH + 1
    finally:
        file.unlink()

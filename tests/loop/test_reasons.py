"""Reasons and percents beyond the head of the label stream, against a real Label Studio."""

import pytest

from backend.connection.connect import ConnectOptions, connect
from backend.core.projects import is_blind
from backend.labelstudio.schema import WHY_KEY
from backend.labelstudio.wire import tells
from backend.loop.desk import Desk
from backend.loop.reasons import give
from tests.connection.doctored import LABELS, config_of
from tests.stack import Backend

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
SHARE = 0.5
TEXTS = [f"the {n}. thing, which came late" for n in range(12)]


def test_a_blind_task_that_tells_loses_it_and_only_while_nobody_follows_labels(backend: Backend) -> None:
    with Desk(backend.settings) as desk:
        config = config_of(LABELS).replace("<Choices", '<Header value="$prelabel_why"/><Choices', 1)
        project = desk.client.create_project(title="reasons", label_config=config)
        ids = desk.client.import_tasks(project.id, [{"text": text} for text in TEXTS])
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        key = str(project.key)
        file = desk.loader.folder(key).root / "settings.toml"
        file.write_text(f'language = "en"\nblind_share = {SHARE}\n', encoding="utf-8")
        blind = [task_id for task_id in ids if is_blind(key, task_id, SHARE)]
        assert 0 < len(blind) < len(ids)
        for task in list(desk.client.tasks(project.id)):
            desk.client.patch_task(task.id, {**task.data, WHY_KEY: "praise 99 %"})
        with desk.lease("labels", key):
            assert not give(desk.project(key)), "who follows labels writes the same tasks"
            assert all(tells(task.data) for task in desk.client.tasks(project.id))
        assert give(desk.project(key))
        telling = [task.id for task in desk.client.tasks(project.id) if tells(task.data)]
        assert telling == [task_id for task_id in ids if task_id not in blind]

"""What a `connect` that goes wrong leaves, and what is left to `disconnect` of a project that is gone."""

import pytest

from backend.connection.connect import ConnectOptions, connect, disconnect
from backend.core.errors import LabelStudioError, QueueError
from backend.core.settings import Settings
from backend.loop.desk import Desk
from tests.stack import Backend, free_port

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
CONFIG = """<View><Text name="text" value="$text"/><Choices name="c" toName="text"><Choice value="praise"/></Choices>
</View>"""
OPTIONS = ConnectOptions(language="en")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [("web_url", LabelStudioError), ("redis_url", QueueError)],
    ids=["Label Studio cannot reach us", "the queue is down"],
)
def test_a_first_connect_that_fails_leaves_nothing_behind(backend: Backend, wrong: str, error: type[Exception]) -> None:
    scheme = {"web_url": "http", "redis_url": "redis"}[wrong]
    values = {**backend.settings.model_dump(), wrong: f"{scheme}://127.0.0.1:{free_port()}"}
    with Desk(Settings(**values)) as desk:
        project = desk.client.create_project(title="fails", label_config=CONFIG)
        desk.client.import_tasks(project.id, [{"text": "a fine thing"}])
        before = desk.client.project(project.id)
        with pytest.raises(error):
            connect(desk, before, OPTIONS, lambda _: None)
        assert desk.ledger.project(str(project.key)) is None
        assert not desk.loader.folder(str(project.key)).exists
        assert desk.client.webhooks(project.id) == desk.client.backends(project.id) == []
        after = desk.client.project(project.id)
        assert (after.model_version, after.sampling) == (before.model_version, before.sampling)


def test_a_connect_that_fails_where_the_project_was_connected_leaves_it_connected(backend: Backend) -> None:
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="twice", label_config=CONFIG)
        with backend.web():
            connect(desk, project, OPTIONS, lambda _: None)
        with pytest.raises(LabelStudioError, match="Label Studio must reach"):
            connect(desk, desk.client.project(project.id), OPTIONS, lambda _: None)
        assert desk.ledger.project(str(project.key)) is not None
        assert len(desk.client.backends(project.id)) == 1


def test_a_project_that_was_deleted_in_label_studio_can_be_disconnected(backend: Backend) -> None:
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="gone", label_config=CONFIG)
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        desk.client.delete_project(project.id)
        disconnect(desk, str(project.key), lambda _: None)
        assert desk.ledger.project(str(project.key)) is None

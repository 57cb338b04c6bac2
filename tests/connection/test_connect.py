"""What a `connect` that goes wrong leaves, and what is left to `disconnect` of a project that is gone."""

import pytest

from backend.connection.connect import ConnectOptions, connect, disconnect, planned
from backend.connection.status import project_status
from backend.connection.ties import Change
from backend.core.errors import BadInputError, LabelStudioError, QueueError
from backend.core.settings import Settings
from backend.labelstudio.records import Project
from backend.loop.desk import Desk
from tests.connection.doctored import config_of
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


def test_a_job_that_waited_while_its_project_was_disconnected_may_not_write_to_it(backend: Backend) -> None:
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="left meanwhile", label_config=CONFIG)
        key = str(project.key)
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        with desk.lease("labels", key) as held:
            assert held
        disconnect(desk, key, lambda _: None)
        with desk.lease("labels", key) as held:
            assert not held
        with pytest.raises(BadInputError, match="must be connected"):
            desk.project(key)
        assert desk.ledger.project(key) is None, "looking at it connects nothing"


def test_a_connect_tells_how_many_tasks_are_predicted_and_of_how_many(backend: Backend) -> None:
    told: list[tuple[int, int]] = []
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="told", label_config=CONFIG)
        desk.client.import_tasks(project.id, [{"text": f"a fine thing {n}"} for n in range(3)])
        options = ConnectOptions(language="en", push_only=True)
        connect(desk, desk.client.project(project.id), options, lambda _: None, lambda n, of: told.append((n, of)))
        n, of = told[-1]
        assert 0 < n <= of <= 3, "some may be blind"


UNKNOWN_OPTIONS = [
    ("a language", ConnectOptions(language="xx"), "language must be a code of ISO 639"),
    ("a profile", ConnectOptions(profile="huge"), "profile must be one of"),
    ("an out-of-scope label", ConnectOptions(oos_label="nothing"), "--oos-label must be a choice"),
]


@pytest.mark.parametrize(
    ("options", "message"), [row[1:] for row in UNKNOWN_OPTIONS], ids=[row[0] for row in UNKNOWN_OPTIONS]
)
def test_an_option_that_names_what_does_not_exist_is_refused_and_changes_nothing(
    backend: Backend, options: ConnectOptions, message: str
) -> None:
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="options", label_config=config_of(["praise", "other"]))
        for first in (planned_of, connect_to):
            with pytest.raises(BadInputError, match=message):
                first(desk, project, options)
        assert desk.ledger.project(str(project.key)) is None


def test_options_given_to_a_connected_project_count_and_a_persons_comments_stay(backend: Backend) -> None:
    with Desk(backend.settings) as desk:
        config = config_of(["praise", "complaint", "neither"])
        project = desk.client.create_project(title="options", label_config=config)
        desk.client.import_tasks(project.id, [{"text": "a fine thing"}, {"text": "it broke"}])
        push_only = ConnectOptions(language="en", push_only=True)
        first = connect(desk, project, push_only, lambda _: None)
        folder = desk.loader.folder(str(project.key))
        file = folder.root / "settings.toml"
        edited = '# mine\nblind_share = 0.0\n[renamed]\nold = "praise"\n'
        file.write_text(edited, encoding="utf-8")
        given = ConnectOptions(oos_label="neither", language="mixed", push_only=True)
        told = {change.what: change.after for change in planned_of(desk, desk.client.project(project.id), given)}
        assert (told["setting oos_label"], told["setting language"]) == ("neither", "mixed")
        second = connect(desk, desk.client.project(project.id), given, lambda _: None)
        settings = folder.settings()
        assert (settings.oos_label, settings.language, settings.blind_share) == ("neither", "mixed", 0.0)
        assert settings.renamed == {"old": "praise"}
        assert "# mine" in file.read_text(encoding="utf-8")
        assert second != first, "another language makes another version"
        assert desk.client.project(project.id).model_version == second
        connect(desk, desk.client.project(project.id), ConnectOptions(push_only=True), lambda _: None)
        assert folder.settings() == settings, "what is not given stays"


def test_status_says_what_is_wrong_with_the_way_of_events_and_the_label_config(backend: Backend) -> None:
    with Desk(backend.settings) as desk, backend.web():
        project = desk.client.create_project(title="status", label_config=config_of(["praise", "other"]))
        connect(desk, project, OPTIONS, lambda _: None)
        key = str(project.key)
        assert project_status(desk, key).faults == ()
        for hook in desk.client.webhooks(project.id):
            desk.client.delete_webhook(hook["id"])
        (fault,) = project_status(desk, key).faults
        assert "no webhook" in fault
        assert "prelabel connect" in fault, "with its remedy"
        twice = CONFIG.replace("</View>", '<Choices name="d" toName="text"><Choice value="b"/></Choices></View>')
        desk.client.update_project(project.id, label_config=twice)
        faults = project_status(desk, key).faults
        assert len(faults) == 2
        assert any("extra_params" in fault or "control" in fault for fault in faults)


def planned_of(desk: Desk, project: Project, options: ConnectOptions) -> list[Change]:
    return planned(desk.settings, desk.client, project, options)


def connect_to(desk: Desk, project: Project, options: ConnectOptions) -> str:
    return connect(desk, project, options, lambda _: None)

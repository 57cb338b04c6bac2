import stat
from pathlib import Path

import pytest

from backend.core.errors import BadInputError
from backend.core.settings import load_settings
from backend.supervisor.state import StateFolder, read_status


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    home = tmp_path / "home"
    monkeypatch.setenv("PRELABEL_HOME", str(home))
    made = StateFolder(home)
    made.make()
    return made


def test_secrets_are_made_once_and_only_the_owner_can_read_them(folder: StateFolder) -> None:
    first = folder.complete_settings()
    again = folder.complete_settings()
    assert first == again
    assert len(first.password.get_secret_value()) >= 32
    assert first.password != first.webhook_secret
    assert stat.S_IMODE(folder.env_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.home.stat().st_mode) == 0o700


def test_the_queue_gets_a_port_of_our_own_and_a_password(folder: StateFolder) -> None:
    url = folder.complete_settings().redis_url.get_secret_value()
    assert url.startswith("redis://:")
    assert url.endswith("@127.0.0.1:6390/0")


def test_ports_that_a_person_wrote_into_the_file_stay(folder: StateFolder) -> None:
    folder.env_file.write_text("PRELABEL_WEB_PORT=9191\nPRELABEL_REDIS_URL=redis://127.0.0.1:7001/0\n")
    settings = folder.complete_settings()
    assert settings.web_port == 9191
    assert settings.redis_url.get_secret_value().endswith("@127.0.0.1:7001/0")
    assert ":@" not in settings.redis_url.get_secret_value()


def test_what_the_environment_says_at_the_first_start_is_written_down(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRELABEL_LABEL_STUDIO_URL", "http://127.0.0.1:8181")
    folder.complete_settings()
    monkeypatch.delenv("PRELABEL_LABEL_STUDIO_URL")
    assert load_settings().label_studio_url == "http://127.0.0.1:8181"


def test_a_redis_without_a_password_in_the_environment_is_refused(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRELABEL_REDIS_URL", "redis://127.0.0.1:7001/0")
    with pytest.raises(BadInputError, match="must hold a password"):
        folder.complete_settings()


@pytest.mark.parametrize(
    "value", ["plain", "with space", "it's", 'a "quote"', "hash # tag", "back\\slash", "$HOME", "пароль"]
)
def test_any_password_is_read_back_as_it_was_written(folder: StateFolder, value: str) -> None:
    folder.remember({"PRELABEL_LABEL_STUDIO_PASSWORD": value})
    assert folder.recall()["PRELABEL_LABEL_STUDIO_PASSWORD"] == value
    assert load_settings().label_studio_password.get_secret_value() == value


def test_starting_over_keeps_models_and_ports_and_forgets_projects_and_the_token(folder: StateFolder) -> None:
    folder.env_file.write_text("PRELABEL_WEB_PORT=9191\nPRELABEL_LABEL_STUDIO_TOKEN=old\n")
    for path in ("models/a/weights", "projects/1-2/current", "label-studio/db", "prelabel.sqlite3"):
        (folder.home / path).parent.mkdir(parents=True, exist_ok=True)
        (folder.home / path).write_text("x")
    with folder.only_supervisor():
        folder.start_over()
        with pytest.raises(BadInputError, match="one supervisor"), folder.only_supervisor():
            pass
    left = {path.relative_to(folder.home).as_posix() for path in folder.home.rglob("*") if path.is_file()}
    assert left - {"run/supervisor.lock"} == {"models/a/weights", "prelabel.env"}
    assert folder.recall() == {"PRELABEL_WEB_PORT": "9191"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'], ids=["empty", "torn", "a list", "another format"])
def test_a_status_file_that_cannot_be_read_is_no_status(folder: StateFolder, text: str) -> None:
    folder.status_file.write_text(text)
    assert read_status(folder.home) is None

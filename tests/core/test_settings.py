"""Settings come from the environment over the state folder's file, and keep their secrets."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from backend.core.settings import Settings, load_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PRELABEL_WEB_PORT", "PRELABEL_PASSWORD", "PRELABEL_WEB_URL", "PRELABEL_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path))
    return tmp_path


def test_the_environment_wins_over_the_state_folders_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "prelabel.env").write_text("PRELABEL_WEB_PORT=9191\nPRELABEL_PASSWORD=from-file\n", encoding="utf-8")
    monkeypatch.setenv("PRELABEL_WEB_PORT", "9292")
    settings = load_settings()
    assert (settings.web_port, settings.password.get_secret_value()) == (9292, "from-file")
    assert settings.backend_url == "http://127.0.0.1:9292"


def test_the_state_lies_under_one_absolute_folder(home: Path) -> None:
    settings = load_settings()
    assert settings.home == home
    assert settings.models_dir == home / "models"
    assert settings.sqlalchemy_url == f"sqlite:///{home}/prelabel.sqlite3"


def test_a_port_that_is_none_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRELABEL_WEB_PORT", "99999")
    with pytest.raises(ValidationError, match="web_port"):
        load_settings()


def test_secrets_do_not_show_when_settings_are_printed(tmp_path: Path) -> None:
    secrets = dict.fromkeys(("password", "webhook_secret", "label_studio_token", "redis_url"), "s3cret")
    assert "s3cret" not in repr(Settings(home=tmp_path, **secrets))  # type: ignore[arg-type]

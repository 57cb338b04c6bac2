"""Settings come from the environment over the state folder's file, and keep their secrets."""

from pathlib import Path

import certifi
import pytest
from pydantic import SecretStr, ValidationError

from backend.core.errors import BadInputError
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
    names = ("password", "webhook_secret", "label_studio_token", "redis_url", "proxy", "index_url")
    secrets = dict.fromkeys(names, "s3cret")
    assert "s3cret" not in repr(Settings(home=tmp_path, **secrets))  # type: ignore[arg-type]


OURS, THEIRS = "http://me:s3cret@proxy:3128", "http://environment:3128"


@pytest.mark.parametrize(
    ("case", "ours", "url", "used"),
    [
        ("the setting is used", OURS, "https://labels.example/x", OURS),
        ("and wins over the environment", OURS, "http://labels.example", OURS),
        ("the environment's, where there is no setting", "", "http://labels.example", THEIRS),
        ("of its scheme alone", "", "https://labels.example", ""),
        ("not what NO_PROXY names", OURS, "https://inside.example:8443/labels", ""),
        ("not this machine by address", OURS, "http://127.0.0.2:8080", ""),
        ("not this machine by its IPv6 address", OURS, "http://[::1]:8080", ""),
        ("not this machine by name", OURS, "http://localhost:8080", ""),
    ],
)
def test_which_calls_go_through_a_proxy(
    case: str, ours: str, url: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", THEIRS)
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert Settings(proxy=SecretStr(ours)).proxy_for(url) == used


def test_a_proxy_of_another_kind_is_refused_without_its_password() -> None:
    with pytest.raises(BadInputError, match="PRELABEL_PROXY must be http://HOST:PORT, was 'socks5://proxy:1'"):
        Settings(proxy=SecretStr("socks5://me:s3cret@proxy:1")).proxy_for("http://labels.example")


def test_the_authorities_are_the_settings_else_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_in = certifi.where()
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    assert Settings().authorities == built_in
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/somewhere.pem")
    assert Settings().authorities == "/etc/somewhere.pem"
    assert Settings(ca_bundle=built_in).authorities == built_in


def test_pip_is_told_by_its_environment_and_nothing_where_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().pip_environment == {}
    monkeypatch.setenv("NO_PROXY", "inside.example")
    monkeypatch.delenv("no_proxy", raising=False)
    told = Settings(index_url=SecretStr("https://a:b@pypi.example/simple"), proxy=SecretStr(OURS)).pip_environment
    assert told["PIP_INDEX_URL"] == "https://a:b@pypi.example/simple"
    assert {told[name] for name in ("HTTP_PROXY", "https_proxy")} == {OURS}
    assert told["no_proxy"] == "inside.example,127.0.0.1,localhost,::1"
    assert "PIP_CERT" not in told

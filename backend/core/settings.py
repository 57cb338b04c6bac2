"""Where prelabel is told what it is: environment and the state folder's own file, nothing else.

Every setting has the environment variable PRELABEL_<NAME>; `$PRELABEL_HOME/prelabel.env` holds the same names
(written 0600 by `prelabel up`), and the environment wins.
"""

import os
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_HOME = Path(".prelabel")
ENV_FILE = "prelabel.env"


class Settings(BaseSettings):
    """One process's settings. Secrets are `SecretStr`: they never appear in a log or a traceback."""

    model_config = SettingsConfigDict(env_prefix="PRELABEL_", extra="ignore", frozen=True)

    home: Path = DEFAULT_HOME
    profile: str = "embedded"

    web_host: str = "127.0.0.1"
    web_port: int = Field(default=9090, ge=1, le=65535)
    web_url: str = ""  # as Label Studio reaches us; empty: http://<web_host>:<web_port>
    user: str = "prelabel"  # basic auth towards us
    password: SecretStr = SecretStr("")
    webhook_secret: SecretStr = SecretStr("")

    label_studio_url: str = "http://127.0.0.1:8080"
    label_studio_token: SecretStr = SecretStr("")  # personal access token, or a legacy token where those are on
    label_studio_email: str = "prelabel@example.com"
    label_studio_password: SecretStr = SecretStr("")  # for `up` only: the account it makes
    label_studio_bin: str = ""  # for `up` only: a label-studio executable; empty: an environment that `up` makes

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")  # may hold a password
    database_url: SecretStr = SecretStr("")  # empty: SQLite in the state folder

    hub_url: str = "https://huggingface.co"  # for `models fetch` only: the model hub, or a mirror of it
    hub_token: SecretStr = SecretStr("")  # for `models fetch` only: where a hub asks who has accepted its terms

    log_level: str = "INFO"
    max_request_mb: int = Field(default=200, ge=1)  # a bulk retrieve of 100,000 tasks is about 160 MB

    @property
    def backend_url(self) -> str:
        return self.web_url or f"http://{self.web_host}:{self.web_port}"

    @property
    def sqlalchemy_url(self) -> str:
        return self.database_url.get_secret_value() or f"sqlite:///{(self.home / 'prelabel.sqlite3').absolute()}"

    @property
    def models_dir(self) -> Path:
        return self.home / "models"

    @property
    def projects_dir(self) -> Path:
        return self.home / "projects"


def load_settings() -> Settings:
    """Settings of this process: environment over the state folder's file over defaults."""
    home = Path(os.environ.get("PRELABEL_HOME", DEFAULT_HOME)).absolute()
    return Settings(_env_file=home / ENV_FILE, home=home)

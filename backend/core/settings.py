"""Where prelabel is told what it is: environment and the state folder's own file, nothing else.

Every setting has the environment variable PRELABEL_<NAME>; `$PRELABEL_HOME/prelabel.env` holds the same names
(written 0600 by `prelabel up`), and the environment wins.
"""

import os
import ssl
import urllib.request
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import certifi
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.core.errors import BadInputError
from backend.core.package_index import is_loopback, pip_environment, without_credentials
from backend.core.weighing import machine

DEFAULT_HOME = Path(".prelabel")
ENV_FILE = "prelabel.env"
MEMORY_SHARE = 0.25  # web, trainer and worker hold models, each with a budget of its own; the rest is Label Studio's
CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")  # what other programs call PRELABEL_CA_BUNDLE


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

    models: str = ""  # the folder of fetched weights; empty: `models` in the state folder
    memory_mb: int = Field(default=0, ge=0)  # for models and projects, a process; 0: MEMORY_SHARE of the machine's

    vector_index: Literal["faiss", "chroma"] = "faiss"  # who finds the nearest examples; both find the same ones
    chroma_url: SecretStr = SecretStr("")  # for "chroma": its server; empty: a Chroma inside each process

    hub_url: str = "https://huggingface.co"  # for `models fetch` only: the model hub, or a mirror of it
    hub_token: SecretStr = SecretStr("")  # for `models fetch` only: where a hub asks who has accepted its terms
    llm_api_key: SecretStr = SecretStr("")  # for language models on servers that ask for one
    ca_bundle: str = ""  # PEM file: the authorities to trust, in place of the environment's or the built-in ones
    proxy: SecretStr = SecretStr("")  # of all calls but those to this machine and to NO_PROXY; may hold a password
    index_url: SecretStr = SecretStr("")  # package index, also of the models that are packages; may hold a password

    log_level: str = "INFO"
    max_request_mb: int = Field(default=200, ge=1)  # a bulk retrieve of 100,000 tasks is about 160 MB

    @property
    def backend_url(self) -> str:
        return self.web_url or f"http://{self.web_host}:{self.web_port}"

    def require_secrets(self) -> None:
        """Raises BadInputError where no password or no webhook secret is set: everything would be open, or nothing."""
        if not self.password.get_secret_value() or not self.webhook_secret.get_secret_value():
            raise BadInputError("PRELABEL_PASSWORD and PRELABEL_WEBHOOK_SECRET must be set, are empty")

    @property
    def sqlalchemy_url(self) -> str:
        return self.database_url.get_secret_value() or f"sqlite:///{(self.home / 'prelabel.sqlite3').absolute()}"

    @property
    def authorities(self) -> str:
        """The PEM file of certificate authorities to trust.

        Raises:
            BadInputError: the settings name one that is none.
        """
        if not self.ca_bundle:
            return next(filter(None, map(os.environ.get, CA_VARIABLES)), None) or certifi.where()
        try:
            ssl.create_default_context(cafile=self.ca_bundle)
        except OSError as err:
            raise BadInputError(
                f"PRELABEL_CA_BUNDLE must name a PEM file of certificate authorities, was {self.ca_bundle!r} "
                f"({err.strerror or type(err).__name__}); correct the path, or unset it"
            ) from err
        return self.ca_bundle

    def proxy_for(self, url: str) -> str:
        """The proxy of calls to a URL; empty where it is called directly, as this machine always is.

        Raises:
            BadInputError: it is not a URL of an HTTP proxy.
        """
        parts = urlsplit(url)
        if is_loopback(parts.hostname or "") or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
            return ""
        proxy = self.proxy.get_secret_value() or urllib.request.getproxies().get(parts.scheme, "")
        if proxy and urlsplit(proxy).scheme not in ("http", "https"):
            shown = without_credentials(proxy)
            raise BadInputError(f"PRELABEL_PROXY must be http://HOST:PORT, was {shown!r}; correct it, or unset it")
        return proxy

    @property
    def pip_environment(self) -> dict[str, str]:
        """What pip is told over its environment: a command line would show passwords."""
        return pip_environment(
            index_url=self.index_url.get_secret_value(), ca_bundle=self.ca_bundle, proxy=self.proxy.get_secret_value()
        )

    @property
    def memory_bytes(self) -> int:
        """What one process may keep loaded."""
        return self.memory_mb * 1024 * 1024 or int(machine() * MEMORY_SHARE)

    @property
    def env_file(self) -> Path:
        return self.home / ENV_FILE

    @property
    def queue_config(self) -> Path:
        """The config file of the queue's server where prelabel runs it; holds its password."""
        return self.home / "run" / "valkey.conf"

    @property
    def models_dir(self) -> Path:
        return Path(self.models) if self.models else self.home / "models"

    @property
    def projects_dir(self) -> Path:
        return self.home / "projects"


def load_state_settings() -> Settings:
    """Settings of a state that is there: for commands that read or change one, and never begin one.

    Raises:
        BadInputError: there is no state folder.
    """
    settings = load_settings()
    if not settings.home.is_dir() and not settings.database_url.get_secret_value():
        raise BadInputError(
            f"the state must lie in {settings.home}, where nothing is; run the command in the folder where prelabel "
            "was started, or name the state's folder: prelabel --home FOLDER ..., or PRELABEL_HOME"
        )
    return settings


def load_settings() -> Settings:
    """Settings of this process: environment over the state folder's file over defaults."""
    home = Path(os.environ.get("PRELABEL_HOME", DEFAULT_HOME)).absolute()
    return Settings(_env_file=home / ENV_FILE, home=home)

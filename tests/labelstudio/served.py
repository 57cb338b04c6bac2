"""prelabel's web application over a state folder with one project that serves, as a worker would have left it.

The project's language is Russian, whose embedder is an installed package: nothing has to be fetched.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from backend.app import create_app
from backend.assembly import Assembly
from backend.core.artefacts import cold_version, write_atomically
from backend.core.projects import SETTINGS_FILE, ProjectFolder, ProjectSettings, config_hash, project_folder
from backend.core.settings import Settings
from backend.health.watch import Watch
from backend.labelstudio.schema import label_space
from backend.ledger import Ledger, open_ledger
from tests.stack import wait_for
from training.run import TrainingOptions, train

USER, PASSWORD, SECRET = "prelabel", "password-of-tests", "webhook-secret-of-tests"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
PROFILE = "embedded"


@dataclass(frozen=True, slots=True)
class Web:
    """The application, its one project, and what it stands on."""

    settings: Settings
    app: Flask
    ledger: Ledger
    key: str
    label_config: str

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def post(self, path: str, body: object) -> TestResponse:
        """A call with the right credentials."""
        return self.client.post(path, json=body, headers={"Authorization": BASIC})

    @property
    def watch(self) -> Watch:
        """What looks for /health and /metrics; a test that cannot wait for the next look asks for one."""
        watch: Watch = self.app.extensions["watch"]
        return watch

    def close(self) -> None:
        self.watch.stop()
        self.ledger.engine.dispose()

    @property
    def folder(self) -> ProjectFolder:
        return project_folder(self.settings.projects_dir, self.key)

    @property
    def project(self) -> str:
        """The project as Label Studio names it."""
        return self.key.replace("-", ".")

    def serves(self) -> str:
        """The version that answers for the project now; empty while none does."""
        self.post("/setup", {"project": self.project, "schema": self.label_config})  # asked, it looks for a newer one
        state: dict[str, Any] = self.client.get("/health", headers={"Authorization": BASIC}).get_json()
        return str(state["versions"].get(self.key, ""))


def settings_for(home: Path, redis_url: str) -> Settings:
    return Settings(
        home=home,
        user=USER,
        password=SecretStr(PASSWORD),
        webhook_secret=SecretStr(SECRET),
        redis_url=SecretStr(redis_url),
        log_level="DEBUG",
        max_request_mb=20,
    )


def made_for(label_config: str) -> str:
    """The hash of a config in a project with no settings of its own."""
    return config_hash(label_config, ProjectSettings(), ())


def publish(settings: Settings, key: str, label_config: str, *, version: str = "") -> str:
    """Publish a version that knows label names and hints only, and make it current."""
    version = version or cold_version(made_for(label_config), PROFILE)
    folder = project_folder(settings.projects_dir, key)
    options = TrainingOptions(language="ru", profile=PROFILE, version=version, config_hash=made_for(label_config))
    train([], label_space(label_config), out=folder.artefact(version), options=options, assembly=Assembly(settings))
    folder.switch(version)
    return version


def serve(settings: Settings, key: str, label_config: str) -> Web:
    """The application with one connected project, once it answers for it."""
    ledger = open_ledger(settings)
    ledger.add_project(key)
    ledger.update_project(key, config_hash=made_for(label_config))
    write_atomically(settings.projects_dir / key / SETTINGS_FILE, "blind_share = 0\n")
    version = publish(settings, key, label_config)
    web = Web(settings, create_app(settings), ledger, key, label_config)
    wait_for(lambda: web.serves() == version)
    web.watch.look()
    return web

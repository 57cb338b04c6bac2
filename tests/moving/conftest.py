"""A project of its own for each test, in the session's Label Studio."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.core.settings import Settings
from backend.labelstudio.client import open_client
from tests.moving.playground import CONFIG, Playground
from tests.stack import RunningLabelStudio


@pytest.fixture
def playground(label_studio: RunningLabelStudio, tmp_path: Path) -> Iterator[Playground]:
    settings = Settings(label_studio_url=label_studio.url, label_studio_token=SecretStr(label_studio.token))
    with closing(open_client(settings)) as client:
        project = client.create_project(title=f"moving {tmp_path.name}", label_config=CONFIG)
        yield Playground(tmp_path / "home", label_studio, client, project.id)
        client.delete_project(project.id)

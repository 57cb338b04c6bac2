"""`prelabel begin` does once what a person would do first, and leaves alone what became of it."""

import json
from contextlib import closing

import pytest

from backend.labelstudio.client import open_client
from tests.stack import Backend

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]


def begin(backend: Backend) -> list[int]:
    done = backend.command("begin", "--title", "the first one", "--json")
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout)["projects"])


def test_a_new_stack_has_a_connected_project_once_and_for_ever(backend: Backend) -> None:
    with backend.web(), closing(open_client(backend.settings)) as client:
        (made,) = begin(backend)
        assert [webhook["url"] for webhook in client.webhooks(made)] == [f"{backend.settings.backend_url}/webhook"]
        client.delete_project(made)
        assert begin(backend) == [made]
        assert [project for project in client.projects() if project.title == "the first one"] == []


def test_what_was_interrupted_goes_on_with_the_same_project(backend: Backend) -> None:
    with backend.web(), closing(open_client(backend.settings)) as client:
        (made,) = begin(backend)
        (backend.home / "run" / "begun").unlink()  # as if it had been killed before the end
        assert begin(backend) == [made]
        assert len([project for project in client.projects() if project.title == "the first one"]) == 1
        client.delete_project(made)

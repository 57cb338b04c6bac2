"""The settings file that `connect` writes names everything that a project may decide, with its default."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from backend.connection.settings_file import write_project_settings
from backend.core.projects import ProjectFolder, ProjectSettings

NAMES = [field.name for field in fields(ProjectSettings)]


@pytest.fixture
def folder(tmp_path: Path) -> ProjectFolder:
    written = ProjectFolder(tmp_path / "1-1")
    write_project_settings(written)
    return written


@pytest.mark.parametrize("name", NAMES)
def test_each_setting_stands_in_the_file_with_its_meaning(name: str, folder: ProjectFolder) -> None:
    text = (folder.root / "settings.toml").read_text(encoding="utf-8")
    assert re.search(rf"^({name} = \S+|# \[{name}\]) +# \S.+", text, re.MULTILINE)


def test_the_file_as_it_is_written_means_the_defaults(folder: ProjectFolder) -> None:
    assert folder.settings() == ProjectSettings()


def test_its_examples_are_right_as_they_stand(folder: ProjectFolder) -> None:
    path = folder.root / "settings.toml"
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([head, *(line.removeprefix("# ") for line in lines)]), encoding="utf-8")
    settings = folder.settings()
    assert settings.keywords == {"cancel_order": ["cancel*", "call off"]}
    assert settings.renamed == {"refund": "money_back"}

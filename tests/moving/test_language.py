"""The language of a project, with which an import compares its texts."""

from pathlib import Path

from backend.core.projects import ProjectFolder, ProjectSettings
from backend.moving.language import language_of_project


def test_the_language_is_the_one_that_is_set_or_none_where_nothing_was_learnt(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path)
    assert language_of_project(folder, ProjectSettings(language="ru")) == "ru"
    assert language_of_project(folder, ProjectSettings()) == ""

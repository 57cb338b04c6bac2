"""A file in another language than the project: said, as it may be the wrong file."""

from pathlib import Path

import pytest

from backend.core.projects import ProjectFolder, ProjectSettings
from backend.moving.language import language_note, language_of_project
from backend.rows.reading import FileSource

RU, EN = "где моя посылка", "where is my parcel"
CASES = [
    ("another language", RU, "text", "en", "the texts look Russian, the project's model learnt English ones"),
    ("the other way round", EN, "text", "ru", "the texts look English, the project's model learnt Russian ones"),
    ("the same", RU, "text", "ru", ""),
    ("a project that knows both", RU, "text", "mixed", ""),
    ("a project that knows none yet", RU, "text", "", ""),
    ("no such column", RU, "body", "en", "the texts look Russian"),
    ("no texts", "", "text", "ru", ""),
]


@pytest.mark.parametrize(
    ("text", "column", "language", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_another_language_is_said(tmp_path: Path, text: str, column: str, language: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(f"id,text\n1,{text}\n2,{text}\n", encoding="utf-8")
    note = language_note(FileSource(tmp_path / "a.csv"), column, language)
    assert note.startswith(said)
    assert bool(note) == bool(said)


def test_the_language_is_the_one_that_is_set_or_none_where_nothing_was_learnt(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path)
    assert language_of_project(folder, ProjectSettings(language="ru")) == "ru"
    assert language_of_project(folder, ProjectSettings()) == ""

"""What came in, written by an export and read again, is the same row: every format, every value that people have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from backend.core.projects import ProjectSettings
from backend.labelstudio.records import Json, task_of
from backend.labelstudio.schema import Control, read_config
from backend.moving.exported import TaskRows
from backend.moving.rows import Row, RowReader
from backend.rows.names import Names
from backend.rows.reading import FileSource
from backend.rows.records import Reject, RowsSource
from backend.rows.writing import Kind, kind_of, writing_table
from tests.moving.playground import CONFIG

FORMATS = ["out.csv", "out.tsv", "out.jsonl", "out.parquet"]
CASES: list[tuple[str, list[Json], Names]] = [
    ("line ends", [{"text": "a\rb"}, {"text": "a\nb"}, {"text": "a\r\nb"}], Names()),
    ("quotes and delimiters", [{"text": 'say "hi", \'you\';\ttab'}, {"text": '"'}, {"text": '""'}], Names()),
    ("formulas", [{"text": sign + "1+1"} for sign in "=+-@\t|%"], Names()),
    ("blanks", [{"text": text} for text in (" tea ", "tea\u00a0", "\u2003tea\u200b", "tea\u2028x")], Names()),
    ("other scripts", [{"text": text} for text in ("\U0001f469\u200d\U0001f52c", "\u202eabc", "שלום")], Names()),
    ("backslashes", [{"text": "C:\\new\\table"}, {"text": "\\"}, {"text": "\\N"}, {"text": 'a\\"b'}], Names()),
    ("words for nothing", [{"text": word, "note": word} for word in ("NA", "null", "None", "nan", "-")], Names()),
    ("numbers", [{"text": 5}, {"text": 1.5}, {"text": "007"}, {"text": "1e5"}, {"text": "x", "n": 2**70}], Names()),
    ("other kinds", [{"text": "x", "flag": True, "n": 0, "f": 0.1, "none": None, "empty": ""}], Names()),
    ("nested", [{"text": "x", "tags": ["a", {"b": None}], "of": {"c": {"d": [1, 2.5]}}, "e": [], "g": {}}], Names()),
    ("very long", [{"text": "tea " * 100_000, "note": "x" * 200_000}], Names()),
    ("equal rows", [{"text": "tea"}, {"text": "tea"}, {"text": "tea", "note": "x"}], Names()),
    ("columns of ours", [{"text": "x", "label": "yes", "confidence": "high", "imported_label": "z"}], Names()),
    ("part and split", [{"text": "x", "export_split": "mine", "split": "theirs", "changed": "a"}], Names()),
    ("a key of ours", [{"text": "x", "label": "yes", "prelabel_why": "mine"}], Names()),
    ("another column is the text", [{"text": "note", "body": "tea"}], Names(text="body")),
    ("a column is set aside twice", [{"text": "a", "imported_text": "b", "body": "tea"}], Names(text="body")),
    ("the text stands in a column of ours", [{"text": "yes", "label": "tea"}], Names(text="label", label="text")),
    ("a column in another script", [{"Текст": "чай", "Метка": "yes"}], Names(text="Текст", label="Метка")),
    ("blanks around names", [{" text": "tea", "label ": "yes"}], Names()),
    ("ids", [{"id": "1", "text": "tea"}, {"id": 7, "text": "milk"}, {"id": 1.0, "ID": "b", "text": "x"}], Names()),
    ("ids that tell nothing", [{"id": "1", "text": "tea"}, {"id": "1", "text": "milk"}], Names(no_id=True)),
    ("ids with a prefix", [{"id": "1", "text": "tea"}, {"id": "", "text": "milk"}], Names(id_prefix="w2-")),
    ("ids in another column", [{"id": "1", "text": "tea", "key": "k1"}], Names(id="key")),
]  # fmt: skip


def read(source: FileSource | RowsSource, names: Names) -> list[Row | Reject]:
    control = read_config(CONFIG)
    assert isinstance(control, Control)
    seen: dict[str, int] = {}

    def occurrence(digest: str) -> int:
        seen[digest] = seen.get(digest, 0) + 1
        return seen[digest]

    reader = RowReader(control, names, occurrence)
    return [reader.read(record) for record in source.records()]


def exported(rows: Sequence[Row], path: Path) -> None:
    """Write rows as `prelabel export --what tasks` does for the tasks that they became."""
    control = read_config(CONFIG)
    assert isinstance(control, Control)
    made = TaskRows("tasks", control, ProjectSettings(), "", own_keys=False)
    tasks = [task_of({"id": n, "data": row.data}) for n, row in enumerate(rows, start=1)]
    out = [row for task in tasks for row in made.of(task, {})]
    columns: dict[str, Kind] = {}
    for row in out:
        columns |= {name: kind_of(value, columns.get(name, "none")) for name, value in row.items()}
    with writing_table(path, columns) as write:
        for row in out:
            write(row)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("given", "names"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_row_that_went_out_comes_back_equal(
    tmp_path: Path, name: str, given: list[dict[str, Any]], names: Names
) -> None:
    rows = [row for row in read(RowsSource(given), names) if isinstance(row, Row)]
    assert len(rows) == len(given)
    exported(rows, tmp_path / name)
    back = read(FileSource(tmp_path / name), Names())
    assert [(row.identity, row.fingerprint) if isinstance(row, Row) else row for row in back] == [
        (row.identity, row.fingerprint) for row in rows
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_columns_come_out_under_the_names_that_they_had(tmp_path: Path, name: str) -> None:
    given = {"Текст": "чай", "text": "note", "imported_text": "old", "confidence": "high"}
    rows = [row for row in read(RowsSource([given]), Names(text="Текст")) if isinstance(row, Row)]
    assert rows[0].data["text"] == "чай"
    exported(rows, tmp_path / name)
    (record,) = FileSource(tmp_path / name).records()
    assert {key: record.columns[key] for key in ("Текст", "text", "imported_text")} == {
        key: given[key] for key in ("Текст", "text", "imported_text")
    }
    assert record.columns["imported_confidence"] == "high"

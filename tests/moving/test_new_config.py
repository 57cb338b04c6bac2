"""The label config of a new project: which rows' labels it has, and what is said of labels that look mistyped."""

from pathlib import Path

import pytest

from backend.core.errors import BadInputError
from backend.labelstudio.schema import label_space
from backend.moving.new_config import config_of
from backend.moving.rare_labels import rare_labels
from backend.rows.names import Names
from backend.rows.reading import FileSource

RARE = [
    ("one letter wrong", {"refund": 9, "rufund": 1}, ['"rufund" (1 row) is nearly "refund" (9 rows)']),
    ("a letter missing", {"доставка": 9, "достака": 2}, ['"достака" (2 rows) is nearly "доставка" (9 rows)']),
    ("two letters changed places", {"delivery": 5, "deilvery": 1}, ['"deilvery" (1 row) is nearly "delivery"']),
    ("often", {"late": 90, "lates": 40}, []),
    ("as rare as the other", {"refund": 1, "rufund": 1}, []),
    ("another word", {"refund": 9, "delivery": 1}, []),
    ("a series", {"class 1": 9, "class 2": 1}, []),
]


@pytest.mark.parametrize(("rows", "told"), [row[1:] for row in RARE], ids=[row[0] for row in RARE])
def test_a_rare_label_that_is_nearly_a_frequent_one_is_told(rows: dict[str, int], told: list[str]) -> None:
    found = rare_labels(rows)
    assert len(found) == len(told)
    assert all(line.startswith(start) for line, start in zip(found, told, strict=True))


def config_for(tmp_path: Path, content: str, names: Names, told: list[str]) -> str:
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="utf-8")
    return config_of(FileSource(path), names, told.append)


def test_rows_that_cannot_come_in_give_no_label(tmp_path: Path) -> None:
    rows = "id,text,label\n1,tea,yes\n2,milk,no\n3,,empty\n1,beer,doubled\n4,cut\n5,\0,nul\n"
    assert set(label_space(config_for(tmp_path, rows, Names(), [])).values) == {"yes", "no"}


def test_a_typing_error_is_told_before_the_project_is_made(tmp_path: Path) -> None:
    told: list[str] = []
    rows = "text,label\n" + "".join(f"text {n},{'refund' if n else 'rufund'}\n" for n in range(5))
    config_for(tmp_path, rows, Names(), told)
    assert told == ['"rufund" (1 row) is nearly "refund" (4 rows): correct the rows if it is a typing error']


KEYS = [
    ("usual", "text,label", Names(), "$text"),
    ("named", "body,label", Names(text="body"), "$body"),
    ("a script that the editor cannot read", "Текст,label", Names(text="Текст"), "$text"),
    ("blanks", "my text,label", Names(text="my text"), "$text"),
    ("a header with a blank", "text, label", Names(), "$text"),
]


@pytest.mark.parametrize(("header", "names", "key"), [row[1:] for row in KEYS], ids=[row[0] for row in KEYS])
def test_the_key_of_the_text_is_one_that_the_editor_shows(tmp_path: Path, header: str, names: Names, key: str) -> None:
    xml = config_for(tmp_path, f"{header}\ntea,yes\nmilk,no\n", names, [])
    assert f'value="{key}"' in xml
    assert set(label_space(xml).values) == {"yes", "no"}


def test_a_file_whose_text_is_not_found_makes_no_config(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="must have the column 'text', have body, label"):
        config_for(tmp_path, "body,label\ntea,yes\n", Names(), [])


def test_a_file_of_lists_as_labels_says_that_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "tea", "label": ["yes", "no"]}\n', encoding="utf-8")
    with pytest.raises(BadInputError, match="row 1: a label must be one value, was a list of 2"):
        config_of(FileSource(path), Names(), print)

"""Files of texts with labels: which rows are texts, which are left out and why, and which files are refused."""

import gzip
import json
from pathlib import Path

import pytest

from backend.core.errors import BadInputError
from backend.rows.names import Names
from backend.rows.records import Reject
from backend.rows.texts import Reading, Row, TextFile, read_labelled, read_list, read_rows


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def read(path: Path, reading: Reading = Reading()) -> tuple[list[Row], list[Reject], list[str]]:  # noqa: B008
    """The rows, those that are left out, and what was said."""
    rejects: list[Reject] = []
    said: list[str] = []
    return list(TextFile(path, reading, True, rejects.append, said.append).rows()), rejects, said


TEXTS = [("tea, hot", "a", "x"), ("coffee", "b", "y")]
ROWS = [{"text": text, "label": label, "note": note} for text, label, note in TEXTS]
FORMATS = [
    ("a.csv", b'text,label,note\n"tea, hot",a,x\ncoffee,b,y\n'),
    ("a.tsv", b"text\tlabel\tnote\ntea, hot\ta\tx\ncoffee\tb\ty\n"),
    ("a.jsonl", "\n\n".join(map(json.dumps, ROWS)).encode()),
    ("a.json", json.dumps(ROWS).encode()),
    ("a.json.gz", gzip.compress(json.dumps(ROWS).encode())),
    ("utf16.csv", 'text,label,note\r\n"tea, hot",a,x\r\ncoffee,b,y\r\n'.encode("utf-16")),
]


@pytest.mark.parametrize(("name", "content"), FORMATS, ids=[name for name, _ in FORMATS])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    rows, rejects, _ = read(tmp_path / name)
    assert [(row.text, row.label, row.columns["note"]) for row in rows] == TEXTS
    assert rejects == []


def test_a_row_is_its_id_or_its_text_and_occurrence(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,text\n7,tea\n,tea\n,tea\n,coffee\n")
    ids = [row.id for row in read_rows(path)]
    assert ids[0] == "7"
    assert [id_[-2:] for id_ in ids[1:]] == ["-1", "-2", "-1"]
    assert len(set(ids)) == 4


def test_where_takes_some_rows_and_leaves_identities_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,split\ntea,test\ntea,train\n")
    everything = [row.id for row in read_rows(path)]
    assert [row.id for row in read_rows(path, where="split=train")] == everything[1:]


def test_columns_are_named_or_found_by_how_they_look_and_that_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "body, label \ntea, hot \n")
    rows, _, said = read(path, Reading(names=Names(text="body")))
    assert [(row.text, row.label) for row in rows] == [("tea", "hot")]
    assert said == ["the column ' label ' is taken for 'label'"]


LEFT_OUT = [
    ("null", '{"text": null, "label": "a"}', "text must hold a character, is empty"),
    ("blank", '{"text": " ", "label": "a"}', "text must hold a character, is empty"),
    ("a list as text", '{"text": ["a"], "label": "a"}', "text must be a string, was of type list"),
    ("a list as label", '{"text": "tea", "label": ["a", "b"]}', "a label must be one value, was a list of 2"),
    ("no text", '{"label": "a"}', "must have the column 'text'; add it"),
    ("no JSON", '{"text": ', "line 2: must be a JSON object, but is no JSON: Expecting value at character 11"),
    ("no object", "[1]", "must be a JSON object, was of type list"),
    ("a name twice", '{"text": "a", "text": "b"}', "the names of an object must differ, one stands twice"),
    ("a number of 5,000 digits", '{"text": "a", "n": ' + "9" * 5000 + "}", "at most 4300 digits"),
    ("half a character", '{"text": "\\ud800"}', "must be UTF-8"),
]


@pytest.mark.parametrize(("line", "reason"), [case[1:] for case in LEFT_OUT], ids=[case[0] for case in LEFT_OUT])
def test_a_row_that_is_no_text_is_left_out_with_its_reason_and_the_others_are_read(
    tmp_path: Path, line: str, reason: str
) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"text": "tea", "label": "a"}}\n{line}\n{{"text": 5, "label": 1.0}}\n')
    rows, rejects, _ = read(path)
    assert [(row.text, row.label) for row in rows] == [("tea", "a"), ("5", "1")]
    assert [(reject.number, reason in reject.reason) for reject in rejects] == [(2, True)], rejects


def test_what_is_no_number_is_missing_in_every_format(tmp_path: Path) -> None:
    line = '{"text": "tea", "label": "a", "score": [NaN, Infinity, -Infinity, 1e999, 0.5]}'
    for name, content in (("a.jsonl", line), ("a.json", f"[{line}]")):
        rows, _, _ = read(write(tmp_path / name, content))
        assert rows[0].columns["score"] == [None, None, None, None, 0.5]


REFUSED = [
    ("missing column", "a.csv", "txt,label\ntea,a\n", "", "must have the column 'text', have txt, label; name it"),
    ("no label", "a.csv", "text\ntea\n", "", "must have the column 'label'"),
    ("a column twice", "a.csv", "text,label,label\ntea,a,b\n", "", "must differ, some stand twice: label; rename"),
    ("where column", "a.csv", "text,label\ntea,a\n", "split=train", "must have the column 'split'"),
    ("where form", "a.csv", "text,label\ntea,a\n", "split", "must be column=value"),
    ("empty", "a.csv", "", "", "at least one row"),
    ("header only", "a.jsonl", "\n", "", "at least one row"),
    ("no rows in JSON", "a.json", "5", "", "must be JSON, but begins with '5'; write a list of objects"),
    ("two lists", "a.json", '{"a": [{"text": "x"}], "b": [{"text": "y"}]}', "", "one list of objects, holds a, b"),
    ("more after a list", "a.json", '[{"text": "x", "label": "y"}] []', "", "must end with its list, but goes on"),
    ("a row that must be right", "a.csv", "text,label\ntea,a,b\n", "", "row 1: line 2: must have 2 fields"),
    ("suffix", "a.xlsx", "x", "", "must be of a known format; say --format csv, tsv, jsonl, json, parquet"),
]


@pytest.mark.parametrize(
    ("name", "content", "where", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_files_are_refused_with_rule_and_remedy(
    tmp_path: Path, name: str, content: str, where: str, message: str
) -> None:
    with pytest.raises(BadInputError) as raised:
        read_labelled(write(tmp_path / name, content), where=where)
    assert message in str(raised.value)


@pytest.mark.parametrize("name", ["no_such.csv", "folder.csv"])
def test_what_is_not_a_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BadInputError, match="must be a file"):
        list(read_rows(tmp_path / name))


def test_a_small_list_is_a_value_a_line_or_a_table(tmp_path: Path) -> None:
    lines = write(tmp_path / "a.txt", "tea\ncoffee\n")
    table = write(tmp_path / "a.csv", "Label,hint\ntea,hot\n")
    assert [columns["label"] for _, columns in read_list(lines, "label")] == ["tea", "coffee"]
    assert [columns for _, columns in read_list(table, "label")] == [{"Label": "tea", "hint": "hot", "label": "tea"}]
    with pytest.raises(BadInputError, match="line 2 must hold a label, is empty; remove it"):
        list(read_list(write(tmp_path / "b.txt", "tea\n\ncoffee\n"), "label"))


def test_an_export_says_which_column_its_text_stands_in(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text("text,body,prelabel_column,label\na note,tea,body,yes\nmilk,,,no\n", encoding="utf-8")
    assert [row.text for row in read_rows(path)] == ["tea", "milk"]

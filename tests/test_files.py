"""Row files: what is read, what is refused, and that a file appears whole or not at all."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import BadInputError
from backend.files import read_rows, writing_rows

FIELDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=20)


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'text,label,note\n"tea, hot",a,x\ncoffee,b,y\n'),
        ("a.tsv", "text\tlabel\tnote\ntea, hot\ta\tx\ncoffee\tb\ty\n"),
        (
            "a.jsonl",
            '{"text": "tea, hot", "label": "a", "note": "x"}\n\n{"text": "coffee", "label": "b", "note": "y"}\n',
        ),
        ("bom.csv", '\ufefftext,label,note\r\n"tea, hot",a,x\r\ncoffee,b,y\r\n'),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, text: str) -> None:
    rows = list(read_rows(write(tmp_path / name, text)))
    assert [(row.text, row.label, row.columns["note"]) for row in rows] == [
        ("tea, hot", "a", "x"),
        ("coffee", "b", "y"),
    ]


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


BAD = [
    ("missing column", "a.csv", b"txt,label\ntea,a\n", "", "must have the column 'text', has txt, label"),
    ("no label", "a.csv", b"text\ntea\n", "", "must have the column 'label'"),
    ("where column", "a.csv", b"text,label\ntea,a\n", "split=train", "must have the column 'split'"),
    ("where form", "a.csv", b"text,label\ntea,a\n", "split", "must be column=value"),
    ("not UTF-8", "a.csv", "text,label\nчай,a\n".encode("cp1251"), "", "must be UTF-8"),
    ("empty", "a.csv", b"", "", "at least one row"),
    ("header only", "a.jsonl", b"\n", "", "at least one row"),
    ("ragged", "a.csv", b"text,label\ntea,a,b\n", "", "as many fields as the header"),
    ("open quote", "a.csv", b'text,label\n"tea,a\n', "", "well-formed table row"),
    ("no JSON", "a.jsonl", b'{"text": \n', "", "line 1 must be a JSON object"),
    ("JSON list", "a.jsonl", b"[1]\n", "", "was of type list"),
    ("number as text", "a.jsonl", b'{"text": 1, "label": "a"}\n', "", "text must be a string, was of type int"),
    ("short row", "a.csv", b"label,text\na\n", "", "text must be a string, was of type NoneType"),
    ("suffix", "a.xlsx", b"x", "", "must end in .csv, .tsv, .jsonl"),
]


@pytest.mark.parametrize(("name", "content", "where", "message"), [case[1:] for case in BAD], ids=[c[0] for c in BAD])
def test_bad_files_are_refused_with_rule_and_remedy(
    tmp_path: Path, name: str, content: bytes, where: str, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInputError, match=message):
        list(read_rows(tmp_path / name, where=where, labelled=True))


@pytest.mark.parametrize("name", ["no_such.csv", "folder.csv"])
def test_what_is_not_a_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BadInputError, match="must be a file"):
        list(read_rows(tmp_path / name))


def test_a_text_of_a_million_characters_is_one_row(tmp_path: Path) -> None:
    (row,) = read_rows(write(tmp_path / "a.csv", "text\n" + "a" * 1_000_000 + "\n"))
    assert len(row.text) == 1_000_000


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@given(fields=st.lists(st.tuples(FIELDS.filter(str.strip), FIELDS), min_size=1, max_size=5))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, fields: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / f"a{suffix}"
    with writing_rows(path) as write_row:
        for text, note in fields:
            write_row({"text": text, "note": note})
    assert [(row.text, row.columns["note"]) for row in read_rows(path)] == fields


def write_all(path: Path, rows: Iterable[dict[str, str]]) -> None:
    with writing_rows(path) as write_row:
        for row in rows:
            write_row(row)


def broken() -> Iterator[dict[str, str]]:
    yield {"text": "tea"}
    raise KeyboardInterrupt


def test_a_file_that_is_not_finished_does_not_appear_and_the_old_one_stays(tmp_path: Path) -> None:
    old = write(tmp_path / "a.csv", "text\nold\n")
    with pytest.raises(KeyboardInterrupt):
        write_all(old, broken())
    assert old.read_text() == "text\nold\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_table_whose_rows_grow_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"write to \.jsonl instead"):
        write_all(tmp_path / "a.csv", [{"text": "a"}, {"text": "b", "note": "c"}])


def test_half_a_character_goes_through_json_unchanged(tmp_path: Path) -> None:
    (row,) = read_rows(write(tmp_path / "a.jsonl", '{"text": "a\\ud800b"}\n'))
    with writing_rows(tmp_path / "b.jsonl") as write_row:
        write_row(row.columns)
    assert [again.text for again in read_rows(tmp_path / "b.jsonl")] == [row.text] == ["a\ud800b"]


def test_json_rows_keep_their_types(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json.dumps({"text": "a", "n": 1, "tags": ["x"]}) + "\n")
    (row,) = read_rows(path)
    with writing_rows(tmp_path / "b.jsonl") as write_row:
        write_row(row.columns)
    assert json.loads((tmp_path / "b.jsonl").read_text()) == {"text": "a", "n": 1, "tags": ["x"]}

"""Files as people have them: what is read as what, and what is refused in which words. No Label Studio is needed."""

import gzip
import json
from pathlib import Path

import pytest

from backend.core.errors import BadInputError
from backend.labelstudio.schema import Control, read_config
from backend.moving.columns import ADDED, SPLIT, is_export, with_added, without_added
from backend.moving.rows import Row, RowReader
from backend.rows.names import Names
from backend.rows.reading import FileOptions, FileSource
from backend.rows.records import Reject, RowsSource
from tests.moving.playground import CONFIG

RU = """text,label
разбуди меня в пять утра на этой неделе,yes
поставь будильник на два часа вперёд,no
какая сегодня погода в Москве,yes
"""


def rows_of(
    source: FileSource | RowsSource,
    names: Names = Names(),  # noqa: B008
    config: str = CONFIG,
) -> list[Row | Reject]:
    control = read_config(config)
    assert isinstance(control, Control)
    seen: dict[str, int] = {}

    def occurrence(digest: str) -> int:
        seen[digest] = seen.get(digest, 0) + 1
        return seen[digest]

    reader = RowReader(control, names, occurrence)
    return [reader.read(record) for record in source.records()]


def texts_of(path: Path, encoding: str = "") -> list[str]:
    return [
        row.data["text"] for row in rows_of(FileSource(path, FileOptions(encoding=encoding))) if isinstance(row, Row)
    ]


TEA = ["tea, hot", "two\nlines"]
READ = [
    ("csv", "a.csv", b'text,label\n"tea, hot",yes\n"two\nlines",no\n'),
    ("bom", "a.csv", '\ufefftext,label\r\n"tea, hot",yes\r\n"two\nlines",no\r\n'.encode()),
    ("tsv", "a.tsv", b"text\tlabel\ntea, hot\tyes\ntwo\\nlines\tno\n"),
    ("jsonl", "a.jsonl", b'{"text": "tea, hot"}\n\n{"text": "two\\nlines"}\n'),
    ("json", "a.json", b'[{"text": "tea, hot"}, {"text": "two\\nlines"}]'),
    ("gzip", "a.csv.gz", gzip.compress(b'text\n"tea, hot"\n"two\nlines"\n')),
    ("utf-16", "a.csv", 'text\n"tea, hot"\n"two\nlines"\n'.encode("utf-16")),
    ("utf-16 without a mark", "a.csv", 'text\n"tea, hot"\n"two\nlines"\n'.encode("utf-16-be")),
    ("json with a mark", "a.json", b'\xef\xbb\xbf[{"text": "tea, hot"}, {"text": "two\\nlines"}]'),
    ("json in utf-16", "a.json", '[{"text": "tea, hot"}, {"text": "two\\nlines"}]'.encode("utf-16")),
    (
        "json in utf-16-le without a mark",
        "a.json",
        '[{"text": "tea, hot"}, {"text": "two\\nlines"}]'.encode("utf-16-le"),
    ),
    ("json in utf-32", "a.json", '[{"text": "tea, hot"}, {"text": "two\\nlines"}]'.encode("utf-32")),
    (
        "json lists in an object",
        "a.json",
        b'{"n": 2, "rows": [{"text": "tea, hot"}, {"text": "two\\nlines"}], "next": []}',
    ),
    ("objects after each other", "a.json", b'{"text": "tea, hot"}\n{"text": "two\\nlines"}'),
    ("a list in a file of lines", "a.jsonl", b'[\n{"text": "tea, hot"},\n{"text": "two\\nlines"}\n]'),
    ("gzip of json", "a.json.gz", gzip.compress(b'[{"text": "tea, hot"}, {"text": "two\\nlines"}]')),
    ("sep=;", "a.csv", b'sep=;\r\ntext;label\r\n"tea, hot";yes\r\n"two\nlines";no\r\n'),
    ("semicolons", "a.csv", b'text;label\ntea, hot;yes\n"two\nlines";no\n'),
    ("tabs in a csv", "a.csv", b'text\tlabel\ntea, hot\tyes\n"two\nlines"\tno\n'),
    ("empty columns at the end", "a.csv", b'text,label,,\n"tea, hot",yes,,\n"two\nlines",no,,\n,,,\n'),
    ("a comma too many", "a.csv", b'text,label\n"tea, hot",yes,\n"two\nlines",no,\n'),
    ("blanks in the header", "a.csv", b' text , label\n"tea, hot", yes\n"two\nlines", no\n'),
    ("tsv of a Mac of old", "a.tsv", b"text\tlabel\rtea, hot\tyes\rtwo\\nlines\tno\r"),
]


@pytest.mark.parametrize(("name", "content"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_every_format_gives_the_same_texts(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert texts_of(tmp_path / name) == TEA


def test_parquet_is_read_with_its_types_and_nan_is_nothing(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"id": [1.0, 2.0], "text": ["tea", "milk"], "label": [float("nan"), None], "weight": [float("nan"), 0.5]}
    parquet.write_table(arrow.table(columns), tmp_path / "a.parquet")
    first, second = rows_of(FileSource(tmp_path / "a.parquet"))
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert (first.identity, first.label, first.data["weight"]) == ("1", "", None)
    assert (second.identity, second.data["weight"]) == ("2", 0.5)
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInputError, match="must be a whole Parquet file, but is cut off or damaged; fetch it again"):
        rows_of(FileSource(tmp_path / "a.parquet"))


def test_another_encoding_is_named_and_read_when_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(RU.encode("cp1251"))
    with pytest.raises(BadInputError, match=r"must be UTF-8, but is not at byte 11; it looks like cp1251: say --enc"):
        texts_of(path)
    assert texts_of(path, "cp1251") == texts_of_utf8(tmp_path)


def texts_of_utf8(folder: Path) -> list[str]:
    (folder / "utf8.csv").write_text(RU, encoding="utf-8")
    return texts_of(folder / "utf8.csv")


def test_utf_16_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "a.csv").write_bytes(RU.encode("utf-16"))
    list(FileSource(tmp_path / "a.csv", report=said.append).records())
    assert [line.endswith("a.csv is in UTF-16, and read as such") for line in said] == [True]


REFUSED = [
    ("no file", "a.csv", None, "must be a file, but is not; check the path"),
    ("no format", "a.xlsx", b"", "must be of a known format; say --format csv, tsv, jsonl, json, parquet"),
    ("column missing", "a.csv", b"txt,label\ntea,yes\n", "must have the column 'text', have txt, label; name it"),
    ("columns twice", "a.csv", b"text,text\ntea,tea\n", "must differ, some stand twice: text; rename them"),
    ("gzip cut off", "a.csv.gz", gzip.compress(b"text\n" + b"tea\n" * 999)[:-12], "must be a whole gzip file"),
    (
        "json cut off",
        "a.json",
        b'[{"text": "tea"}, {"te',
        "must be whole JSON, but is broken or cut off; fetch it again",
    ),
    ("utf-16 cut off", "a.csv", "text\ntea\n".encode("utf-16")[:-1], "throughout, but is not at byte"),
]


@pytest.mark.parametrize(("name", "content", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_file_that_cannot_be_read_says_rule_value_and_remedy(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInputError) as raised:
        rows_of(FileSource(tmp_path / name))
    assert message in str(raised.value)


REJECTED = [
    ("empty", '{"text": " "}', "text must hold a character, is empty"),
    ("null", '{"text": null}', "text must hold a character, is empty"),
    ("NaN", '{"text": NaN}', "text must hold a character, is empty"),
    ("a list", '{"text": ["a"]}', "text must be a string, was of type list"),
    ("no text", '{"body": "tea"}', "must have the column 'text'; add it"),
    ("number as label", '{"text": "tea", "label": 5}', "label must be one of the label config"),
    ("unknown label", '{"text": "tea", "label": "maybe"}', "label must be one of the label config"),
    ("NUL", '{"text": "a\\u0000b"}', "must hold no NUL character; remove it"),
    ("NUL elsewhere", '{"text": "a", "note": {"x": ["\\u0000"]}}', "must hold no NUL character; remove it"),
    ("half a surrogate pair", '{"text": "\\ud800"}', "must be UTF-8, holds bytes or characters that are not"),
    ("no JSON", "{", "must be a JSON object, but is no JSON"),
    ("no object", "[1]", "must be a JSON object, was of type list"),
    ("long id", json.dumps({"text": "tea", "id": "x" * 201}), "must have at most 200 characters, has 201; shorten it"),
]


@pytest.mark.parametrize(("line", "reason"), [row[1:] for row in REJECTED], ids=[row[0] for row in REJECTED])
def test_a_bad_row_says_why_and_the_next_one_is_read(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "first"}}\n{line}\n{{"text": "last"}}\n', encoding="utf-8")
    first, bad, last = rows_of(FileSource(path))
    assert isinstance(bad, Reject)
    assert (bad.number, reason in bad.reason) == (2, True), bad.reason
    assert [row.data["text"] for row in (first, last) if isinstance(row, Row)] == ["first", "last"]


RAGGED = [
    ("more", b"text,label\ntea,yes,x\nmilk,no\n", "line 2: must have 2 fields like the header, has 3"),
    ("fewer", b"text,label\ntea\nmilk,no\n", "line 2: must have 2 fields like the header, has 1"),
    ("quote", b'text,label\n"tea"x,yes\nmilk,no\n', "line 2: must be a well-formed table row: "),
    ("undecodable", b"text,label\n\xff,yes\nmilk,no\n", "must be UTF-8, holds bytes or characters that are not"),
]


@pytest.mark.parametrize(("content", "reason"), [row[1:] for row in RAGGED], ids=[row[0] for row in RAGGED])
def test_a_ragged_row_stops_no_other(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    bad, good = rows_of(FileSource(tmp_path / "a.csv"))
    assert isinstance(bad, Reject)
    assert bad.reason.startswith(reason)
    assert isinstance(good, Row)


def test_texts_of_megabytes_and_a_quote_that_is_never_closed_are_met(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n" + "x" * 5_000_000 + '\n"never closed\nlast\n', encoding="utf-8")
    long, lost = rows_of(FileSource(tmp_path / "a.csv"))
    assert isinstance(long, Row)
    assert isinstance(lost, Reject)
    assert "line 3: a quote opens here and is never closed, so that lines 3 to 4 are one row" in lost.reason


def test_equal_texts_are_rows_of_their_own_and_each_keeps_its_identity() -> None:
    given = [{"text": "tea", "label": "yes"}, {"text": "tea", "label": "no"}, {"text": "tea", "label": "no"}]
    rows = [row for row in rows_of(RowsSource(given)) if isinstance(row, Row)]
    again = [row for row in rows_of(RowsSource(given)) if isinstance(row, Row)]
    assert len({row.identity for row in rows}) == 3
    assert [row.identity for row in rows] == [row.identity for row in again]


def test_a_label_is_known_by_its_name_and_by_what_is_stored() -> None:
    rows = rows_of(RowsSource([{"text": "tea", "label": "yes"}, {"text": "milk", "label": "y"}]))
    assert [row.label for row in rows if isinstance(row, Row)] == ["y", "y"]


def test_the_label_of_an_export_is_taken_only_when_it_is_named() -> None:
    given = [{"text": "tea", **dict.fromkeys(ADDED), "label": "no", "imported_label": "yes"}]
    for names, label in ((Names(), "y"), (Names(label="label"), "no")):
        (row,) = rows_of(RowsSource(given), names)
        assert isinstance(row, Row)
        assert row.label == label
        assert {name: row.data[name] for name in ("text", "label")} == {"text": "tea", "label": "yes"}


def test_columns_that_clash_with_added_ones_come_back_under_their_own_names() -> None:
    data = {
        "text": "tea",
        "label": "a",
        "imported_label": "b",
        "imported_imported_label": "c",
        SPLIT: "d",
        "imported": "e",
    }
    exported = with_added(data, dict.fromkeys((*ADDED, SPLIT)))
    assert is_export(exported)
    assert without_added(exported) == data


def test_a_dynamic_list_of_labels_is_there_from_the_beginning() -> None:
    config = """<View><Text name="t" value="$text"/><Choices name="c" toName="t" value="$prelabel_top"/>
    <View style="display:none"><Choices name="label_set" toName="t"><Choice value="yes"/><Choice value="no"/></Choices>
    </View></View>"""
    (row,) = rows_of(RowsSource([{"text": "tea"}]), config=config)
    assert isinstance(row, Row)
    assert row.data["prelabel_top"] == [{"value": "yes"}, {"value": "no"}]

"""Files that would fill the memory or compute for hours: each is met by a limit, which says rule and remedy.

Sizes are small and limits are made smaller; benchmarks.bombs has the real ones with their seconds and megabytes.
"""

import gzip
import tracemalloc
from pathlib import Path

import pytest

from backend.core.errors import BadInputError
from backend.rows import json_rows, json_text, lines, opening, parquet
from backend.rows.reading import FileSource
from backend.rows.records import Record

MB = 2**20
FIRST, LAST = b'{"text": "first"}', b'{"text": "last"}'


def read(path: Path, content: bytes) -> list[Record]:
    path.write_bytes(content)
    return list(FileSource(path).records())


DEEP = [
    ("200 KB of lists", b"[" * 100_000 + b"]" * 100_000),
    ("objects", b'{"a":' * 30_000 + b"1" + b"}" * 30_000),
    ("as deep as Python reads", b'{"n": ' + b"[" * 500 + b"]" * 500 + b"}"),
    ("one deeper than the limit", b'{"n": ' + b"[" * 32 + b"]" * 32 + b"}"),
    ("many lists", b'{"n": [' + b"[]," * 100_000 + b"[]]}"),
]


@pytest.mark.parametrize("row", [row for _, row in DEEP], ids=[name for name, _ in DEEP])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_row_of_too_many_or_too_deep_lists_is_rejected_and_the_others_are_read(
    tmp_path: Path, name: str, row: bytes
) -> None:
    lines_of = [FIRST, row, LAST]
    content = b"[" + b",\n".join(lines_of) + b"]" if name == "a.json" else b"\n".join(lines_of)
    first, bad, last = read(tmp_path / name, content)
    assert (first.columns["text"], last.columns["text"]) == ("first", "last")
    assert "lists and objects" in bad.problem


def test_a_row_as_deep_as_the_limit_is_read(tmp_path: Path) -> None:
    (row,) = read(tmp_path / "a.jsonl", b'{"text": "tea", "n": ' + b"[" * 31 + b"]" * 31 + b"}")
    assert row.problem == ""


LONG = b"x" * (8 * MB)
ROWS = {
    "a.csv": b"text\nfirst\n" + LONG + b"\nlast\n",
    "quoted.csv": b'text\nfirst\n"' + LONG + b'"\nlast\n',
    "a.tsv": b"text\nfirst\n" + LONG + b"\nlast\n",
    "a.jsonl": FIRST + b'\n{"text": "' + LONG + b'"}\n' + LAST,
    "a.json": b"[" + FIRST + b', {"text": "' + LONG + b'"}, ' + LAST + b"]",
    "words.json": b"[" + FIRST + b', {"text": "' + b'\\"' * (4 * MB) + b'"}, ' + LAST + b"]",
}


@pytest.mark.parametrize("name", list(ROWS))
def test_a_row_that_is_too_long_is_rejected_without_being_held(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (lines, json_text, json_rows):
        monkeypatch.setattr(module, "MAX_ROW_CHARACTERS", MB // 4)
    (tmp_path / name).write_bytes(ROWS[name])
    tracemalloc.start()
    try:
        first, bad, last = FileSource(tmp_path / name).records()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (first.columns["text"], last.columns["text"]) == ("first", "last")
    assert "a row must have at most 8388608 characters, has more; split its text" in bad.problem
    assert peak < 4 * MB  # of 8 in the file


def test_an_object_with_more_rows_than_a_row_may_hold_is_read_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_text, "MAX_ROW_CHARACTERS", 1000)
    rows = b",".join([FIRST] * 500)
    content = b'{"names": ["a"], "info": {"n": [{}]}, "data": [' + rows + b'], "more": 1}'
    assert [row.columns["text"] for row in read(tmp_path / "a.json", content)] == ["first"] * 500
    two = read(tmp_path / "a.json", b'{"train": [' + rows + b'], "test": [' + rows + b"]}")
    assert [row.problem for row in two if row.problem] == [
        'another list begins at "test", and is not read; write a file of each'
    ]
    with pytest.raises(BadInputError, match="is one object that has more; write a list of objects"):
        read(tmp_path / "a.json", b'{"a": "' + b"x" * 2000 + b'"}')


def test_a_quote_that_never_closes_loses_no_more_than_a_row_may_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_ROW_CHARACTERS", 1000)
    bad, *others = read(tmp_path / "a.csv", b'text,label\n"tea,a\n' + b"coffee,b\n" * 1000)
    assert bad.problem.startswith("lines 2 to 113: a row must have at most 8388608 characters")
    assert "close a quote that opens there" in bad.problem
    assert len(others) == 1000 - 111


def test_a_table_of_a_million_columns_is_refused_and_such_a_row_rejected(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="must have at most 5000 columns, has 1000000; leave some out"):
        read(tmp_path / "a.csv", b"c," + b",".join(b"%d" % n for n in range(999_999)) + b"\n")
    bad, good = read(tmp_path / "a.csv", b"text\n" + b"," * 1_000_000 + b"x\ntea\n")
    assert bad.problem == "line 2: must have 1 fields like the header, has 1000001"
    assert good.columns == {"text": "tea"}
    (bad,) = read(tmp_path / "a.jsonl", b"{" + b",".join(b'"%d":0' % n for n in range(5001)) + b"}")
    assert bad.problem == "must have at most 5000 columns, has 5001; leave some out"


@pytest.mark.parametrize("unit", [b"\n", b"text\n", b"x", b'{"text": "tea"}\n'])
@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_a_file_that_unpacks_to_far_too_much_is_refused(tmp_path: Path, name: str, unit: bytes) -> None:
    content = gzip.compress(b"text\n" + unit * (4 * MB // len(unit)))
    with pytest.raises(BadInputError, match=r"must unpack to at most 100 times its size, unpacks to more.*\(gunzip\)"):
        read(tmp_path / name, content)


def test_packed_files_after_each_other_are_counted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "FREE_BYTES", MB // 8)
    content = gzip.compress(b"text\n" + b"x" * (4 * MB)) + gzip.compress(b"y\n")
    with pytest.raises(BadInputError, match="must unpack to at most 100 times its size"):
        read(tmp_path / "a.csv.gz", content)


def test_a_file_that_packs_well_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "FREE_BYTES", 0)
    words = b"".join(b"%d bottles of beer on the wall\n" % n for n in range(10_000))
    assert len(read(tmp_path / "a.csv.gz", gzip.compress(b"text\n" + words))) == 10_000


def test_parquet_whose_rows_take_no_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrow, writer = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    writer.write_table(arrow.table({"text": ["tea"] * 150_000}), tmp_path / "rows.parquet")
    with pytest.raises(BadInputError, match="must have at most 10 rows a byte, has 150000 in"):
        list(FileSource(tmp_path / "rows.parquet").records())
    writer.write_table(arrow.table({"text": ["x" * MB] * 20}), tmp_path / "texts.parquet")
    monkeypatch.setattr(parquet, "FREE_BYTES", 2 * MB)
    with pytest.raises(BadInputError, match="must unpack to at most 100 times its size"):
        list(FileSource(tmp_path / "texts.parquet").records())

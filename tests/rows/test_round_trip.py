"""What the writer writes, the reader reads back equal: every format, and strings that formats are made of."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.core.errors import BadInputError
from backend.rows.cells import as_cell
from backend.rows.reading import FileSource
from backend.rows.records import Reject
from backend.rows.rejects import Rejects
from backend.rows.writing import Kind, kind_of, writing_rows, writing_table

TABLES = [".csv", ".tsv"]
FORMATS = [*TABLES, ".jsonl", ".parquet"]
NASTY = st.text(
    st.one_of(
        st.sampled_from(list("\r\n\t\"'\\,;| =+-@tnr\ufeff\u2028\u2029\x85\x0b\x0c\x1c")),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    max_size=12,
)
NAMES = NASTY.filter(lambda name: bool(name.strip()))
ROWS = st.lists(NAMES, min_size=1, max_size=4, unique=True).flatmap(
    lambda names: st.lists(
        st.fixed_dictionaries(dict.fromkeys(names, NASTY)).filter(lambda row: any(row.values())),
        min_size=1,
        max_size=4,
    )
)


def read(path: Path) -> list[dict[str, Any]]:
    records = list(FileSource(path).records())
    assert [record.problem for record in records if record.problem] == []
    return [dict(record.columns) for record in records]


def write(path: Path, rows: Iterable[dict[str, Any]], *, for_spreadsheet: bool = False) -> None:
    with writing_rows(path, for_spreadsheet=for_spreadsheet) as write_row:
        for row in rows:
            write_row(row)


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=50, deadline=None)
@given(rows=ROWS)
@example(rows=[{"text": "a\rb"}, {"text": "\r"}, {"text": "c"}])
@example(rows=[{"sep=;": "a"}])
@example(rows=[{"a;b": "x"}, {"a;b": "y"}])
@example(rows=[{"\ufefftext": "\ufeff"}])
@example(rows=[{"text": "C:\\new"}, {"text": "\\"}, {"text": "\\\\n"}])
@example(rows=[{"text": '"a"" b"', "label": '"'}])
def test_strings_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, rows: list[dict[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / f"a{suffix}"
    write(path, rows)
    assert read(path) == rows


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), NASTY,
    st.lists(st.integers(), max_size=2), st.dictionaries(NASTY, NASTY, max_size=2),
)  # fmt: skip


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=30, deadline=None)
@given(values=st.lists(VALUES, min_size=1, max_size=5))
def test_other_values_come_back_as_a_table_spells_them(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, values: list[Any]
) -> None:
    path = tmp_path_factory.mktemp("rows") / f"a{suffix}"
    write(path, [{"text": "x", "value": value} for value in values])
    assert [as_cell(row["value"]) for row in read(path)] == [as_cell(value) for value in values]


@pytest.mark.parametrize("suffix", FORMATS)
def test_columns_that_come_later_are_columns_of_all_rows(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"a{suffix}", [{"text": "a"}, {"text": "b", "note": "c"}])
    assert [as_cell(row.get("note")) for row in read(tmp_path / f"a{suffix}")] == ["", "c"]


def test_the_file_of_rejected_rows_is_read_back(tmp_path: Path) -> None:
    with Rejects(tmp_path / "rejects.csv") as rejects:
        rejects.add(Reject(3, 'a "reason",\rwith everything\n', "=id"))
    assert read(tmp_path / "rejects.csv") == [{"row": "3", "id": "=id", "reason": 'a "reason",\rwith everything\n'}]


def test_a_table_is_read_by_others_too(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", [{"text": 'a\rb, "c"\n', "n": 1}])
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == [{"text": 'a\rb, "c"\n', "n": "1"}]


LIVE = ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "\n=1", "＝1"]


@pytest.mark.parametrize("suffix", TABLES)
@pytest.mark.parametrize("cell", LIVE)
def test_for_a_spreadsheet_no_cell_is_a_formula_and_the_file_has_a_mark(tmp_path: Path, suffix: str, cell: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, [{"text": cell, cell: "x", "score": -0.5}], for_spreadsheet=True)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert read(path) == [{"text": f"'{cell}", f"'{cell}": "x", "score": "-0.5"}]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_what_no_spreadsheet_reads_is_not_written_for_one(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(BadInputError, match=r"must go with a name that ends in \.csv or \.tsv"):
        write(tmp_path / f"a{suffix}", [{"text": "a"}], for_spreadsheet=True)
    assert list(tmp_path.iterdir()) == []


def stopped() -> Iterator[dict[str, str]]:
    yield {"text": "tea"}
    raise KeyboardInterrupt


def test_a_file_that_is_not_finished_does_not_appear_and_the_old_one_stays(tmp_path: Path) -> None:
    for suffix in FORMATS:
        (tmp_path / f"a{suffix}").write_text("old")
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / f"a{suffix}", stopped())
        assert (tmp_path / f"a{suffix}").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == len(FORMATS)


def test_half_a_character_goes_through_json_unchanged(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{"text": "a\ud800b"}])
    assert read(tmp_path / "a.jsonl") == [{"text": "a\ud800b"}]


def test_types_stay_where_a_format_has_them(tmp_path: Path) -> None:
    row = {"text": "a", "n": 2**60, "share": 0.5, "yes": True, "none": None}
    for suffix in (".jsonl", ".parquet"):
        write(tmp_path / f"a{suffix}", [row])
        assert read(tmp_path / f"a{suffix}") == [row]


def test_a_large_number_among_fractions_keeps_its_last_digit(tmp_path: Path) -> None:
    columns: dict[str, Kind] = {}
    for value in (2**60 + 1, 0.5):
        columns["n"] = kind_of(value, columns.get("n", "none"))
    with writing_table(tmp_path / "a.parquet", columns) as write_row:
        write_row({"n": 2**60 + 1})
        write_row({"n": 0.5})
    assert [json.loads(row["n"]) for row in read(tmp_path / "a.parquet")] == [2**60 + 1, 0.5]

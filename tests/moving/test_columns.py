"""Which column is the text, the label, the id, and what is said where a name is not spelled so."""

from typing import Any

import pytest

from backend.labelstudio.schema import COLUMN_KEY, Control, read_config
from backend.labelstudio.wire import value_at
from backend.moving.cells import text_fingerprint
from backend.moving.columns import text_in
from backend.moving.rows import Row, RowReader
from backend.rows.names import Names, column_named
from backend.rows.records import Record, Reject
from tests.moving.playground import CONFIG

NAMES = [
    ("as it is spelled", ["label", "Label"], "label", "label"),
    ("blanks around it", ["text", " label"], "label", " label"),
    ("a no-break blank", ["text", "label\u00a0"], "label", "label\u00a0"),
    ("a capital", ["Text", "Label"], "label", "Label"),
    ("an invisible sign", ["\ufefftext", "x"], "text", "\ufefftext"),
    ("composed and not", ["cafe\u0301"], "caf\u00e9", "cafe\u0301"),
    ("two that look alike", [" label", "LABEL"], "label", None),
    ("another word", ["labels"], "label", None),
]


@pytest.mark.parametrize(("columns", "name", "found"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES])
def test_a_column_is_found_where_one_alone_looks_like_its_name(
    columns: list[str], name: str, found: str | None
) -> None:
    assert column_named(columns, name) == found


def reader(names: Names, config: str = CONFIG) -> RowReader:
    control = read_config(config)
    assert isinstance(control, Control)
    return RowReader(control, names, lambda _: 1)


def read(columns: dict[str, Any], names: Names = Names()) -> Row | Reject:  # noqa: B008
    return reader(names).read(Record(1, columns))


PATHS = [
    ("nested, as JSON has it", {"msg": {"body": "tea"}}, "$msg.body"),
    ("in a list", {"turns": [{"body": "tea"}, {"body": "milk"}]}, "$turns[0].body"),
    ("a column of the very name", {"msg.body": "tea"}, "$msg.body"),
    ("beside a column text", {"msg": {"body": "tea"}, "text": "a note"}, "$msg.body"),
    ("not there, a column text is", {"msg": {}, "text": "tea"}, "$msg.body"),
]


@pytest.mark.parametrize(("columns", "value"), [row[1:] for row in PATHS], ids=[row[0] for row in PATHS])
def test_the_text_is_where_the_label_config_reads_it(columns: dict[str, Any], value: str) -> None:
    config = CONFIG.replace("$text", value)
    row = reader(Names(), config).read(Record(1, {"id": "1", **columns}))
    assert isinstance(row, Row)
    assert value_at(row.data, value[1:]) == "tea"
    assert row.text == text_fingerprint("tea")


@pytest.mark.parametrize("msg", [{}, {"body": None}, {"body": ""}, {"body": {"html": "tea"}}, "tea", None], ids=str)
def test_a_row_without_a_text_at_its_path_is_rejected(msg: object) -> None:
    rows = reader(Names(), CONFIG.replace("$text", "$msg.body"))
    assert isinstance(rows.read(Record(1, {"msg": {"body": "tea"}})), Row)
    assert isinstance(rows.read(Record(2, {"msg": msg})), Reject)


def test_texts_of_an_export_are_like_texts_wherever_they_stood() -> None:
    assert text_in({"text": "tea"}, "text") == "tea"
    assert text_in({"body": "tea", COLUMN_KEY: "body"}, "text") == "tea"
    assert text_in({"msg": {"body": "tea"}}, "msg.body") == "tea"


def test_labels_under_a_header_with_blanks_arrive_and_that_is_said() -> None:
    columns = {"text": "tea", " label": " yes"}
    row = read(columns)
    assert isinstance(row, Row)
    assert row.label == "y"
    assert reader(Names()).remarks(Record(1, columns)) == ["the column ' label' is taken for 'label'"]


def test_a_column_that_is_named_like_the_text_is_kept_and_that_is_said() -> None:
    columns = {"text": "a note", "body": "tea", "label": "yes"}
    row = read(columns, Names(text="body"))
    assert isinstance(row, Row)
    assert {name: row.data[name] for name in ("text", "imported_text", COLUMN_KEY)} == {
        "text": "tea", "imported_text": "a note", COLUMN_KEY: "body",
    }  # fmt: skip
    (said,) = reader(Names(text="body")).remarks(Record(1, columns))
    assert said.startswith("the column 'text' stays as 'imported_text' in Label Studio")


IDENTITIES = [
    ("an id", {"id": "1"}, Names(), "1"),
    ("another column", {"id": "1", "key": "k"}, Names(id="key"), "k"),
    ("a prefix", {"id": "1"}, Names(id_prefix="week 2: "), "week 2: 1"),
    ("no identity", {"id": "1"}, Names(no_id=True), None),
    ("none", {}, Names(), None),
    ("a prefix and no id", {"id": ""}, Names(id_prefix="week 2: "), None),
    ("what an export says", {"id": "1", "prelabel_id": "week 2: 1"}, Names(), "week 2: 1"),
]


@pytest.mark.parametrize(
    ("columns", "names", "identity"), [row[1:] for row in IDENTITIES], ids=[row[0] for row in IDENTITIES]
)
def test_a_row_is_told_apart_by_its_id_or_by_its_text(
    columns: dict[str, str], names: Names, identity: str | None
) -> None:
    row, by_text = read({"text": "tea", **columns}, names), read({"text": "tea"})
    assert isinstance(row, Row)
    assert isinstance(by_text, Row)
    assert row.identity == (identity or by_text.identity)


def test_a_rejected_row_has_its_id_and_keeps_its_label_to_the_terminal() -> None:
    found = read({"id": "7", "text": "tea", "label": "perhaps"})
    assert isinstance(found, Reject)
    assert (found.id, found.unknown_label) == ("7", "perhaps")
    assert "perhaps" not in found.reason

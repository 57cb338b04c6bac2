"""Wherever a label is read, every spelling of it is the one value that the label config has."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.core.descriptions import Description, fitting
from backend.core.errors import BadInputError
from backend.core.types import Decision
from backend.labelstudio.label_config import listed_label, with_hints
from backend.labelstudio.schema import Control, file_control, read_config
from backend.labelstudio.wire import prediction
from backend.moving.new_config import config_of
from backend.moving.rows import Row, RowReader
from backend.pipeline.keywords import KeywordRules
from backend.rows.names import Names
from backend.rows.reading import FileSource
from backend.rows.records import Record, Reject
from backend.rows.texts import read_labelled
from training.dataset import label_of_result

CONFIG = """<View><Text name="t" value="$text"/><Choices name="c" toName="t">
<Choice value="late  delivery " alias=" late"/>
<Choice value="срочны\u0438\u0306"/><Choice value="1.0"/>
<Choice value="true"/><Choice value="other "/></Choices></View>"""
SPELLED = [
    ("letter for letter", "срочны\u0438\u0306", "срочны\u0438\u0306"),
    ("composed", "срочный", "срочны\u0438\u0306"),
    ("with a sign that nobody sees", "\ufeffсрочный\u200b", "срочны\u0438\u0306"),
    ("by its name", "late delivery", " late"),
    ("by its name with other blanks", "\u00a0late delivery\n", " late"),
    ("by its alias", "late", " late"),
    ("as a number", 1, "1.0"),
    ("as a float", 1.0, "1.0"),
    ("as a table writes a boolean", "TRUE", "true"),
]


def control(**options: str) -> Control:
    found = read_config(CONFIG, **options)
    assert isinstance(found, Control)
    return found


def in_an_annotation(given: object) -> str:
    return label_of_result([{"from_name": "c", "value": {"choices": [given]}}], control())


def in_a_row(given: object) -> str:
    reader = RowReader(control(), Names(), lambda _: 1)
    row = reader.read(Record(1, {"text": "a", "label": given}))
    assert isinstance(row, Row)
    return row.label


def in_a_prediction(given: object) -> str:
    decision = Decision("label", str(given), 0.9, 0.0, "retrieve", "", ())
    (region,) = prediction(decision, control(), "pl-1", "0123456789")["result"]
    return str(region["value"]["choices"][0])


def in_descriptions(given: object) -> str:
    (found,) = fitting([Description(str(given), "what it means", approved=True)], control().space)
    return found.label


def in_a_list_of_hints(given: object) -> str:
    hint = listed_label({"label": given, "hint": "h"}, "row 1")
    labels = with_hints(control().space.labels, [hint])
    return next(label.value for label in labels if label.hint)


def in_keyword_rules(given: object) -> str:
    space = control().space
    (feature,) = KeywordRules.of({str(given): ["word"]}, space).append(["a word"], len(space) + 1)
    return space.values[int(feature.values[0].argmax())]


def in_settings(given: object) -> str:
    return control(oos_value=str(given)).space.oos_value


PLACES = [
    in_an_annotation,
    in_a_row,
    in_a_prediction,
    in_descriptions,
    in_a_list_of_hints,
    in_keyword_rules,
    in_settings,
]


@pytest.mark.parametrize("place", PLACES, ids=[place.__name__ for place in PLACES])
@pytest.mark.parametrize(("case", "given", "value"), SPELLED)
def test_every_spelling_is_the_value_of_the_label_config(
    case: str, given: object, value: str, place: Callable[[object], str]
) -> None:
    assert place(given) == value


def test_the_choice_for_none_of_these_is_known_with_blanks_at_its_edge() -> None:
    assert control().space.oos_value == "other "
    assert file_control(CONFIG, oos_label="other").space.oos_value == "other "


def test_a_choice_that_shows_nothing_is_no_label() -> None:
    with pytest.raises(BadInputError, match="every Choice of 'c' must have a value"):
        file_control(CONFIG.replace('value="true"', 'value=" \u200b"'))


def test_a_row_with_several_labels_is_rejected_and_says_why() -> None:
    reader = RowReader(control(), Names(), lambda _: 1)
    why = "a label must be one value, was a list of 2; write one label a row"
    assert reader.read(Record(1, {"text": "a", "label": ["late", "true"]})) == Reject(1, why)


FILES = [
    ("blanks.csv", "late  delivery\nlate delivery\nlate\u00a0delivery\n", ["late delivery"], 3),
    ("edges.csv", "refund\nrefund \n\u200brefund\ndelivery\n", ["refund", "delivery"], 3),
    ("letters.csv", "срочный\nсрочны\u0438\u0306\n", ["срочный"], 2),
    ("numbers.csv", "1\n1.0\n1\n0\n", ["1", "0"], 2),
]


@pytest.mark.parametrize(("name", "labels", "read", "ways"), FILES)
def test_a_file_has_one_label_where_a_person_reads_one_and_it_is_told(
    tmp_path: Path, name: str, labels: str, read: list[str], ways: int
) -> None:
    path = tmp_path / name
    path.write_text("label,text\n" + labels.replace("\n", ",words\n"), encoding="utf-8")
    told: list[str] = []
    examples = read_labelled(path, report=told.append)
    assert list(dict.fromkeys(example.label for example in examples)) == read
    (note,) = told
    assert note.startswith(f"{name}: one label is written in {ways} ways")
    config = read_config(config_of(FileSource(path), Names(), lambda _: None))
    assert isinstance(config, Control)
    assert sorted(config.space.values) == sorted(read)


def test_numbers_and_booleans_of_json_are_the_labels_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [1, 1.0, "1", True, "TRUE", "true"]
    path.write_text("".join(json.dumps({"text": "a", "label": row}) + "\n" for row in rows))
    assert [example.label for example in read_labelled(path)] == ["1"] * 3 + ["true"] * 3


def test_a_labelled_file_with_a_list_is_refused_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": ["x", "y"]}\n')
    with pytest.raises(BadInputError, match="row 2: a label must be one value, was a list of 2"):
        read_labelled(path)

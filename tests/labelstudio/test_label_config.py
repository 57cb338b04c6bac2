"""Configs that prelabel writes: whatever the number of labels, what is written is what is served."""

from typing import Any

import pytest
from defusedxml.ElementTree import fromstring

from backend.core.errors import BadInputError
from backend.core.types import Label
from backend.labelstudio.label_config import distinct, label_config, listed_label, with_hints
from backend.labelstudio.schema import Control, read_config


def labels_of(n: int) -> tuple[Label, ...]:
    return tuple(Label(f"intent {i:03}", f"intent {i:03}", f"about {i}") for i in range(n))


def listed(*rows: dict[str, Any]) -> tuple[Label, ...]:
    return distinct([listed_label(row, f"row {number}") for number, row in enumerate(rows, start=1)])


@pytest.mark.parametrize("static", [True, False, None])
@pytest.mark.parametrize("n", [1, 3, 9, 10, 30, 150, 1000])
def test_what_is_written_is_served_with_all_its_labels_and_hints(n: int, static: bool | None) -> None:
    control = read_config(label_config(labels_of(n), text_key="body", static=static))
    assert isinstance(control, Control)
    assert control.space.labels == labels_of(n)
    assert (control.text_key, control.shows_reason) == ("body", True)
    assert control.dynamic is (n > 9 if static is None else not static)


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize(("n", "finds"), [(3, 0), (9, 0), (10, 1), (1000, 1)])
def test_a_list_longer_than_the_digits_has_a_field_to_find_a_label_in(n: int, finds: int, static: bool) -> None:
    root = fromstring(label_config(labels_of(n), static=static))
    assert len(list(root.iter("Filter"))) == finds
    assert all(found.get("toName") == "label" and found.get("hotkey") for found in root.iter("Filter"))


@pytest.mark.parametrize("static", [True, False])
def test_a_label_is_required_of_the_list_that_people_see_only(static: bool) -> None:
    shown, *hidden = fromstring(label_config(labels_of(20), static=static)).iter("Choices")
    assert (shown.get("required"), shown.get("choice")) == ("true", "single")
    assert [control.get("required") for control in hidden] == [] if static else [None]


def test_signs_that_xml_gives_a_meaning_come_back_as_they_were() -> None:
    odd = listed({"label": "R&D <\"'>", "alias": "r&d", "hint": '"a" & <b>'}, {"label": "возврат — да"})
    for static in (True, False):
        control = read_config(label_config(odd, static=static))
        assert isinstance(control, Control)
        assert control.space.labels == (Label("r&d", "R&D <\"'>", '"a" & <b>'), Label("возврат — да", "возврат — да"))


def test_a_row_is_read_without_white_space_around_it() -> None:
    assert listed({"label": "  late \t delivery\n", "alias": " ", "hint": None}) == (
        Label("late delivery", "late delivery"),
    )


BAD = [
    ("none at all", [], "must hold at least one label"),
    ("an empty one", [{"label": "a"}, {"label": " "}], "row 2: a label must have a character"),
    ("null", [{"label": None}], "row 1: a label must have a character"),
    ("too long", [{"label": "a" * 101}], "row 1: label must have at most 100 characters, has 101; shorten it"),
    ("a hint too long", [{"label": "a", "hint": "b" * 1001}], "row 1: hint must have at most 1000 characters"),
    ("the same twice", [{"label": "a"}, {"label": "b"}, {"label": "a "}], "row 3 repeats row 1"),
    ("the same but for case", [{"label": "Refund"}, {"label": "refund"}], "row 2 repeats row 1"),
    ("the same alias", [{"label": "a", "alias": "x"}, {"label": "b", "alias": "x"}], "row 2 repeats row 1"),
    ("an alias that is another's label", [{"label": "a"}, {"label": "b", "alias": "a"}], "what is stored"),
    ("a list", [{"label": ["a"]}], "row 1: a label must be one value, was a list of 1; write one label a row"),
    ("a control character", [{"label": "a", "hint": "b\x07"}], "row 1: hint must hold no control characters"),
    ("a hint that is a number", [{"label": "a", "hint": 1}], "row 1: hint must be a string, was of type int"),
    ("the same with another blank", [{"label": "a b"}, {"label": "a\u00a0b\u200b"}], "row 2 repeats row 1"),
    ("the name of task data", [{"label": "$a"}], r"must not hold \$ before a letter or digit"),
    ("a price", [{"label": "pay $5"}], r"must not hold \$ before a letter or digit"),
    ("too many", [{"label": f"l{i}"} for i in range(2001)], "labels must be at most 2000, are 2001"),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_wrong_list_says_which_row_and_what_to_do(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        listed(*rows)


def test_hints_of_a_second_file_win_and_name_labels_by_label_or_alias() -> None:
    labels = listed({"label": "a", "alias": "x", "hint": "old"}, {"label": "b", "hint": "kept"}, {"label": "c"})
    hints = [listed_label({"label": "x", "hint": "new"}, "h 1"), listed_label({"label": "c", "hint": "its"}, "h 2")]
    assert [label.hint for label in with_hints(labels, hints)] == ["new", "kept", "its"]


@pytest.mark.parametrize(
    ("names", "message"),
    [(["z"], "h 1: a hint must be for one of the labels"), (["a", "a"], "h 2 repeats h 1")],
    ids=["for no label", "two for a label"],
)
def test_a_wrong_hint_says_which_row_and_what_to_do(names: list[str], message: str) -> None:
    hints = [listed_label({"label": name, "hint": "x"}, f"h {i}") for i, name in enumerate(names, start=1)]
    with pytest.raises(BadInputError, match=message):
        with_hints(listed({"label": "a"}), hints)


@pytest.mark.parametrize("key", ["", "two words", "a-b", "$text", 'x"', "prelabel_top", "prelabel_why", "Текст"])
def test_a_key_that_label_studio_cannot_read_is_refused(key: str) -> None:
    with pytest.raises(BadInputError, match="--text must be a key of A-Z, a-z"):
        label_config(labels_of(2), text_key=key)

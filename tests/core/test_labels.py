"""One rule for what a label is, and what is told of labels that differ where nobody sees it."""

import math

import pytest

from backend.core.errors import BadInputError
from backend.core.labels import LabelNames, key, spelled
from backend.core.spellings import Spellings, look_alike
from backend.core.types import Label, LabelSpace

SAME = [
    ("blanks at the edges", "refund ", " refund"),
    ("blanks in a row", "late  delivery", "late delivery"),
    ("a blank that does not break", "late\u00a0delivery", "late delivery"),
    ("a line break", "late\r\ndelivery", "late delivery"),
    ("composed and decomposed letters", "срочны\u0438\u0306", "срочны\u0439"),
    ("a zero-width space", "refund\u200b", "refund"),
    ("the mark that begins a file", "\ufeffdelivery", "delivery"),
    ("a mark of direction", "delivery\u200f", "delivery"),
    ("a soft hyphen", "re\u00adfund", "refund"),
    ("a sign between a letter and its accent", "cafe\u200b\u0301", "caf\u00e9"),
    ("a control character", "refund\x07", "refund"),
    ("a variation selector", "\u2764\ufe0f", "\u2764"),
    ("a joiner between Latin letters", "re\u200dfund", "refund"),
    ("a whole number in JSON", 1, "1"),
    ("a float that is whole in JSON", 1.0, "1"),
    ("a float that is whole in a table", "1.0", 1),
    ("a negative one", -1.0, "-1"),
    ("a boolean in JSON", True, "true"),
    ("a boolean of a spreadsheet", "FALSE", False),
]
APART = [
    ("upper and lower case", "Refund", "refund"),
    ("a Cyrillic letter among Latin ones", "r\u0435fund", "refund"),
    ("full-width letters", "\uff32efund", "Refund"),
    ("one and true", 1, True),
    ("a version and a number", "1.10", "1.1"),
    ("a number with zeros before it", "007", "7"),
    ("a family and its members", "\U0001f468\u200d\U0001f469", "\U0001f468\U0001f469"),
    ("a joiner that Persian readers see", "می\u200cخواهم", "میخواهم"),
    (
        "flags of England and Scotland",
        "\U0001f3f4\U000e0067\U000e007f",
        "\U0001f3f4\U000e0073\U000e007f",
    ),
    ("a typographic dash", "a–b", "a-b"),
]
LABELS = (Label("refund ", "refund "), Label("d", "late  delivery"), Label("1", "1"))
SPACE = LabelSpace(LABELS, "Другое")


@pytest.mark.parametrize(("case", "one", "other"), SAME)
def test_two_values_that_read_the_same_are_one_label(case: str, one: object, other: object) -> None:
    assert key(one) == key(other)


@pytest.mark.parametrize(("case", "one", "other"), APART)
def test_two_values_that_a_person_can_tell_apart_are_two_labels(case: str, one: object, other: object) -> None:
    assert key(one) != key(other)


@pytest.mark.parametrize("nothing", [None, "", " \u00a0\t", "\u200b", math.nan, math.inf])
def test_what_shows_nothing_is_no_label(nothing: object) -> None:
    assert spelled(nothing) == key(nothing) == ""


def test_a_label_keeps_its_own_spelling_of_a_number() -> None:
    assert [spelled("1.0"), spelled("TRUE"), spelled(2.5)] == ["1.0", "TRUE", "2.5"]


@pytest.mark.parametrize(
    ("several", "named"),
    [(["a", "b"], "a list of 2"), (["a"], "a list of 1"), ({"choices": ["a"]}, "an object")],
)
def test_several_labels_for_a_text_are_refused(several: object, named: str) -> None:
    with pytest.raises(BadInputError, match=f"must be one value, was {named}; write one label a row"):
        spelled(several)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("refund", "refund "),
        ("refund ", "refund "),
        ("late delivery", "d"),
        ("d", "d"),
        (1.0, "1"),
        ("Другое\u200b", "Другое"),
        ("none of these", "Другое"),
        ("", ""),
        (None, ""),
        ("Refund", None),
        ("of yore", "d"),
        ("of  yore\u200b", "d"),
        ("dropped", ""),
    ],
)
def test_the_value_of_the_config_is_used_however_a_label_is_called(given: object, value: str | None) -> None:
    renamed = {"of yore": "late delivery", "dropped": ""}
    assert LabelNames(SPACE, "none of these", renamed).value_of(given) == value


def test_choices_of_a_config_that_are_one_label_are_told_apart_by_exact_spelling() -> None:
    names = LabelNames(LabelSpace((Label("refund", "refund"), Label("refund ", "refund "))))
    assert [names.value_of(given) for given in ("refund", "refund ", "refund\u00a0")] == [
        "refund",
        "refund ",
        None,
    ]


def test_a_value_wins_over_a_name_that_another_label_has() -> None:
    names = LabelNames(LabelSpace((Label("a", "b"), Label("b", "c"))))
    assert [names.value_of(given) for given in ("a", "b", "b ", "c")] == ["a", "b", "b", "b"]


def test_spellings_of_one_label_are_told_and_the_most_frequent_one_is_used() -> None:
    spellings = Spellings()
    for given in ["refund", "refund", "refund\u200b", "bug", None, 1.0, "1.0", "1.0"]:
        spellings.add(given)
    assert spellings.chosen() == {"refund": "refund", "bug": "bug", "1": "1.0"}
    assert spellings.notes() == [
        'one label is written in 2 ways, read as "refund": "refund" (2 rows), "refund\\u200b" (1 row)',
        'one label is written in 2 ways, read as "1.0": "1.0" (2 rows), "1" (1 row)',
    ]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (("refund", "rеfund"), '"refund" (1 row), "rеfund" in Latin and Cyrillic letters (1 row)'),
        (("ХО", "XO"), '"ХО" in Cyrillic letters (1 row), "XO" (1 row)'),
        (("Refund", "refund"), '"Refund" (1 row), "refund" (1 row)'),
        (("a–b", "a-b"), '"a–b" (1 row), "a-b" (1 row)'),
        (("Ａ", "A"), '"Ａ" (1 row), "A" (1 row)'),
        (("می\u200cخواهم", "میخواهم"), '"می\\u200cخواهم" (1 row), "میخواهم" (1 row)'),
    ],
)
def test_labels_that_only_look_alike_are_told(labels: tuple[str, str], told: str) -> None:
    told = f"labels look alike and are different ones: {told}"
    assert look_alike(dict.fromkeys(labels, 1)) == [told]


def test_labels_that_differ_for_everybody_are_not_told() -> None:
    assert look_alike({"refund": 3, "возврат": 3, "refunds": 1, "1": 4, "l": 2}) == []


def test_of_many_only_the_first_are_listed() -> None:
    told = look_alike({label: 1 for n in range(30) for label in (f"label {n}", f"Label {n}")})
    assert told[-1] == "and 25 more of the kind"
    assert len(told) == 6

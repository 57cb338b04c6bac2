"""Files of descriptions: what a line must hold, what is approved, and which labels a description speaks for."""

import json
from pathlib import Path
from typing import Any

import pytest

from backend.core.descriptions import Description, described, descriptions_from, fitting
from backend.core.errors import BadInputError
from backend.core.projects import DESCRIPTIONS_FILE, ProjectFolder, ProjectSettings, config_hash
from backend.core.types import Label, LabelSpace

SPACE = LabelSpace((Label("lost", "Card lost"), Label("fee", "Fee", "what a card costs")), "other")
WHOLE = Description(
    "lost", "A card is gone.", {"fee": "The first is about the card itself."}, ("gone",), True, {"model": "m", "k": 5}
)


def line(**entries: Any) -> str:
    given = {"format": 1, "label": "lost", "description": "A card is gone.", "approved": True, **entries}
    return json.dumps({name: value for name, value in given.items() if value is not ...})


def test_what_is_written_is_read_again() -> None:
    other = Description("fee", "Was kostet «это»?")
    text = f"{WHOLE.to_json()}\n\n{other.to_json()}\n"
    assert descriptions_from(text, where="f") == (WHOLE, other)


def test_a_person_may_write_a_line_without_what_only_a_model_has_to_say() -> None:
    assert descriptions_from(line(description=" A card\n is gone. "), where="f") == (
        Description("lost", "A card is gone.", approved=True),
    )


BAD: list[tuple[str, str, str]] = [
    ("no JSON", "{", "f line 1 must be a JSON object, but is no JSON"),
    ("a list", "[]", "f line 1 must be a JSON object, was of type list"),
    ("no label", line(label=...), "must have the entry 'label', has format, description, approved"),
    ("an empty label", line(label=""), "label must be a label's value, was ''"),
    ("no format", line(format=...), "must have the entry 'format'"),
    ("a later format", line(format=2), "format must be 1, the format that this prelabel reads, was 2"),
    ("a format that is true", line(format=True), "format must be 1, the format that this prelabel reads, was True"),
    ("an unknown entry", line(note="x"), "must have no entries but label, description, .*, has 'note'; remove it"),
    ("approved in words", line(approved="yes"), "approved must be true or false, was 'yes'"),
    ("a description of a number", line(description=3), "description must be a string, was 3"),
    ("a list of differences", line(differences=["x"]), "differences must be an object of strings"),
    ("a difference of a number", line(differences={"fee": 1}), "differences must be an object of strings"),
    ("a word in place of words", line(not_in_examples="x"), "not_in_examples must be a list of words, was 'x'"),
    ("a maker that is a list", line(made_by=["x"]), "made_by must be an object of strings and whole numbers"),
    ("approved and empty", line(description="  "), "approved description must hold a word, is empty"),
    ("too long", line(description="x" * 1001), "description must have at most 1000 characters, has 1001"),
    ("a control character", line(description="a\x07"), "description must hold no control characters"),
    ("a label twice", f"{line()}\n{line()}", "f line 2: a label must have one line, 'lost' has two"),
]


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_wrong_line_says_which_and_what_to_do(text: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        descriptions_from(text, where="f")


def test_only_approved_lines_are_taken() -> None:
    assert fitting([WHOLE, Description("fee", "x")], SPACE) == (WHOLE,)


UNFIT = [
    ("an unknown label", [WHOLE, Description("gone", "x")], "'gone' is none"),
    ("the choice for none of these", [WHOLE, Description("other", "x")], "'other' is none"),
    ("told from an unknown label", [Description("fee", "x", {"gone": "y"}, approved=True)], "'gone' is none"),
    ("nothing approved", [Description("fee", "x")], 'none is; read and edit them, then write "approved": true'),
    ("nothing at all", [], "at least one of the 0 descriptions must be approved"),
]


@pytest.mark.parametrize(("lines", "message"), [row[1:] for row in UNFIT], ids=[row[0] for row in UNFIT])
def test_what_does_not_fit_the_labels_is_refused(lines: list[Description], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        fitting(lines, SPACE)


def test_a_description_is_the_hint_of_a_label_that_has_none_and_hints_win() -> None:
    space = described(SPACE, [WHOLE, Description("fee", "not this"), Description("no longer there", "x")])
    assert [(label.value, label.hint) for label in space.labels] == [
        ("lost", "A card is gone."),
        ("fee", "what a card costs"),
    ]
    assert space.oos_value == "other"
    assert space.labels[0].document == "Card lost. A card is gone."
    assert described(SPACE, []) == SPACE


def test_a_project_keeps_them_whole_and_has_none_before(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path)
    assert folder.descriptions() == ()
    folder.keep_descriptions([WHOLE, Description("fee", "x", approved=True)])
    folder.keep_descriptions([WHOLE])
    assert folder.descriptions() == (WHOLE,)
    assert [path.name for path in tmp_path.iterdir()] == [DESCRIPTIONS_FILE]


@pytest.mark.parametrize("content", [b"\xff", b"{"], ids=["not UTF-8", "no JSON"])
def test_a_kept_file_that_was_broken_is_named_without_the_path_of_the_state(content: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "7-1"
    folder.mkdir()
    (folder / DESCRIPTIONS_FILE).write_bytes(content)
    with pytest.raises(BadInputError, match=r"^projects/7-1/descriptions\.jsonl "):
        ProjectFolder(folder).descriptions()


def test_the_hash_of_a_config_takes_the_descriptions_in_and_nothing_else_of_their_lines() -> None:
    def hashed(*descriptions: Description) -> str:
        return config_hash("<View/>", ProjectSettings(), descriptions)

    changed, more = Description("lost", "Another."), Description("lost", WHOLE.description)
    assert hashed(WHOLE) == hashed(more)
    assert len({hashed(), hashed(WHOLE), hashed(changed)}) == 3

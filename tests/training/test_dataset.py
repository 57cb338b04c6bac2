"""Whose word counts as a label, and whose may also judge a model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.core.projects import ProjectSettings, is_blind
from backend.core.types import Example
from backend.labelstudio.records import Annotation, Task
from backend.labelstudio.schema import Control, read_config
from backend.ledger import How, OnScreen, Shown
from training.dataset import how_accepted, label_of_annotation, read_export, task_label, training_set

KEY = "84-1795230264"
CONFIG = """
<View><Text name="t" value="$text"/><Choices name="c" toName="t">
  <Choice value="Yes" alias="yes"/><Choice value="no"/><Choice value="maybe"/><Choice value="other"/>
</Choices></View>"""
ANN, BOB, CYD = 1, 2, 3  # annotators


@pytest.fixture
def control() -> Control:
    found = read_config(CONFIG)
    assert isinstance(found, Control)
    return found


def region(*labels: str, name: str = "c") -> dict[str, Any]:
    return {"from_name": name, "to_name": "t", "type": "choices", "value": {"choices": list(labels)}}


def said(label: str, by: int = ANN, *, id: int = 0, at: str = "2026-01-01", **changes: Any) -> Annotation:  # noqa: A002
    """An annotation that a person submitted."""
    fields = {
        "id": id or by, "completed_by": by, "result": (region(label),) if label else (),
        "was_cancelled": False, "ground_truth": False, "lead_time_s": 2.0, "created_at": at, "updated_at": at,
        "parent_prediction": None, "has_prediction": False, "import_id": None, "updated_by": by,
    }  # fmt: skip
    return Annotation(**{**fields, **changes})


def imported(label: str, by: int = ANN, **changes: Any) -> Annotation:
    """One that came with its task: nobody submitted it, and Label Studio marks it as ground truth by itself."""
    return said(label, by, **{"updated_by": None, "ground_truth": True, "lead_time_s": None, **changes})


def bulk(label: str, by: int = ANN, **changes: Any) -> Annotation:
    """One out of a prediction, with many others: nobody submitted it."""
    return said(label, by, **{"updated_by": None, "parent_prediction": 9, "lead_time_s": None, **changes})


def task(*annotations: Annotation, id: int = 7, text: Any = "a text") -> Task:  # noqa: A002
    return Task(id, {"text": text}, "2026-01-01", "2026-01-01", True, len(annotations), 0, annotations, ())


VOTES: list[tuple[str, list[Annotation], str | None]] = [
    ("nobody said anything", [], None),
    ("one person", [said("yes")], "yes"),
    ("all agree", [said("yes", ANN), said("yes", BOB)], "yes"),
    ("the majority", [said("yes", ANN), said("no", BOB), said("yes", CYD)], "yes"),
    ("a tie", [said("yes", ANN), said("no", BOB)], None),
    ("a tie of two with a third behind", [*(said("yes", by) for by in (1, 2)), *(said("no", by) for by in (3, 4)),
                                         said("maybe", 5)], None),
    ("three opinions", [said("yes", ANN), said("no", BOB), said("maybe", CYD)], None),
    ("a person who thought again", [said("yes", at="2026-01-01"), said("no", at="2026-01-02")], "no"),
    ("a person who changed the older one", [said("yes", id=1, at="2026-01-03"), said("no", id=2, at="2026-01-02")],
     "yes"),
    ("two at the same moment: the later id", [said("no", id=5), said("yes", id=4)], "no"),
    ("a person votes once", [said("yes", ANN, at="1"), said("yes", ANN, at="2"), said("no", BOB)], None),
    ("only a skip", [said("", was_cancelled=True)], None),
    ("a skip beside a label", [said("", ANN, was_cancelled=True), said("no", BOB)], "no"),
    ("a skip after one's own label", [said("yes", at="1"), said("yes", at="2", was_cancelled=True)], "yes"),
    ("a cancelled label is none", [said("yes", was_cancelled=True)], None),
    ("a label that left the config", [said("gone")], None),
    ("a label that left the config beside one that did not", [said("gone", ANN), said("gone", BOB), said("no", CYD)],
     "no"),
    ("the name of a label that has an alias", [said("Yes")], "yes"),
    ("out of scope is a label", [said("other")], "other"),
    ("a person's ground truth beats the majority",
     [said("yes", ANN), said("yes", BOB), said("no", CYD, ground_truth=True)], "no"),
    ("two ground truths that differ", [said("yes", ANN, ground_truth=True), said("no", BOB, ground_truth=True)], None),
    ("an imported ground truth is one voice", [imported("yes", ANN), said("no", BOB), said("no", CYD)], "no"),
    ("an imported label beside a person's", [imported("yes", ANN), said("no", BOB)], None),
    ("an imported label alone", [imported("yes")], "yes"),
    ("a bulk label alone", [bulk("yes")], "yes"),
    ("a person who corrected a bulk label of the same account", [bulk("yes", at="1"), said("no", at="2")], "no"),
    ("a bulk label after one's own", [said("no", at="1"), bulk("yes", at="2")], "no"),
]  # fmt: skip


@pytest.mark.parametrize(("annotations", "label"), [row[1:] for row in VOTES], ids=[row[0] for row in VOTES])
def test_the_label_of_a_task_is_what_most_people_said_last(
    annotations: list[Annotation], label: str | None, control: Control
) -> None:
    found = task_label(task(*annotations), control, {})
    assert (found.label if found else None) == label


REGIONS: list[tuple[str, Any, str]] = [
    ("one choice", [region("yes")], "yes"),
    ("nothing", [], ""),
    ("another control first", [region("no", name="d"), region("yes")], "yes"),
    ("only another control", [region("no", name="d")], ""),
    ("a text beside", [{"from_name": "note", "value": {"text": ["x"]}}, region("yes")], "yes"),
    ("two choices", [region("yes", "no")], ""),
    ("no choices", [region()], ""),
    ("choices that are a number", [{"from_name": "c", "value": {"choices": 5}}], ""),
    ("choices that are a word", [{"from_name": "c", "value": {"choices": "y"}}], ""),
    ("choices that are null", [{"from_name": "c", "value": {"choices": None}}], ""),
    ("a value that is a number", [{"from_name": "c", "value": 5}], ""),
    ("no value", [{"from_name": "c"}], ""),
    ("an empty region", [{}], ""),
]


@pytest.mark.parametrize(("result", "label"), [row[1:] for row in REGIONS], ids=[row[0] for row in REGIONS])
def test_an_annotation_of_any_shape_holds_one_label_or_none(result: Any, label: str, control: Control) -> None:
    assert label_of_annotation(said("yes", result=tuple(result)), control) == label


TEXTS = [("no text", None), ("a list", ["a"]), ("an object", {"a": 1})]


@pytest.mark.parametrize("text", [row[1] for row in TEXTS], ids=[row[0] for row in TEXTS])
def test_a_label_without_a_text_teaches_nothing(text: Any, control: Control) -> None:
    assert task_label(task(said("yes"), text=text), control, {}) is None


def seen(label: str, kind: str = "") -> OnScreen:
    return OnScreen(Shown(1, "pl-1", 0, label, 0.5, "retrieve", kind or ("label" if label else "abstain")))


SIGHTED = next(n for n in range(1, 100) if not is_blind(KEY, n, 0.5))
BLIND = next(n for n in range(1, 100) if is_blind(KEY, n, 0.5))
NOBODY_KNOWS = OnScreen(None, known=False)
ORIGINS: list[tuple[str, Annotation, int, OnScreen, How | None, How]] = [
    ("submitted under a tick", said("yes"), SIGHTED, seen("yes"), None, "seen"),
    ("corrected", said("no"), SIGHTED, seen("yes"), None, "seen"),
    ("submitted where nothing was ticked", said("yes"), SIGHTED, seen(""), None, "unaided"),
    ("submitted before anything was shown", said("yes"), SIGHTED, OnScreen(None), None, "unaided"),
    ("submitted by who does not say what was shown", said("yes"), SIGHTED, NOBODY_KNOWS, None, "unknown"),
    ("the same on a blind task, which never shows any", said("yes"), BLIND, NOBODY_KNOWS, None, "blind"),
    ("submitted on a blind task", said("yes"), BLIND, seen("", "blind"), None, "blind"),
    ("submitted under a tick, before the share of blind tasks grew", said("yes"), BLIND, seen("yes"), None, "seen"),
    ("accepted in bulk", bulk("yes"), SIGHTED, seen("yes"), None, "bulk"),
    ("accepted in bulk, on a blind task", bulk("yes"), BLIND, seen("", "blind"), None, "bulk"),
    ("imported", imported("yes"), SIGHTED, OnScreen(None), None, "imported"),
    ("in bulk, whose prediction was deleted since", imported("yes"), SIGHTED, OnScreen(None), "bulk", "bulk"),
]


@pytest.mark.parametrize(
    ("annotation", "task_id", "on_screen", "before", "how"),
    [row[1:] for row in ORIGINS],
    ids=[row[0] for row in ORIGINS],
)
def test_how_a_label_came_to_be_is_told_from_who_submitted_it_and_what_was_on_the_screen(
    annotation: Annotation, task_id: int, on_screen: OnScreen, before: How | None, how: How
) -> None:
    assert how_accepted(annotation, KEY, on_screen, before, 0.5, task_id) == how


JUDGES: list[tuple[str, list[Annotation], dict[int, How], How, bool]] = [
    ("a person under a tick", [said("yes", id=1)], {1: "seen"}, "seen", True),
    ("a person without a tick", [said("yes", id=1)], {1: "unaided"}, "unaided", True),
    ("a person on a blind task", [said("yes", id=1)], {1: "blind"}, "blind", True),
    ("a person, whom the ledger has missed", [said("yes", id=1)], {}, "seen", True),
    ("bulk", [bulk("yes", id=1)], {1: "bulk"}, "bulk", False),
    ("bulk, which the ledger has missed", [bulk("yes", id=1)], {}, "bulk", False),
    ("bulk, whose prediction was deleted since", [imported("yes", id=1)], {1: "bulk"}, "bulk", False),
    ("imported", [imported("yes", id=1)], {1: "imported"}, "imported", False),
    ("imported, which the ledger has missed", [imported("yes", id=1)], {}, "imported", False),
    ("bulk, then changed by a person", [said("yes", id=1, parent_prediction=9)], {1: "bulk"}, "seen", True),
    ("imported, and a person says the same", [imported("yes", ANN, id=1), said("yes", BOB, id=2)],
     {1: "imported", 2: "blind"}, "blind", True),
    ("imported, and a person was outvoted",
     [imported("yes", ANN, id=1), imported("yes", BOB, id=2), said("no", CYD, id=3)],
     {1: "imported", 2: "imported", 3: "blind"}, "imported", False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("annotations", "how", "origin", "judges"), [row[1:] for row in JUDGES], ids=[row[0] for row in JUDGES]
)
def test_only_labels_that_a_person_gave_one_by_one_judge(
    annotations: list[Annotation], how: dict[int, How], origin: How, judges: bool, control: Control
) -> None:
    found = task_label(task(*annotations), control, how)
    assert found is not None
    assert (found.how, found.judges) == (origin, judges)


def test_a_label_that_was_renamed_trains_under_its_present_name_and_a_dropped_one_not(control: Control) -> None:
    renamed = replace(control, renamed={"oui": "yes", "peut-etre": ""})
    tasks = [task(said("oui"), id=1), task(said("peut-etre"), id=2), task(said("no"), id=3)]
    examples, _ = training_set(tasks, renamed, {}, ProjectSettings())
    assert [(example.id, example.label) for example in examples] == [("1", "yes"), ("3", "no")]


def test_a_training_set_leaves_out_what_has_no_label_and_says_who_may_judge(control: Control) -> None:
    tasks = [
        task(said("yes", id=1), id=1, text="один"),
        task(bulk("no", id=2), id=2, text="two"),
        task(imported("other", id=3), id=3, text=3.0),
        task(said("", was_cancelled=True, id=4), id=4),
        task(id=5),
    ]
    examples, judges = training_set(tasks, control, {}, ProjectSettings())
    assert examples == [Example("1", "один", "yes"), Example("2", "two", "no"), Example("3", "3", "other")]
    assert judges == {"1"}


def test_labels_accepted_in_bulk_train_only_where_the_project_says_so(control: Control) -> None:
    tasks = [task(said("yes", id=1), id=1), task(bulk("no", id=2), id=2)]
    examples, judges = training_set(tasks, control, {}, ProjectSettings(train_on_bulk=False))
    assert ([example.id for example in examples], judges) == (["1"], frozenset({"1"}))


def test_an_export_is_read_as_label_studio_writes_it(tmp_path: Path, control: Control) -> None:
    person = {"id": 5, "completed_by": {"id": 2, "email": "b@example.com"}, "result": [region("no")], "updated_by": 2}
    raw = [{"id": 1, "data": {"text": "Привет"}, "annotations": [person], "predictions": [3, 4]}]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(raw), encoding="utf-8")
    (read,) = read_export(path)
    assert read.annotations[0].completed_by == BOB, "an id, or a whole person"
    found = task_label(read, control, {})
    assert found is not None
    assert (found.text, found.label, found.judges) == ("Привет", "no", True)


def test_an_empty_export_is_no_examples(tmp_path: Path, control: Control) -> None:
    (tmp_path / "export.json").write_text("[]", encoding="utf-8")
    tasks = read_export(tmp_path / "export.json")
    assert training_set(tasks, control, {}, ProjectSettings()) == ([], frozenset())

"""Label Studio's own exports as inputs: JSON, JSON_MIN and CSV as its converter writes them, several annotators too."""

import json
from pathlib import Path
from typing import Any

import pytest
from label_studio_sdk.converter.converter import Converter

from backend.core.errors import BadInputError
from backend.labelstudio.schema import Control, read_config
from backend.moving import rows as importing
from backend.rows.names import Names
from backend.rows.reading import FileOptions, FileSource
from backend.rows.records import Reject
from backend.rows.texts import Reading, Row, TextFile

CONFIG = """<View><Text name="text" value="$text"/><Choices name="{name}" toName="text" choice="{choice}">
<Choice value="delivery"/><Choice value="refund"/></Choices></View>"""
NOBODY, ANNA, BEN, CLEO = 0, 1, 2, 3
NOON, LATER = "2026-01-02T12:00:00.000000Z", "2026-01-03T12:00:00.000000Z"


def annotation(person: int, *labels: str, at: str = NOON, skipped: bool = False, name: str = "label") -> dict[str, Any]:
    region = {
        "id": "r", "from_name": name, "to_name": "text", "type": "choices", "value": {"choices": list(labels)},
    }  # fmt: skip
    return {
        "id": person, "completed_by": person, "result": [region] if labels else [], "was_cancelled": skipped,
        "ground_truth": False, "created_at": at, "updated_at": at, "lead_time": 2.5,
    }  # fmt: skip


def task(number: int, text: str, *annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {
        "id": number, "data": {"text": text, **data}, "annotations": list(annotations), "drafts": [], "predictions": [],
        "meta": {}, "created_at": NOON, "updated_at": NOON, "project": 9,
    }  # fmt: skip


TASKS = [
    task(1, "parcel is late", annotation(ANNA, "delivery"), source="mail"),
    task(2, "two of three", annotation(ANNA, "refund"), annotation(BEN, "delivery"), annotation(CLEO, "refund")),
    task(3, "a tie", annotation(ANNA, "refund"), annotation(BEN, "delivery")),
    task(4, "the latest counts", annotation(ANNA, "delivery"), annotation(ANNA, "refund", at=LATER)),
    task(5, "a skip counts nothing", annotation(ANNA, skipped=True), annotation(BEN, "refund")),
]
LABELS = {
    "parcel is late": "delivery",
    "two of three": "refund",
    "a tie": "",
    "the latest counts": "refund",
    "a skip counts nothing": "refund",
}


def exported(
    folder: Path, kind: str, tasks: list[dict[str, Any]], *, name: str = "label", choice: str = "single"
) -> Path:
    """A file as Label Studio's converter makes it."""
    (folder / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
    if kind == "JSON":
        return folder / "tasks.json"
    converter = Converter(CONFIG.format(name=name, choice=choice), project_dir=None)  # type: ignore[no-untyped-call]
    converter.convert(str(folder / "tasks.json"), str(folder / "out"), kind, is_dir=False)  # type: ignore[no-untyped-call]
    return folder / "out" / ("result.json" if kind == "JSON_MIN" else "result.csv")


def texts(path: Path, *, label: str = "") -> tuple[list[Row], list[Reject], list[str]]:
    rejects: list[Reject] = []
    said: list[str] = []
    reading = Reading(names=Names(label=label), file=FileOptions(label=label))
    return list(TextFile(path, reading, True, rejects.append, said.append).rows()), rejects, said


KINDS = ["JSON", "JSON_MIN", "CSV"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_task_is_one_text_with_the_label_that_most_people_gave(tmp_path: Path, kind: str) -> None:
    rows, rejects, said = texts(exported(tmp_path, kind, TASKS))
    assert {row.text: row.label for row in rows} == LABELS
    assert rejects == []
    assert "people disagree evenly on 1 tasks: these come without a label" in said
    assert {row.columns["lead_time"] for row in rows if row.label} <= {2.5, "2.5"}


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_imported_with_their_data_alone(tmp_path: Path, kind: str) -> None:
    control = read_config(CONFIG.format(name="label", choice="single"))
    assert isinstance(control, Control)
    reader = importing.RowReader(control, Names(), lambda _: 1)
    found = [reader.read(record) for record in FileSource(exported(tmp_path, kind, TASKS)).records()]
    assert all(isinstance(row, importing.Row) for row in found)
    rows = [row for row in found if isinstance(row, importing.Row)]
    assert {row.data["text"]: row.label for row in rows} == LABELS
    added = {"annotator", "annotation_id", "created_at", "updated_at", "lead_time", "annotations", "data", "drafts"}
    assert not added & set().union(*(row.data for row in rows))
    assert next(row for row in rows if row.data["text"] == "parcel is late").data["source"] == "mail"


@pytest.mark.parametrize("kind", ["JSON_MIN", "CSV"])
def test_a_label_column_of_another_name_is_named_or_asked_for(tmp_path: Path, kind: str) -> None:
    tasks = [task(1, "parcel is late", annotation(ANNA, "delivery", name="topic"))]
    path = exported(tmp_path, kind, tasks, name="topic")
    assert [row.label for row in texts(path, label="topic")[0]] == ["delivery"]
    with pytest.raises(BadInputError, match=r"must have the column 'label', have .*topic.*--label"):
        texts(path)


def test_in_json_the_only_control_needs_no_name_and_of_several_one_must_be_named(tmp_path: Path) -> None:
    one = annotation(ANNA, "delivery", name="topic")
    both = {**one, "result": [*one["result"], *annotation(ANNA, "angry", name="mood")["result"]]}
    path = exported(tmp_path, "JSON", [task(1, "a", one), task(2, "b", both)])
    rows, rejects, _ = texts(path)
    assert [row.label for row in rows] == ["delivery"]
    assert [reject.reason for reject in rejects] == [
        "the labels are of several controls, mood, topic: say which with --label"
    ]
    assert [row.label for row in texts(path, label="mood")[0]] == ["", "angry"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_annotation_of_several_labels_is_left_out_with_its_reason(tmp_path: Path, kind: str) -> None:
    tasks = [task(7, "both", annotation(ANNA, "delivery", "refund")), TASKS[0]]
    rows, rejects, _ = texts(exported(tmp_path, kind, tasks, choice="multiple"))
    assert [row.label for row in rows] == ["delivery"]
    assert [reject.number for reject in rejects] == [1]
    assert "a label must be one value, was a list of 2" in rejects[0].reason


def test_the_rows_of_a_task_that_stand_apart_are_told(tmp_path: Path) -> None:
    path = exported(tmp_path, "CSV", TASKS[:3])
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    by_person = sorted(lines, key=lambda line: line.split(",")[1])
    path.write_text("\n".join([header, *by_person]) + "\n", encoding="utf-8")
    rows, rejects, _ = texts(path)
    assert len(rows) == 3
    assert {reject.reason for reject in rejects} == {"the rows of one task must stand together; sort the file by id"}


def test_a_task_without_annotations_has_no_label_and_one_that_prelabel_made_keeps_its_identity(tmp_path: Path) -> None:
    ours = task(2, "ours", annotation(ANNA, "refund"), prelabel_id="week-1", label="delivery")
    for kind in KINDS:
        new, old = texts(exported(tmp_path, kind, [task(1, "new"), ours]))[0]
        assert (new.text, new.label) == ("new", ""), kind
        assert (old.id, old.text, old.label) == ("week-1", "ours", "refund"), kind
        if kind != "JSON_MIN":  # which overwrites a column that bears the control's name
            assert old.columns["label"] == "delivery", kind

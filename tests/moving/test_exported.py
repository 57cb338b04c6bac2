"""Rows of an export by hand-made tasks: whose label it is, and what was shown. Formulae against hand-worked numbers."""

from collections import Counter
from typing import Any

import pytest

from backend.core.errors import BadInputError
from backend.core.projects import ProjectSettings
from backend.labelstudio.records import Task, task_of
from backend.labelstudio.schema import Control, read_config
from backend.ledger import Accepted, How, Shown
from backend.loop.order import places
from backend.moving.dividing import division, shares_of
from backend.moving.exported import History, TaskRows
from tests.moving.playground import CONFIG
from training.splits import group_of


def annotation(number: int, label: str, person: int, **other: Any) -> dict[str, Any]:
    result = [{"from_name": "c", "to_name": "t", "type": "choices", "value": {"choices": [label]}}] if label else []
    when = f"2026-01-0{number}T00:00:00Z"
    return {
        "id": number, "completed_by": person, "result": result, "updated_by": person, "created_at": when,
        "updated_at": when, "was_cancelled": not label, **other,
    }  # fmt: skip


def task(*annotations: dict[str, Any]) -> Task:
    return task_of({"id": 1, "data": {"text": "tea"}, "annotations": list(annotations), "predictions": []})


def accepted(number: int, how: How, shown: str) -> Accepted:
    return Accepted(1, number, "", 1, "", how, 1.0, "pl-1", 0, shown, 0.75, "classify")


def row_of(task: Task, *known: Accepted, train_on_bulk: bool = True, train_on_auto: bool = False) -> dict[str, Any]:
    control = read_config(CONFIG)
    assert isinstance(control, Control)
    settings = ProjectSettings(train_on_bulk=train_on_bulk, train_on_auto=train_on_auto)
    rows = TaskRows("training", control, settings, "pl-1", own_keys=False)
    return next(rows.of(task, {each.annotation_id: each for each in known}), {})


def test_the_majority_speaks_and_agreement_is_its_share() -> None:
    row = row_of(task(annotation(1, "no", 1), annotation(2, "y", 2), annotation(3, "y", 3), annotation(4, "", 4)))
    assert (row["label"], row["annotator_id"], row["agreement"]) == ("y", 3, 0.6667)
    assert row_of(task(annotation(1, "no", 1)))["agreement"] is None, "one voice agrees with nobody"


def test_a_tie_and_a_skip_are_no_labels() -> None:
    assert row_of(task(annotation(1, "no", 1), annotation(2, "y", 2))) == {}
    assert row_of(task(annotation(1, "", 1))) == {}


SHOWN = [
    ("kept", accepted(1, "seen", "y"), "y", False),
    ("corrected", accepted(1, "seen", "no"), "no", True),
    ("accepted in bulk", accepted(1, "bulk", "y"), "y", False),
    ("blind: nobody saw it", accepted(1, "blind", "no"), "no", None),
    ("nothing was ticked", accepted(1, "unaided", ""), "", None),
]


@pytest.mark.parametrize(("known", "predicted", "changed"), [row[1:] for row in SHOWN], ids=[row[0] for row in SHOWN])
def test_the_ledger_says_what_was_shown_and_how_it_was_accepted(
    known: Accepted, predicted: str, changed: bool | None
) -> None:
    bulk = {"updated_by": None, "parent_prediction": 1} if known.how == "bulk" else {}
    row = row_of(task(annotation(1, "y", 1, **bulk)), known)
    assert (row["predicted_label"], row["changed"], row["how_accepted"]) == (predicted, changed, known.how)
    assert (row["confidence"], row["model_version"]) == (0.75, "pl-1")


def test_bulk_labels_train_only_where_the_project_says_so() -> None:
    bulk = task(annotation(1, "y", 1, updated_by=None, parent_prediction=1))
    assert row_of(bulk, accepted(1, "bulk", "y"))["how_accepted"] == "bulk"
    assert row_of(bulk, accepted(1, "bulk", "y"), train_on_bulk=False) == {}


def test_labels_that_no_person_gave_train_only_where_the_project_says_so() -> None:
    ours = task(annotation(1, "y", 1))
    assert row_of(ours, accepted(1, "auto", "y")) == {}
    row = row_of(ours, accepted(1, "auto", "y"), train_on_auto=True)
    assert (row["how_accepted"], row["changed"]) == ("auto", None), "nobody saw a tick"


def test_like_texts_stay_together_and_each_label_has_its_share_of_every_part() -> None:
    rows = [(f"word{n % 150} tea", "y" if n % 150 < 100 else "no") for n in range(300)]
    rows += [("Tea, WORD1!", "y"), ("order of words", "no"), ("words of order", "no")]
    with division() as parts:
        for text, label in rows:
            parts.add(text, label)
        parts.divide(shares_of("0.8/0.1/0.1"))
        found = list(parts.parts())
    assert len({(group_of(text), part) for (text, _), part in zip(rows, found, strict=True)}) == len(
        {group_of(text) for text, _ in rows}
    )
    sizes = Counter((label, part) for (_, label), part in zip(rows, found, strict=True))
    assert (sizes["y", "train"], sizes["y", "validation"], sizes["y", "test"]) == pytest.approx((161, 20, 20), abs=2)
    assert (sizes["no", "train"], sizes["no", "test"]) == pytest.approx((82, 10), abs=2)


@pytest.mark.parametrize("text", ["0.8", "0.8/0.3", "a/b", "1/0", "0.2/0.2/0.2/0.4"])
def test_shares_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="must be two or three shares that sum to 1, as in"):
        shares_of(text)


PLACED = [
    ("of the version that the ledger has", "pl-1", "label", 0.75),
    ("of another one", "pl-2", "label", None),
    ("of a blind task, of which nothing is told", "pl-1", "blind", None),
    ("of somebody else, whose scores are theirs", "theirs", "label", places(1)[0]),
]


@pytest.mark.parametrize(("version", "kind", "told"), [row[1:] for row in PLACED], ids=[row[0] for row in PLACED])
def test_a_score_that_is_a_place_comes_out_as_the_confidence(version: str, kind: str, told: float | None) -> None:
    items = [{"id": 1, "model_version": version, "score": places(1)[0]}]
    placed = task_of({"id": 1, "data": {}, "annotations": [], "predictions": items})
    row = Shown(1, "pl-1", 0, "y", 0.75, "classify", kind)
    (found,) = History(lambda _: {}, lambda _: {1: row}).with_confidences([placed])
    assert found.predictions[0]["score"] == told

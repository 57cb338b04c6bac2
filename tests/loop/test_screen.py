"""What was on the screen when an annotation was submitted, from what Label Studio tells of it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from backend.labelstudio.records import Annotation, Json, Task, task_of
from backend.ledger import OnScreen, Shown
from backend.loop.screen import on_screen

PREDICTION, OPENED = 31, 1_800_000_000.0
FIRST = Shown(7, "pl-1", 1, "refund", 0.41, "retrieve", "label")
TICKED = replace(FIRST, generation=2, label="parcel", stored_at=OPENED - 60)
LATER = replace(FIRST, generation=3, label="praise", stored_at=OPENED + 20)
EMPTIED = replace(FIRST, generation=2, label="", kind="abstain", stored_at=OPENED - 60)
BLIND = replace(FIRST, kind="blind")
OLD = replace(FIRST, version="pl-0")


def region(label: str, region_id: str) -> Json:
    return {"id": region_id, "from_name": "c", "to_name": "t", "type": "choices", "value": {"choices": [label]}}


def submitted(
    *regions: Json, parent: int | None = PREDICTION, snapshot: bool = True, draft: bool = False
) -> Annotation:
    """As a page submits it, 30 s after it was opened."""
    raw = {
        "id": 5,
        "completed_by": 1,
        "updated_by": 1,
        "result": list(regions),
        "lead_time": 30.0,
        "created_at": datetime.fromtimestamp(OPENED + 30, UTC).isoformat(),
        "parent_prediction": parent,
        "prediction": {"id": PREDICTION} if snapshot else {},
        "draft_created_at": "2026-01-01T00:00:00Z" if draft else None,
    }
    return task_of({"id": 7, "annotations": [raw]}).annotations[0]


def task(version: str = "pl-1") -> Task:
    return task_of({"id": 7, "predictions": [{"id": PREDICTION, "model_version": version}]})


KEPT = submitted(region("parcel", TICKED.region_id))
CHANGED = submitted(region("praise", TICKED.region_id))
RETICKED = submitted(region("praise", "8RkqNxXzBR"))
CASES: list[tuple[str, Annotation, Task, list[Shown], OnScreen]] = [
    ("the tick is kept", KEPT, task(), [FIRST, TICKED], OnScreen(TICKED)),
    ("and was replaced since", KEPT, task(), [FIRST, TICKED, LATER], OnScreen(TICKED)),
    ("another label is chosen", CHANGED, task(), [FIRST, TICKED, LATER], OnScreen(TICKED)),
    ("the tick is taken away, another made", RETICKED, task(), [FIRST], OnScreen(FIRST)),
    ("and was replaced long after the page was opened", RETICKED, task(), [FIRST, TICKED, LATER], OnScreen(TICKED)),
    ("and was replaced while the page loaded", RETICKED, task(), [FIRST, replace(TICKED, stored_at=OPENED)],
     OnScreen(None, known=False)),
    ("and there is a draft, opened who knows when", submitted(region("praise", "x"), draft=True), task(),
     [FIRST, TICKED], OnScreen(None, known=False)),
    ("nothing was ticked", RETICKED, task(), [FIRST, EMPTIED, LATER], OnScreen(EMPTIED)),
    ("a blind task", RETICKED, task(), [BLIND], OnScreen(BLIND)),
    ("another version is ticked since", RETICKED, task("pl-0"), [OLD, TICKED], OnScreen(OLD)),
    ("somebody else's prediction", RETICKED, task("theirs"), [FIRST], OnScreen(None)),
    ("no prediction, then or now", submitted(region("praise", "x"), parent=None, snapshot=False), task(), [],
     OnScreen(None)),
    ("a prediction came while the page was open", submitted(region("praise", "x"), parent=None), task(), [FIRST],
     OnScreen(None, known=False)),
    ("one that ticks nothing came meanwhile", submitted(region("praise", "x"), parent=None), task(), [BLIND],
     OnScreen(BLIND)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("annotation", "labelled", "rows", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_record_is_what_was_on_the_screen_or_says_that_nobody_knows(
    annotation: Annotation, labelled: Task, rows: list[Shown], wanted: OnScreen
) -> None:
    assert on_screen(annotation, labelled, rows) == wanted


def test_equal_ticks_have_equal_names_and_others_have_others() -> None:
    assert replace(FIRST, task_id=8).region_id == FIRST.region_id
    rows = [FIRST, TICKED, LATER, OLD, replace(FIRST, confidence=0.42), replace(FIRST, stage="vote")]
    assert len({row.region_id for row in rows}) == len(rows)

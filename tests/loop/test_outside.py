"""A project is told that a label may be missing where many texts fit none."""

import pytest

from backend.loop.outside import told_outside

TRAINED, COLD = "pl-20260101T000000Z-00000000", "pl-0-00000000"


@pytest.mark.parametrize(
    ("version", "decided", "said"),
    [
        (TRAINED, {}, ""),
        (TRAINED, {"label": 340, "out_of_scope": 60}, "60 of 400 texts fit no label: add one?"),
        (TRAINED, {"label": 60, "out_of_scope": 19}, ""),
        (TRAINED, {"label": 9000, "out_of_scope": 60}, ""),
        (COLD, {"label": 340, "out_of_scope": 60}, ""),
    ],
    ids=["nothing decided", "many", "too few to tell", "a small share", "before any training"],
)
def test_many_texts_that_fit_no_label_are_told_of(version: str, decided: dict[str, int], said: str) -> None:
    told = told_outside(7, version, decided)
    assert told.startswith(said)
    assert bool(told) == bool(said)
    assert not said or "prelabel missing-labels --project 7" in told

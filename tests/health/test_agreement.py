"""Shares of agreement, worked out by hand, and which version served before."""

import pytest

from backend.health.agreement import Agreement, blind_agreement, served_before, ticks_kept
from backend.ledger import Acceptance, Training

ROWS = [
    Acceptance("pl-1", "seen", ticked=True, kept=True, n=6),
    Acceptance("pl-1", "seen", ticked=True, kept=False, n=2),
    Acceptance("pl-2", "seen", ticked=True, kept=True, n=1),
    Acceptance("pl-1", "bulk", ticked=True, kept=True, n=100),
    Acceptance("pl-1", "blind", ticked=True, kept=True, n=3),
    Acceptance("pl-2", "blind", ticked=True, kept=False, n=1),
    Acceptance("pl-2", "blind", ticked=False, kept=False, n=5),
]


def test_only_ticks_that_a_person_saw_count_for_a_version() -> None:
    assert ticks_kept(ROWS, "pl-1") == Agreement(8, 6)
    assert ticks_kept(ROWS, "pl-1").share == 0.75
    assert ticks_kept(ROWS, "pl-1").needs == 22


def test_blind_agreement_leaves_out_what_would_not_have_been_ticked() -> None:
    assert blind_agreement(ROWS) == Agreement(4, 3)


def test_without_labels_there_is_no_share() -> None:
    assert (ticks_kept(ROWS, "pl-3").share, ticks_kept(ROWS, "pl-3").needs) == (None, 30)


def training(version: str, *, promoted: bool) -> Training:
    return Training(version, "due", 0.0, 1.0, 10, promoted, "")


@pytest.mark.parametrize(
    ("current", "before"),
    [("pl-c", "pl-a"), ("pl-a", "pl-0-x"), ("pl-0-x", ""), ("pl-unknown", "pl-c")],
    ids=["after a version that was not promoted", "after the cold one", "the first", "one that was never promoted"],
)
def test_the_version_before_is_the_last_that_was_promoted(current: str, before: str) -> None:
    trainings = [training("pl-a", promoted=True), training("pl-b", promoted=False), training("pl-c", promoted=True)]
    assert served_before(current, ["pl-0-x", "pl-a", "pl-b", "pl-c"], trainings) == before

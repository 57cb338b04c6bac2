"""Shares of agreement, worked out by hand."""

from backend.health.agreement import Agreement, blind_agreement, ticks_kept
from backend.ledger import Acceptance

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

"""Agreement by confidence on blind tasks, and what a lazy annotator does to the naive estimate."""

import numpy as np
import pytest

from backend.core.bounds import share_interval
from backend.health.agreement import Agreement, bands, blind_agreement, ticks_kept
from backend.ledger import Acceptance, Accepted

N_RUNS = 10_000


def blind(confidence: float | None, *, agrees: bool, shown: str = "a") -> Accepted:
    return Accepted(
        task_id=1, annotation_id=1, annotation_updated_at="t", annotator=1, label=shown if agrees else "b", how="blind",
        lead_time_s=None, version="pl-1", generation=0, shown_label=shown, confidence=confidence, stage="classify",
    )  # fmt: skip


def test_labels_are_compared_in_bands_of_confidence() -> None:
    rows = [blind(0.92, agrees=True), blind(0.94, agrees=False), blind(1.0, agrees=True)]
    low, high = bands([*rows, blind(0.9, agrees=True, shown=""), blind(None, agrees=True)])
    assert (low.name, low.agreement) == ("0.9-0.95", Agreement(2, 1))
    assert low.promised == pytest.approx(0.93)
    assert (high.name, high.agreement) == ("0.98-1", Agreement(1, 1))


def test_a_band_is_under_its_promise_where_chance_does_not_explain_it() -> None:
    def under(n_right: int, n: int) -> bool:
        (band,) = bands([blind(0.96, agrees=row < n_right) for row in range(n)])
        return band.under

    assert not under(1, 2), "two labels say nothing"
    assert not under(46, 50)
    assert under(38, 50)


def test_confidences_that_are_right_raise_hardly_ever_an_alarm() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        sure = 1 - rng.beta(0.6, 3.0, size=300)
        rows = [blind(float(c), agrees=bool(rng.random() < c)) for c in sure]
        alarms += any(band.under for band in bands(rows))
    assert alarms <= 200 * 0.03


@pytest.mark.parametrize("precision", [0.8, 0.95])
def test_blind_tasks_tell_the_precision_that_an_annotator_who_lets_wrong_ticks_pass_hides(precision: float) -> None:
    """3 % of 10,000 tasks are blind; of the others' wrong ticks 30 % are accepted."""
    rng = np.random.default_rng(0)
    inside = naive_inside = 0
    for _ in range(N_RUNS):
        n_blind = int(rng.binomial(10_000, 0.03))
        n_right = int(rng.binomial(n_blind, precision))
        n_shown = 10_000 - n_blind
        n_wrong = int(rng.binomial(n_shown, 1 - precision))
        n_kept = n_shown - n_wrong + int(rng.binomial(n_wrong, 0.3))
        rows = [
            Acceptance("pl-1", "blind", ticked=True, kept=True, n=n_right),
            Acceptance("pl-1", "blind", ticked=True, kept=False, n=n_blind - n_right),
            Acceptance("pl-1", "seen", ticked=True, kept=True, n=n_kept),
            Acceptance("pl-1", "seen", ticked=True, kept=False, n=n_shown - n_kept),
        ]
        low, high = blind_agreement(rows).interval
        inside += low <= precision <= high
        naive = ticks_kept(rows, "pl-1")
        low, high = share_interval(naive.n_agreed, naive.n)
        naive_inside += low <= precision <= high
    assert inside >= 0.95 * N_RUNS
    assert naive_inside == 0, "ticks that were kept say more than is true"

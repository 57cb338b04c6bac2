"""Intervals of figures."""

import pytest

from tests.training.judged import judged_of, outcomes_like, space_of
from training.evaluate import Table, figures
from training.intervals import intervals


def test_every_interval_holds_its_figure_and_narrows_with_more_texts() -> None:
    space = space_of(3, oos_value="other")
    widths = {}
    for n in (100, 1600):
        table = Table.of(judged_of(space, n, share_oos=0.2).outcomes, oos_value="other")
        found, told = figures(table), intervals(table)
        assert {"accuracy", "macro_f1", "ece", "coverage_at_target", "oos_auroc", "oos_recall"} <= told.keys()
        inside = {name: low - 1e-9 <= found[name] <= high + 1e-9 for name, (low, high) in told.items() if name != "ece"}
        assert all(inside.values()), inside
        widths[n] = {name: high - low for name, (low, high) in told.items()}
    assert all(widths[1600][name] < widths[100][name] for name in ("accuracy", "macro_f1"))


def test_ten_of_ten_is_no_certainty() -> None:
    assert intervals(Table.of(outcomes_like([True] * 10)))["accuracy"] == pytest.approx((0.6915, 1.0), abs=1e-4)


def test_the_same_seed_gives_the_same_interval() -> None:
    table = Table.of(judged_of(space_of(3), 60).outcomes)
    assert intervals(table) == intervals(table)

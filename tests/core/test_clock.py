"""A stored time that no clock can have shown yet is not waited for."""

import pytest

from backend.core.clock import AHEAD_S, age_s, lies_ahead

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("at", "ahead", "age"),
    [
        (NOW - 90.0, False, 90.0),
        (NOW, False, 0.0),
        (NOW + AHEAD_S, False, 0.0),
        (NOW + AHEAD_S + 1.0, True, float("inf")),
        (NOW + 10 * 365 * 86400.0, True, float("inf")),
    ],
    ids=["past", "now", "another machine's clock", "just ahead", "years ahead"],
)
def test_a_time_that_lies_ahead_counts_as_long_ago(at: float, ahead: bool, age: float) -> None:
    assert (lies_ahead(at, NOW), age_s(at, NOW)) == (ahead, age)

"""Binomial bounds against numbers from tables."""

import pytest

from backend.core.bounds import chance_of_at_most, fewest, share_interval


@pytest.mark.parametrize(
    ("what", "n_hits", "n", "expected"),
    [
        ("none of ten", 0, 10, (0.0, 0.3085)),
        ("all of ten", 10, 10, (0.6915, 1.0)),
        ("eight of ten", 8, 10, (0.4439, 0.9748)),
        ("nothing counted", 0, 0, (0.0, 1.0)),
    ],
)
def test_a_share_has_the_exact_interval(what: str, n_hits: int, n: int, expected: tuple[float, float]) -> None:
    assert share_interval(n_hits, n) == pytest.approx(expected, abs=1e-4), what


def test_the_chance_of_few_hits_is_the_binomial_tail() -> None:
    assert chance_of_at_most(1, 3, 0.5) == pytest.approx(0.5)
    assert chance_of_at_most(0, 0, 0.5) == 1.0, "nothing was asked"


@pytest.mark.parametrize(("precision", "miss", "n"), [(0.98, 0.05, 149), (0.98, 0.01, 228), (0.5, 0.05, 5)])
def test_a_promise_takes_so_many_labels_even_if_none_is_wrong(precision: float, miss: float, n: int) -> None:
    assert fewest(precision, miss) == n
    assert chance_of_at_most(0, n, 1 - precision) <= miss < chance_of_at_most(0, n - 1, 1 - precision)

"""How bulk writes to Label Studio are cut into pieces, by a clock that the test moves."""

from dataclasses import dataclass, field

import pytest

from backend.loop.pacing import BULK, HOLD_S, Pace


@dataclass
class Clock:
    """Time that passes where somebody works or sleeps."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


def written(n_items: int, item_s: float, *, at_least: int = 1) -> tuple[list[list[int]], list[float], Clock]:
    """What was written in one piece, and how long each took."""
    clock = Clock()
    pieces, seconds = [], []
    for piece in Pace(at_least, clock.time, clock.sleep).pieces(range(n_items)):
        clock.now += len(piece) * item_s
        pieces.append(list(piece))
        seconds.append(len(piece) * item_s)
    return pieces, seconds, clock


def test_all_items_come_once_and_in_order() -> None:
    pieces, *_ = written(1000, 0.001)
    assert [item for piece in pieces for item in piece] == list(range(1000))


def test_a_slow_label_studio_gets_smaller_pieces_after_the_first() -> None:
    _, seconds, _ = written(300, 0.1)
    assert max(seconds[1:]) <= HOLD_S


def test_a_fast_one_gets_larger_pieces() -> None:
    pieces, seconds, _ = written(1000, 0.001)
    assert len(pieces) < 15
    assert max(seconds) <= HOLD_S


def test_people_have_as_much_time_as_the_writes_take() -> None:
    _, seconds, clock = written(300, 0.02)
    assert clock.slept == pytest.approx(seconds)


def test_nothing_to_write_takes_no_time() -> None:
    pieces, _, clock = written(0, 1.0)
    assert (pieces, clock.slept) == ([], [])


def test_one_item_that_takes_longer_than_a_piece_goes_alone() -> None:
    pieces, *_ = written(15, 2.0)
    assert [len(piece) for piece in pieces[1:]] == [1] * 5


def test_one_call_for_many_does_not_shrink_below_what_a_call_costs_anyway() -> None:
    pieces, *_ = written(200, 1.0, at_least=BULK)
    assert {len(piece) for piece in pieces} == {BULK}

"""How often a push-only project is looked at."""

import pytest

from backend.labelstudio.records import Pulse
from backend.loop.poll import ACTIVE_FOR_S, ACTIVE_S, IDLE_S, LastPoll
from backend.supervisor.worker import TICK_S

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("case", "still_s", "pause_s"),
    [
        ("something moved just now", 0.0, ACTIVE_S),
        ("somebody thinks about a label", ACTIVE_FOR_S - 1, ACTIVE_S),
        ("nobody works", ACTIVE_FOR_S + 1, IDLE_S),
    ],
)
def test_a_project_is_polled_often_while_something_moves(case: str, still_s: float, pause_s: float) -> None:
    last = LastPoll(Pulse("", 0, 0), at=NOW, moved_at=NOW - still_s, asked_at=NOW)
    assert last.pause_s == pause_s


def test_each_tick_of_the_cron_polls_an_active_project() -> None:
    assert ACTIVE_S < TICK_S <= 5

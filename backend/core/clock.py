"""Stored times against this machine's clock, which may have been set back since they were written; durations in words.

A time that lies ahead is not waited for: it counts as long ago.
"""

import math

AHEAD_S = 60.0  # the clocks of two machines may differ by so much; doctor tells of much less


def lies_ahead(at: float, now: float) -> bool:
    """Whether a stored time (unix) is one that no clock of ours can have shown yet."""
    return at > now + AHEAD_S


def age_s(at: float, now: float) -> float:
    """Seconds since a stored time (unix), at least 0; infinite where it lies ahead."""
    return float("inf") if lies_ahead(at, now) else max(now - at, 0.0)


def duration(seconds: float) -> str:
    """A duration as people say it: 40 s, 12 min, 3 h."""
    whole = math.ceil(seconds)
    if whole < 100:
        return f"{whole} s"
    return f"{round(whole / 60)} min" if whole < 100 * 60 else f"{round(whole / 3600)} h"

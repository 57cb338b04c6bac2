"""Stored times against this machine's clock, which may have been set back since they were written.

A time that lies ahead is not waited for: it counts as long ago.
"""

AHEAD_S = 60.0  # the clocks of two machines may differ by so much; doctor tells of much less


def lies_ahead(at: float, now: float) -> bool:
    """Whether a stored time (unix) is one that no clock of ours can have shown yet."""
    return at > now + AHEAD_S


def age_s(at: float, now: float) -> float:
    """Seconds since a stored time (unix), at least 0; infinite where it lies ahead."""
    return float("inf") if lies_ahead(at, now) else max(now - at, 0.0)

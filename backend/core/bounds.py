"""What counts can promise: exact binomial bounds, without any approximation that fails where all or none agree.

Clopper and Pearson 1934. Knows numbers only.
"""

import math

from scipy.special import bdtr, betaincinv

LEVEL = 0.95  # of an interval that is told to people


def share_interval(n_hits: int, n: int, *, level: float = LEVEL) -> tuple[float, float]:
    """The two-sided interval of a share, 0-1; all of it where nothing was counted."""
    outside = (1.0 - level) / 2.0
    low = float(betaincinv(n_hits, n - n_hits + 1, outside)) if n_hits else 0.0
    high = float(betaincinv(n_hits + 1, n - n_hits, 1.0 - outside)) if n_hits < n else 1.0
    return low, high


def chance_of_at_most(n_hits: int, n: int, share: float) -> float:
    """How likely so few hits in n are where each is a hit with the chance `share`."""
    return float(bdtr(n_hits, n, share)) if n else 1.0


def fewest(precision: float, miss: float) -> int:
    """How many labels, all of them right, it takes to promise a precision but for the chance `miss`."""
    return math.ceil(math.log(miss) / math.log(precision))

"""How far a figure can be trusted: what it would have been on other texts of the same kind.

Bootstrap over the judged texts (Efron 1979, percentiles). Plain shares get the exact binomial interval in its place: a
bootstrap of ten right answers out of ten sees no way to be wrong.
"""

from collections.abc import Mapping

import numpy as np

from backend.core.bounds import LEVEL, share_interval
from training.evaluate import TARGET_PRECISION, Table, figures

RESAMPLES = 300  # the ends of an interval then stand within a tenth of its width
DRAWN = 1_000_000  # texts that all resamples hold together: more take minutes, and large data needs fewer
FEWEST = 50  # resamples under which there are no percentiles
BOOTSTRAPPED = ("macro_f1", "ece", "brier", "coverage_at_target", "oos_auroc", "oos_recall_at_95_retention")

Interval = tuple[float, float]


def intervals(table: Table, *, target: float = TARGET_PRECISION, seed: int = 0) -> dict[str, Interval]:
    """95 % intervals by metric, of those that the table can tell; it holds at least one row."""
    found = figures(table, target=target)
    drawn = _bootstrapped(table, target, seed)
    quantiles = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    told = {name: np.quantile(values, quantiles) for name, values in drawn.items() if name in found and len(values)}
    return {**_shares(table, found), **{name: (float(low), float(high)) for name, (low, high) in told.items()}}


def _bootstrapped(table: Table, target: float, seed: int) -> dict[str, list[float]]:
    rng, n = np.random.default_rng(seed), len(table)
    values: dict[str, list[float]] = {name: [] for name in BOOTSTRAPPED}
    for _ in range(int(np.clip(DRAWN // n, FEWEST, RESAMPLES))):
        drawn = figures(table.take(rng.integers(n, size=n)), target=target)
        for name in BOOTSTRAPPED:
            if name in drawn:
                values[name].append(drawn[name])
    return values


def _shares(table: Table, found: Mapping[str, float]) -> dict[str, Interval]:
    """Those figures that count texts."""
    n_oos = int(found.get("n_out_of_scope", 0))
    of = {"accuracy": len(table), "coverage": len(table), "in_scope_accuracy": len(table) - n_oos, "oos_recall": n_oos}
    return {name: share_interval(round(found[name] * n), n) for name, n in of.items() if name in found}

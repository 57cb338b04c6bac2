"""Promotion: whether a newly trained model takes over from the one that serves.

Both are compared on the same rows. A model that is worse by more than noise stays out; one that is as good comes in,
since it knows more labels and newer ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from backend.assembly import Assembly
from backend.core.artefacts import read_manifest
from backend.core.errors import ModelFolderError
from backend.core.types import Example
from backend.logs import told
from backend.pipeline.stored import read_examples
from training.judge import JudgedRow, judge, read_judged

TOLERATED_LOSS = -0.01  # accuracy: what an annotator does not notice
Z_90 = 1.2816  # one-sided

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Verdict:
    promote: bool
    reason: str  # one line
    lower_bound: float  # 90 %, of the new accuracy less the old; 0 where nothing was compared
    n: int = 0  # rows compared


def promote(candidate: Path, incumbent: Path | None, *, assembly: Assembly) -> Verdict:
    """Compare two model folders on the rows that judged the candidate.

    A row counts where the incumbent was judged on it too, or never saw it (it is then asked now). Rows whose label the
    incumbent does not know are left out: it could not have been right.

    Raises:
        ModelFolderError: the candidate's folder is missing or damaged.
    """
    read_manifest(candidate)
    try:
        return _compared(candidate, incumbent, assembly)
    except ModelFolderError as err:
        log.warning("incumbent_not_usable", **told(err))
        return Verdict(True, "the version that serves cannot be used any more", 0.0)


def _compared(candidate: Path, incumbent: Path | None, assembly: Assembly) -> Verdict:
    if incumbent is None or not read_manifest(incumbent).data.n_examples:
        return Verdict(True, "the first model that was trained", 0.0)
    new = _comparable(read_judged(candidate), incumbent)
    old = _predictions(new, incumbent, assembly)
    pairs = [(row, old[row.example.id]) for row in new if row.example.id in old]
    if not pairs:
        return Verdict(True, "no row that both can be judged on", 0.0)
    gains = [int(row.predicted == row.example.label) - int(told == row.example.label) for row, told in pairs]
    return verdict_of(gains)


def verdict_of(gains: Sequence[int]) -> Verdict:
    """From what each row gained: 1 newly right, -1 newly wrong, 0 as before."""
    bound = lower_bound(gains)
    share = f"{100 * float(np.mean(gains)):+.1f} points of accuracy on {len(gains)} rows"
    if bound < TOLERATED_LOSS:
        reason = f"{share}, lower 90 % bound {100 * bound:+.1f}, under {100 * TOLERATED_LOSS:+.1f}"
        return Verdict(False, reason, bound, len(gains))
    return Verdict(True, f"{share}, lower 90 % bound {100 * bound:+.1f}", bound, len(gains))


def lower_bound(gains: Sequence[int]) -> float:
    """Lower end of the one-sided 90 % interval of the mean, by the normal approximation; 0 for equal models."""
    gained = np.asarray(gains, np.float64)
    deviation = float(gained.std(ddof=1)) if len(gained) > 1 else 0.0
    return float(gained.mean() - Z_90 * deviation / np.sqrt(len(gained)))


def _comparable(rows: Sequence[JudgedRow], incumbent: Path) -> list[JudgedRow]:
    space = read_manifest(incumbent).labels
    values = {*space.values, *filter(None, [space.oos_value])}
    return [row for row in rows if row.example.label in values]


def _predictions(rows: Sequence[JudgedRow], incumbent: Path, assembly: Assembly) -> dict[str, str]:
    """What the incumbent says: as it was judged, or asked now about texts that it never saw."""
    judged = {(row.example.id, row.example.text): row.predicted for row in read_judged(incumbent)}
    seen = {example.id for example in read_examples(incumbent)}
    known = {row.example.id: judged[key] for row in rows if (key := (row.example.id, row.example.text)) in judged}
    unseen: list[Example] = [row.example for row in rows if row.example.id not in seen | known.keys()]
    asked = judge(assembly.pipeline(incumbent), unseen) if unseen else []
    return {**known, **{outcome.id: outcome.predicted for outcome in asked}}

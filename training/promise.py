"""A precision that is promised: from which confidence on labels are right as often as the project asks for.

The threshold is found by fixed-sequence testing (Angelopoulos et al. 2021, learn then test): thresholds that were
fixed beforehand are tested from strict to lax, each against "too many are wrong here" by the exact binomial tail, and
the first that is not refuted ends it. Whichever threshold comes out, the chance that it promises too much is at most
`miss`. A Clopper-Pearson bound after choosing the best threshold has no such guarantee.

The strictest thresholds have too few texts above them to refute anything. They are skipped by their number of texts
alone, which keeps the chance as long as surer texts are not wrong more often.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from backend.core.bounds import chance_of_at_most, fewest
from training.evaluate import Outcome

PROMISES = (0.95, 0.98)  # precisions that people ask for
MISS = 0.01  # chance of promising too much; as small, since those who count afterwards count few texts as well
GRID = tuple(float(1.0 - error) for error in np.geomspace(1e-3, 0.5, 100))  # confidences, strict to lax
BEGIN_SHARE = 0.25  # of the texts lie above the first threshold tested: fewer tell little, of more too many are wrong

Verdict = Literal["holds", "under", "too few"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What was said about a text, and whether it was right."""

    label: str  # empty where nothing was said: never accepted, but part of the whole
    confidence: float
    right: bool


@dataclass(frozen=True, slots=True)
class LabelPromise:
    """How a label by itself fares above the threshold."""

    label: str
    n: int
    n_wrong: int
    verdict: Verdict  # all verdicts together hold but for the chance `miss`


@dataclass(frozen=True, slots=True)
class Promise:
    """What can be promised about labels above a threshold, if anything."""

    target: float  # precision, 0-1
    threshold: float | None  # confidence from which labels are accepted; None where nothing can be promised
    n_judged: int  # claims that it rests on
    n: int  # of them above the threshold
    n_wrong: int  # of these
    needs: int  # labels above a threshold, none of them wrong, that a promise takes at least
    labels: tuple[LabelPromise, ...] = ()  # most frequent first

    @property
    def coverage(self) -> float:
        """Share of the texts that lie above the threshold, 0-1."""
        return self.n / self.n_judged if self.n_judged else 0.0

    @property
    def held_back(self) -> frozenset[str]:
        """Labels that are seen not to keep the promise by themselves."""
        return frozenset(row.label for row in self.labels if row.verdict == "under")

    def accepts(self, label: str, confidence: float) -> bool:
        """Whether a label of such a confidence falls under the promise."""
        return self.threshold is not None and confidence >= self.threshold and label not in {"", *self.held_back}

    @property
    def _exceptions(self) -> str:
        return f"; {len(self.held_back)} labels that do not keep it are left out" if self.held_back else ""

    @property
    def message(self) -> str:
        """In one line."""
        if self.threshold is not None:
            return (
                f"{self.target:g} is promised from confidence {self.threshold:.4f} on, which is {self.coverage:.0%} of "
                f"the texts; {self.n_wrong} of {self.n} labels were wrong there{self._exceptions}"
            )
        if self.n_judged < self.needs:
            return f"needs at least {self.needs} accepted labels for {self.target:g}, has {self.n_judged}"
        return f"{self.target:g} cannot be promised at any confidence by {self.n_judged} labels: too many are wrong"


def promised(found: Promise) -> dict[str, float]:
    """What can be promised, under flat names; nothing where nothing can."""
    if found.threshold is None:
        return {}
    return {"promised_threshold": found.threshold, "promised_coverage": found.coverage}


def claims_of(outcomes: Sequence[Outcome]) -> list[Claim]:
    """An abstention claims nothing."""
    return [Claim("" if o.abstained else o.predicted, o.confidence, o.correct) for o in outcomes]


def promise(claims: Sequence[Claim], target: float, *, miss: float = MISS) -> Promise:
    """The laxest threshold that keeps a target precision but for the chance `miss`.

    Args:
        claims: about texts that the model had not seen, labelled by people whom it did not lead.
        target: precision asked for, 0 < target < 1.
    """
    said = np.array([bool(claim.label) for claim in claims], np.bool_)
    confidence = np.where(said, np.array([claim.confidence for claim in claims], np.float64), -1.0)
    wrong = np.array([not claim.right for claim in claims], np.bool_)
    needs = fewest(target, miss)
    counts = [(int((confidence >= at).sum()), int(wrong[confidence >= at].sum())) for at in GRID]
    last = _last_kept(counts, max(needs, BEGIN_SHARE * len(claims)), target, miss)
    if last < 0:
        return Promise(target, None, len(claims), 0, 0, needs)
    return Promise(target, GRID[last], len(claims), *counts[last], needs, _by_label(claims, GRID[last], target, miss))


def _last_kept(counts: Sequence[tuple[int, int]], n_begin: float, target: float, miss: float) -> int:
    """The place in the grid before the first failure; -1 where the first test fails.

    Args:
        counts: texts above each threshold, and how many of them are wrong.
        n_begin: texts above the first threshold that is tested.
    """
    last = -1
    for place, (n, n_wrong) in enumerate(counts):
        if n < n_begin:
            continue
        if chance_of_at_most(n_wrong, n, 1.0 - target) > miss:
            break
        last = place
    return last


def _by_label(claims: Sequence[Claim], threshold: float, target: float, miss: float) -> tuple[LabelPromise, ...]:
    counted: dict[str, list[bool]] = defaultdict(list)
    for claim in claims:
        if claim.label and claim.confidence >= threshold:
            counted[claim.label].append(not claim.right)
    each = miss / max(len(counted), 1)
    rows = [
        LabelPromise(label, len(wrong), sum(wrong), _verdict(sum(wrong), len(wrong), target, each))
        for label, wrong in counted.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.n, row.label)))


def _verdict(n_wrong: int, n: int, target: float, miss: float) -> Verdict:
    if chance_of_at_most(n_wrong, n, 1.0 - target) <= miss:
        return "holds"
    at_least = 1.0 - chance_of_at_most(n_wrong - 1, n, 1.0 - target) if n_wrong else 1.0
    return "under" if at_least <= miss else "too few"

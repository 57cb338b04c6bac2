"""How far people went with what a version said: ticks that they kept, and blind tasks where nobody led them."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from backend.core.bounds import chance_of_at_most, share_interval
from backend.ledger import Acceptance, Accepted

EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)  # of the confidence bands
CHANCE = 0.01  # that some band of a project is said to fall under its promise while all keep it
ENOUGH = 30  # labels under which a share may be off by 15 points and more


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many labels there were to compare with, and how many agreed."""

    n: int
    n_agreed: int

    @property
    def share(self) -> float | None:
        """0-1; None where there is nothing to compare with."""
        return self.n_agreed / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float]:
        """In which the share lies, but for a chance of 5 %."""
        return share_interval(self.n_agreed, self.n)

    @property
    def needs(self) -> int:
        """How many labels more it takes before the share promises anything."""
        return max(ENOUGH - self.n, 0)


@dataclass(frozen=True, slots=True)
class Band:
    """Labels of blind tasks whose confidence was alike."""

    low: float  # confidence, 0-1
    high: float
    agreement: Agreement
    promised: float  # the mean confidence, 0-1

    @property
    def under(self) -> bool:
        """Whether agreement is lower than chance explains if the confidences were right."""
        agreed = self.agreement
        return chance_of_at_most(agreed.n_agreed, agreed.n, self.promised) <= CHANCE / (len(EDGES) - 1)

    @property
    def name(self) -> str:
        return f"{self.low:g}-{self.high:g}"


def bands(blind: Iterable[Accepted]) -> tuple[Band, ...]:
    """Agreement by confidence, sure ones last; bands without labels, and what would not have been ticked, left out."""
    told = [(row.confidence, row.label == row.shown_label) for row in blind if row.shown_label and row.confidence]
    found = []
    for low, high in pairwise(EDGES):
        inside = [(sure, agreed) for sure, agreed in told if low <= sure < high or sure == high == 1.0]
        if inside:
            agreement = Agreement(len(inside), sum(agreed for _, agreed in inside))
            found.append(Band(low, high, agreement, sum(sure for sure, _ in inside) / len(inside)))
    return tuple(found)


def ticks_kept(rows: Iterable[Acceptance], version: str) -> Agreement:
    """Of a version's ticks that a person saw and submitted, how many were kept; bulk says nothing about one tick."""
    return _agreement(row for row in rows if row.how == "seen" and row.version == version)


def blind_agreement(rows: Iterable[Acceptance]) -> Agreement:
    """Of the labels of blind tasks, how many are what would have been ticked; abstentions are left out."""
    return _agreement(row for row in rows if row.how == "blind")


def _agreement(rows: Iterable[Acceptance]) -> Agreement:
    told = [row for row in rows if row.ticked]
    return Agreement(sum(row.n for row in told), sum(row.n for row in told if row.kept))

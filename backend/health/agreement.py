"""How far people went with what a version said: ticks that they kept, and blind tasks where nobody led them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backend.core.artefacts import COLD_PREFIX
from backend.ledger import Acceptance, Training

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
    def needs(self) -> int:
        """How many labels more it takes before the share promises anything."""
        return max(ENOUGH - self.n, 0)


def ticks_kept(rows: Iterable[Acceptance], version: str) -> Agreement:
    """Of a version's ticks that a person saw and submitted, how many were kept; bulk says nothing about one tick."""
    return _agreement(row for row in rows if row.how == "seen" and row.version == version)


def blind_agreement(rows: Iterable[Acceptance]) -> Agreement:
    """Of the labels of blind tasks, how many are what would have been ticked; abstentions are left out."""
    return _agreement(row for row in rows if row.how == "blind")


def served_before(current: str, published: Sequence[str], trainings: Iterable[Training]) -> str:
    """The version that served before the current one: the last that was promoted and is not it; empty for none."""
    served = [version for version in published if version.startswith(COLD_PREFIX)]
    served += [training.version for training in trainings if training.promoted]
    older = served[: served.index(current)] if current in served else served
    return older[-1] if older else ""


def _agreement(rows: Iterable[Acceptance]) -> Agreement:
    told = [row for row in rows if row.ticked]
    return Agreement(sum(row.n for row in told), sum(row.n for row in told if row.kept))

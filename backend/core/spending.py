"""What language models take: tokens, time and money; as an amount, as a limit, and as what one call has taken."""

import threading
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Spend:
    """An amount. As a limit, a 0 means that there is none."""

    tokens: int = 0
    seconds: float = 0.0
    cost: float = 0.0  # by the profile's prices, in their currency

    def __add__(self, other: "Spend") -> "Spend":
        return Spend(self.tokens + other.tokens, self.seconds + other.seconds, self.cost + other.cost)

    def __sub__(self, other: "Spend") -> "Spend":
        return self + other.times(-1.0)

    def times(self, factor: float) -> "Spend":
        return Spend(round(factor * self.tokens), factor * self.seconds, factor * self.cost)


NOTHING = Spend()


@dataclass(frozen=True, slots=True)
class Spent:
    """What a project or a run has taken so far."""

    spend: Spend = NOTHING
    n_over: int = 0  # texts that no model was asked about, because a limit was reached


@dataclass
class Bill:
    """What a call takes, also where no vote comes of it. Thread-safe."""

    total: Spend = NOTHING
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, spend: Spend) -> None:
        with self._lock:
            self.total += spend

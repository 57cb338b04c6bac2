"""How a server is treated: not too often, not while it is away, and counted."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from backend.core.deadline import Deadline

FAILURES = 5  # in a row, after which a server is left alone
PAUSE_S = 30.0  # that it is left alone


@dataclass
class Pace:
    """Spreads calls evenly over a minute. Thread-safe."""

    per_minute: float  # 0: without a limit
    _next_s: float = field(default=0.0, repr=False)  # on the monotonic clock
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def wait(self, deadline: Deadline) -> bool:
        """Wait for the next turn; False, and no turn is taken, where that would be past the deadline."""
        if not self.per_minute:
            return True
        with self._lock:
            at_s = max(self._next_s, time.monotonic())
            if at_s >= deadline.at_s:
                return False
            self._next_s = at_s + 60.0 / self.per_minute
        time.sleep(max(0.0, at_s - time.monotonic()))
        return True


@dataclass
class Breaker:
    """Opens after some failures in a row and stays so for a while; the next failure opens it again. Thread-safe."""

    failures: int = FAILURES
    pause_s: float = PAUSE_S
    _in_a_row: int = field(default=0, repr=False)
    _until_s: float = field(default=0.0, repr=False)  # on the monotonic clock
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self._until_s

    def failed(self) -> bool:
        """Note a failure; whether it opened the breaker."""
        with self._lock:
            self._in_a_row += 1
            if self._in_a_row < self.failures or self.is_open:
                return False
            self._until_s = time.monotonic() + self.pause_s
            return True

    def succeeded(self) -> bool:
        """Note a success; whether it ended an outage."""
        with self._lock:
            was_away = self._in_a_row >= self.failures
            self._in_a_row, self._until_s = 0, 0.0
            return was_away


@dataclass
class Tally:
    """What was asked of a server, and what that took. Thread-safe."""

    counts: Counter[str] = field(default_factory=Counter)  # outcomes: answered, unreadable, failed, refused, skipped
    tokens_read: int = 0
    tokens_written: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, outcome: str, *, read: int = 0, written: int = 0) -> None:
        with self._lock:
            self.counts[outcome] += 1
            self.tokens_read += read
            self.tokens_written += written

"""Bulk writes to Label Studio: in pieces that end soon, each followed by a pause of the same length.

Label Studio's SQLite has one writer and keeps no queue: whoever submits during a call of 400 tasks waits
for all of it (5 s), and may lose to the next call, too (10 s, then an error). A piece of half a second
and a pause after it leave room for people, whatever the machine and however large the project.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

HOLD_S = 0.5  # what one piece is to take
AT_FIRST = 10  # items of the first piece, of which nobody knows what they take
BULK = 10  # items of one call, under which it takes hardly less
AT_MOST = 100  # a call costs more an item from there on: 100 deletions take 0.7 s, 200 take 2.2 s
GROWTH = 2  # of a piece over the one before it


@dataclass(frozen=True, slots=True)
class Pace:
    """Cuts work into pieces by the time that the piece before took."""

    at_least: int = 1  # items of a piece: 1 where each is a call of its own, BULK where a piece is one
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def pieces(self, items: Sequence[T]) -> Iterator[Sequence[T]]:
        """Pieces of `items`, in order, each to be written before the next one is asked for."""
        start, n = 0, AT_FIRST
        while start < len(items):
            piece = items[start : start + n]
            begun = self.clock()
            yield piece
            took = self.clock() - begun
            self.sleep(took)
            start += len(piece)
            n = max(self.at_least, _fitting(len(piece), took))


def _fitting(n: int, took_s: float) -> int:
    """How many items take HOLD_S, where n took so long."""
    fitting = int(n * HOLD_S / took_s) if took_s > 0 else AT_MOST
    return min(fitting, GROWTH * n, AT_MOST)

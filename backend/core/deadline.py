"""A point in time that work must not run past."""

import time
from dataclasses import dataclass

SINGLE_TASK_S = 1.5  # one task in the label stream: the annotator waits for it
INTERACTIVE_S = 5.0  # an interactive call: the annotator asked for it
BATCH_S = 60.0  # a bulk request: Label Studio waits 100 s


@dataclass(frozen=True, slots=True)
class Deadline:
    """Seconds on the monotonic clock; `float("inf")` never passes."""

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        return cls(time.monotonic() + seconds)

    @property
    def left_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at_s - time.monotonic())

    def part(self, share: float) -> "Deadline":
        """When that share (above 0, to 1) of the time left is over."""
        return Deadline(time.monotonic() + share * self.left_s)

    @property
    def passed(self) -> bool:
        return self.left_s == 0.0


FOREVER = Deadline(float("inf"))

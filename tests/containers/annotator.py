"""A person who labels while containers die, and knows which labels Label Studio has confirmed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from backend.core.errors import LabelStudioError
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.schema import Control
from backend.labelstudio.wire import choice

PAUSE_S = 0.5


@dataclass
class Annotator:
    """Submits one label after the other; who got no answer looks whether it arrived before trying again."""

    client: LabelStudioClient
    control: Control
    left: list[tuple[int, str]]  # task and the label that it gets
    submitted: dict[int, str] = field(default_factory=dict)
    refused: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work, daemon=True)
        self._stopping.clear()
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join(120)

    def _work(self) -> None:
        while self.left and not self._stopping.wait(PAUSE_S):
            task_id, label = self.left[0]
            try:
                if not self.client.task(task_id).annotations:
                    self.client.create_annotation(task_id, [choice(self.control, label)], lead_time_s=1.0)
            except LabelStudioError:
                self.refused += 1
                continue
            self.submitted[task_id] = label
            self.left.pop(0)

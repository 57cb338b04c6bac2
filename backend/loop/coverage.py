"""Which open tasks lack a prediction of the version that serves, and which of them could have one.

A task without a text never has one: it is told, but nobody waits for it. What is lacking is looked into only where it
is not what was looked into before, so that counting again costs two small requests.
"""

import json
import time
from dataclasses import asdict, dataclass

from backend.health.notes import Coverage, keep_coverage
from backend.labelstudio.filters import lacking_version, open_tasks
from backend.labelstudio.records import Json
from backend.labelstudio.wire import text_of
from backend.loop.desk import ProjectDesk

TEXTLESS = "textless"


@dataclass(frozen=True, slots=True)
class Textless:
    """Lacking tasks of which none holds a text, as they were looked into."""

    version: str
    config_hash: str
    newest: str  # updated_at of the last one that changed
    n: int


def count_open(work: ProjectDesk) -> int:
    """Count the open tasks and keep the figures; how many lack a prediction that they could have."""
    version, client = work.folder.current(), work.desk.client
    if not version:
        return 0
    lacking = client.pulse(work.id, _lacking(version))
    n_textless = _textless(work, Textless(version, work.config_hash, lacking.newest, lacking.n_tasks))
    n_open = max(client.count(work.id, [open_tasks()]), lacking.n_tasks)
    kept = Coverage(version, n_open - n_textless, n_open - lacking.n_tasks, time.time(), n_textless)
    keep_coverage(work.desk.queue, work.key, kept)
    return lacking.n_tasks - n_textless


def lacks_any(work: ProjectDesk, version: str) -> bool:
    """Whether an open task that holds a text has no prediction of a version; what changed last is looked at first."""
    tasks = work.desk.client.tasks(work.id, filters=_lacking(version), ordering="-tasks:updated_at", all_fields=False)
    return any(text_of(task.data, work.control) is not None for task in tasks)


def _textless(work: ProjectDesk, found: Textless) -> int:
    """How many of the lacking tasks are known to hold no text; 0 while any of them could be predicted."""
    if not found.n:
        return 0
    if work.desk.queue.noted(TEXTLESS, work.key) != (note := json.dumps(asdict(found))):
        if lacks_any(work, found.version):
            return 0
        work.desk.queue.note(TEXTLESS, work.key, note)
    return found.n


def _lacking(version: str) -> list[Json]:
    return [open_tasks(), lacking_version(version)]

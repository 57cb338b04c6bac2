"""Tasks whose text was edited: Label Studio sends no webhook for that, only `updated_at` moves.

What a prediction was made of stands beside it in the ledger, as a hash.
"""

from collections.abc import Sequence

from backend.labelstudio.records import Task
from backend.labelstudio.wire import text_of
from backend.ledger import hash_of_text
from backend.loop.desk import ProjectDesk


def edited(work: ProjectDesk, tasks: Sequence[Task]) -> list[Task]:
    """Of these tasks those that hold another text than the one that was decided upon last."""
    known = work.desk.ledger.text_hashes(work.key, [task.id for task in tasks])
    found = ((task, text_of(task.data, work.control)) for task in tasks if task.id in known)
    return [task for task, text in found if text and hash_of_text(text) != known[task.id]]

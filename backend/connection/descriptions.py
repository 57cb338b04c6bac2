"""A project's descriptions of labels: what they are written from, and how approved ones come into force."""

from collections.abc import Sequence
from contextlib import suppress

from backend.connection.versions import key_of
from backend.core.descriptions import Description, fitting
from backend.core.errors import QueueError
from backend.core.types import Example
from backend.loop.desk import Desk, ProjectDesk


def accepted(work: ProjectDesk) -> list[Example]:
    """The accepted labels that the ledger knows."""
    rows = work.desk.ledger.index_rows(work.key)
    return [Example(str(row.task_id), row.text, row.label) for row in rows if row.label]


def approve(desk: Desk, project_id: int, descriptions: Sequence[Description]) -> ProjectDesk:
    """Keep the approved descriptions in place of those before, and have the project's version made anew by a worker.

    Raises:
        BadInputError: the project is not connected, a label is none of its config, or no description is approved.
    """
    work = desk.project(key_of(desk, project_id))
    work.folder.keep_descriptions(fitting(descriptions, work.control.space))
    with suppress(QueueError):  # reconcile will find the change
        desk.queue.enqueue("refresh", work.key)
    return desk.project(work.key)

"""The texts of a project that its labels may not cover, and what decides about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backend.connection.versions import key_of
from backend.core.errors import BadInputError
from backend.labelstudio.filters import unlabelled
from backend.labelstudio.wire import text_of
from backend.loop.desk import Desk, ProjectDesk
from backend.serving import Served

Text = tuple[str, str]  # a task's number, and what it says


@dataclass(frozen=True, slots=True)
class Texts:
    """What a project's labels may not cover, and the model that says so."""

    served: Served
    model: Path  # its folder
    open: list[Text]
    labelled: list[Text]  # by people, as out of scope


def texts_of(desk: Desk, project_id: int) -> Texts:
    """The open tasks' texts, and those that people labelled as out of scope.

    Raises:
        BadInputError: the project is not connected, or has no version yet.
    """
    work = desk.project(key_of(desk, project_id))
    served = work.served()
    if served is None:
        raise BadInputError(f"project {project_id} must have a version that serves, has none; prelabel doctor says why")
    oos = work.control.space.oos_value
    labelled = [(str(row.task_id), row.text) for row in desk.ledger.index_rows(work.key) if oos and row.label == oos]
    return Texts(served, work.folder.artefact(served.version), list(_open(work)), labelled)


def _open(work: ProjectDesk) -> Iterator[Text]:
    for task in work.desk.client.tasks(work.id, filters=[unlabelled()], all_fields=False):
        text = text_of(task.data, work.control)
        if text is not None:
            yield str(task.id), text

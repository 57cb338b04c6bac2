"""What people have labelled in a project, in the order in which they did. Reads, and writes nothing."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from backend.core.errors import BadInputError
from backend.core.projects import ProjectSettings, project_folder
from backend.core.settings import Settings
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.records import Annotation, Project, Task
from backend.labelstudio.schema import Control
from training.dataset import label_of_annotation, read_export, task_label
from training.trial import Labelled


def settings_of(settings: Settings, project: Project) -> ProjectSettings:
    """A project's own, the defaults where it was never connected."""
    return project_folder(settings.projects_dir, str(project.key)).settings()


def history_of(client: LabelStudioClient, project: Project, control: Control) -> list[Labelled]:
    """Oldest first, without skips and without what was accepted in bulk.

    Raises:
        BadInputError: nobody has labelled anything that can be read.
        LabelStudioError: it did not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.json"
        client.export(project.id, path)
        found = sorted(_labelled(read_export(path), control), key=lambda pair: pair[0])
    if not found:
        raise BadInputError(f"project {project.id} must hold labels to replay, but holds none")
    return [labelled for _, labelled in found]


def _labelled(tasks: Iterable[Task], control: Control) -> Iterator[tuple[tuple[str, int], Labelled]]:
    for task in tasks:
        said = task_label(task, control, {})
        if said is None or said.how == "bulk":
            continue
        first = min(_saying(task, said.label, control), key=lambda item: item.created_at)
        yield (first.created_at, task.id), Labelled(said.text, said.label, first.lead_time_s)


def _saying(task: Task, label: str, control: Control) -> list[Annotation]:
    return [item for item in task.annotations if label_of_annotation(item, control) == label]

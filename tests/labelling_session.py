"""People who label a project of the English sample in a browser while prelabel follows and trains."""

import random
from collections.abc import Sequence

from backend.connection.connect import ConnectOptions, connect
from backend.core.artefacts import write_atomically
from backend.core.projects import SETTINGS_FILE, ProjectSettings
from backend.labelstudio.schema import WHY_KEY, usable_control
from backend.labelstudio.wire import shown_data
from backend.loop.desk import Desk, ProjectDesk
from samples import load_samples
from tests.labelling_page import Person, Submitted
from tests.records import blind

EVERY = 3  # of so many tasks one gets another label than is ticked
EAGER = "blind_share = 0.2\nmin_labels = 8\nquiet_s = 1.0\npatience_s = 5.0\nsmall_interval_s = 5.0\n"
SECOND = ("second@example.com", "a-password-of-tests")


def connected(desk: Desk, *, n_tasks: int, n_annotations: int) -> ProjectDesk:
    """A project that trains often and has many blind tasks."""
    sample = load_samples()[0]
    plain = shown_data(None, usable_control(sample.label_config, ProjectSettings()))
    project = desk.client.create_project(
        title=f"seen by {n_annotations}",
        label_config=sample.label_config,
        maximum_annotations=n_annotations,
    )
    rows = [{"text": row.text, **plain} for row in sample.rows[:n_tasks]]
    desk.client.import_tasks(project.id, rows)
    write_atomically(desk.settings.projects_dir / str(project.key) / SETTINGS_FILE, EAGER)
    connect(desk, project, ConnectOptions(language="en"), lambda _: None)
    return desk.project(str(project.key))


def label(people: Sequence[Person], n_each: int, pauses_s: tuple[float, float]) -> list[Submitted]:
    """All of them at once; some labels are other ones than are ticked.

    Args:
        pauses_s: the shortest and the longest time between seeing a task and submitting it.
    """
    chance, submitted = random.Random(16), []
    for person in people:
        person.begin()
    for turn in range(n_each):
        for person in people:
            sight = person.look()
            person.wait(chance.uniform(*pauses_s) / len(people))
            if not sight.ticked or turn % EVERY == 0:
                person.choose(2 if sight.labels[0] == sight.ticked else 1)
            submitted.append(Submitted(person.submit(), sight))
    return submitted


def explained(work: ProjectDesk) -> bool:
    """Whether the shown version is the one that serves, and all tasks with a tick say why."""
    version = work.folder.current()
    if work.desk.client.project(work.id).model_version != version:
        return False
    open_tasks = (task for task in work.desk.client.tasks(work.id) if task.open)
    return all(task.data.get(WHY_KEY) for task in open_tasks if not blind(work, task.id))

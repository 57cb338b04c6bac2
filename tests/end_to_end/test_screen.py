"""What is on the screen is one thing, and what is recorded as shown is that thing: in a real browser."""

import random
from collections.abc import Sequence
from contextlib import ExitStack

import pytest

from backend.connection.connect import ConnectOptions, connect
from backend.core.artefacts import write_atomically
from backend.core.projects import SETTINGS_FILE, ProjectSettings
from backend.labelstudio.schema import AUTO_KEY, usable_control
from backend.labelstudio.wire import shown_data
from backend.loop.desk import Desk, ProjectDesk
from samples import load_samples
from tests.labelling_page import CHROMIUM, Person, Submitted, add_account, chromium, new_page
from tests.records import blind, contradictions, entered, stored_contradictions
from tests.stack import Backend, RunningLabelStudio, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.label_studio, pytest.mark.redis, pytest.mark.timeout(600)]

N_TASKS, N_ALONE, N_EACH = 60, 25, 8
EVERY = 3  # of so many tasks one gets another label than is ticked
EAGER = "blind_share = 0.2\nmin_labels = 8\nquiet_s = 1.0\npatience_s = 5.0\nsmall_interval_s = 5.0\n"
SECOND = ("second@example.com", "a-password-of-tests")


def connected(desk: Desk, n_annotations: int) -> ProjectDesk:
    """A project of the English sample that trains often and has many blind tasks."""
    sample = load_samples()[0]
    plain = shown_data(None, usable_control(sample.label_config, ProjectSettings()))
    project = desk.client.create_project(
        title=f"seen by {n_annotations}", label_config=sample.label_config, maximum_annotations=n_annotations
    )
    desk.client.import_tasks(project.id, [{"text": row.text, **plain} for row in sample.rows[:N_TASKS]])
    write_atomically(desk.settings.projects_dir / str(project.key) / SETTINGS_FILE, EAGER)
    connect(desk, project, ConnectOptions(language="en"), lambda _: None)
    return desk.project(str(project.key))


def label(people: Sequence[Person], n_each: int) -> list[Submitted]:
    """All of them at once, at a second or so a task; some labels are other ones than are ticked."""
    chance, submitted = random.Random(16), []
    for person in people:
        person.begin()
    for turn in range(n_each):
        for person in people:
            sight = person.look()
            person.wait(chance.uniform(0.3, 1.2) / len(people))
            if not sight.ticked or turn % EVERY == 0:
                person.choose(2 if sight.labels[0] == sight.ticked else 1)
            submitted.append(Submitted(person.submit(), sight))
    return submitted


def test_what_is_recorded_as_shown_is_what_was_on_the_screen(
    label_studio: RunningLabelStudio, backend: Backend
) -> None:
    if CHROMIUM is None:
        pytest.skip("needs chromium on PATH: apt-get install chromium")
    first = (label_studio.email, label_studio.password)
    with ExitStack() as stack:
        desk = stack.enter_context(Desk(backend.settings))
        for service in (backend.web(), backend.workers(), backend.cron()):
            stack.enter_context(service)
        browser = stack.enter_context(chromium())
        add_account(desk.client, label_studio.url, *SECOND)
        n_blind = 0
        for logins, n_each in (((first,), N_ALONE), ((first, SECOND), N_EACH)):
            work = connected(desk, len(logins))
            people = [Person(new_page(browser), label_studio.url, work.id, login) for login in logins]
            submitted = label(people, n_each)
            wait_for(lambda: entered(work, submitted), within_s=60, every_s=0.5)  # noqa: B023
            assert contradictions(work, submitted) == []
            n_blind += sum(blind(work, each.sight.task_id) for each in submitted)
            wait_for(lambda: work.desk.ledger.trainings(work.key), within_s=60, every_s=0.5)  # noqa: B023
            wait_for(lambda: explained(work), within_s=90, every_s=2.0)  # noqa: B023
            assert stored_contradictions(work) == []
        assert n_blind, "some of the tasks that people met were blind"
        bulk_accept_leaves_blind_tasks_open(work)


def explained(work: ProjectDesk) -> bool:
    """Whether the shown version is the one that serves, and all tasks with a tick say why."""
    version = work.folder.current()
    if work.desk.client.project(work.id).model_version != version:
        return False
    tasks = [task for task in work.desk.client.tasks(work.id) if task.open and not blind(work, task.id)]
    return all(task.data.get("prelabel_why") for task in tasks)


def bulk_accept_leaves_blind_tasks_open(work: ProjectDesk) -> None:
    client = work.desk.client
    hidden = [task.id for task in client.tasks(work.id) if task.unlabelled and blind(work, task.id)]
    assert hidden
    client.accept_predictions(work.id, hidden, version=client.project(work.id).model_version)
    wait_for(lambda: not any(client.task(task_id).annotations for task_id in hidden), within_s=60, every_s=0.5)
    assert all(AUTO_KEY not in client.task(task_id).data for task_id in hidden)

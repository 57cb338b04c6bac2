"""What is on the screen is one thing, and what is recorded as shown is that thing: in a real browser."""

from contextlib import ExitStack

import pytest

from backend.labelstudio.schema import AUTO_KEY
from backend.loop.desk import Desk, ProjectDesk
from tests.labelling_page import CHROMIUM, Person, add_account, chromium, new_page
from tests.labelling_session import SECOND, connected, explained, label
from tests.records import blind, contradictions, entered, stored_contradictions
from tests.stack import Backend, RunningLabelStudio, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.label_studio, pytest.mark.redis, pytest.mark.timeout(600)]

N_TASKS, N_ALONE, N_EACH = 60, 25, 8
PAUSES_S = (0.3, 1.2)  # between seeing a task and submitting it


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
            work = connected(desk, n_tasks=N_TASKS, n_annotations=len(logins))
            people = [Person(new_page(browser), label_studio.url, work.id, login) for login in logins]
            submitted = label(people, n_each, PAUSES_S)
            wait_for(lambda: entered(work, submitted), within_s=60, every_s=0.5)  # noqa: B023
            assert contradictions(work, submitted) == []
            n_blind += sum(blind(work, each.sight.task_id) for each in submitted)
            wait_for(lambda: work.desk.ledger.trainings(work.key), within_s=60, every_s=0.5)  # noqa: B023
            wait_for(lambda: explained(work), within_s=90, every_s=2.0)  # noqa: B023
            assert stored_contradictions(work) == []
        assert n_blind, "some of the tasks that people met were blind"
        bulk_accept_leaves_blind_tasks_open(work)


def bulk_accept_leaves_blind_tasks_open(work: ProjectDesk) -> None:
    client = work.desk.client
    hidden = [task.id for task in client.tasks(work.id) if task.unlabelled and blind(work, task.id)]
    assert hidden
    client.accept_predictions(work.id, hidden, version=client.project(work.id).model_version)
    wait_for(lambda: not any(client.task(task_id).annotations for task_id in hidden), within_s=60, every_s=0.5)
    assert all(AUTO_KEY not in client.task(task_id).data for task_id in hidden)

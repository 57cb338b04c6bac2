"""A project of 150 labels, worked through with nothing but the keyboard, in a real Chromium on a real Label Studio."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import pytest
from playwright.sync_api import Browser, Page, expect

from backend.connection.connect import ConnectOptions, connect
from backend.core.projects import SETTINGS_FILE
from backend.labelstudio.records import Task
from backend.labelstudio.schema import TOP_KEY
from backend.loop.desk import Desk, ProjectDesk
from tests.end_to_end.test_annotating_page import browser, idle, page_of, ticked
from tests.stack import Backend, RunningLabelStudio, wait_for

__all__ = ["browser"]  # a fixture

pytestmark = [pytest.mark.browser, pytest.mark.label_studio, pytest.mark.redis, pytest.mark.timeout(600)]

BETWEEN_KEYS_MS = 60  # as fast as a person types
WHAT = (
    "order", "delivery", "refund", "invoice", "password", "account", "voucher", "booking", "menu", "courier", "card",
    "address", "allergy", "receipt", "newsletter",
)  # fmt: skip
DONE = ("cancel", "change", "find", "repeat", "confirm", "complain about", "pay for", "explain", "delete", "share")
LABELS = [f"{done} {what}" for what, done in product(WHAT, DONE)]
HOW = ("again", "today", "by phone", "twice", "abroad", "late")
TEXTS = [
    "please cancel my order", "i want to change the delivery address", "where do i find the invoice",
    "explain the menu to me", "delete my account now", "share the receipt with my wife", "pay for the booking",
    "i want to complain about the courier", "repeat the last order", "confirm my booking for tonight",
]  # fmt: skip


@dataclass(frozen=True)
class Annotator:
    """A person at a page, and the project that the page is of."""

    page: Page
    url: str
    work: ProjectDesk

    def opens(self, task: Task) -> "Keyboard":
        self.page.goto(f"{self.url}/projects/{self.work.id}/data?task={task.id}", wait_until="commit")
        expect(self.page.get_by_test_id("bottombar-submit-button")).to_be_visible(timeout=30_000)
        expect(self.page.get_by_role("checkbox", checked=True)).to_have_count(1 if ticked(task) else 0, timeout=20_000)
        return Keyboard(self.page)

    def took(self, task: Task) -> list[str]:
        """The labels of a task's one annotation, once it is there."""
        client = self.work.desk.client
        wait_for(lambda: client.task(task.id).annotations, within_s=20, every_s=0.2)
        (annotation,) = client.task(task.id).annotations
        return [value for region in annotation.result for value in region["value"]["choices"]]

    def is_refused(self, task: Task) -> None:
        """Label Studio says that a label is required, and stores nothing."""
        said = self.page.get_by_text(re.compile("is required"))
        expect(said).to_be_visible(timeout=10_000)
        assert not self.work.desk.client.task(task.id).annotations


class Keyboard:
    """Counts what is pressed; a chord is one press."""

    def __init__(self, page: Page) -> None:
        self._page, self.pressed = page, 0

    def press(self, *keys: str) -> int:
        """How many presses there were since the task was opened."""
        for key in keys:
            self._page.keyboard.press(key)
            self._page.wait_for_timeout(BETWEEN_KEYS_MS)
        self.pressed += len(keys)
        return self.pressed


@pytest.fixture
def desk(backend: Backend) -> Iterator[Desk]:
    """prelabel, running."""
    with Desk(backend.settings) as desk, backend.web(), backend.workers():
        yield desk


def project_of(desk: Desk, backend: Backend, labels: Sequence[str]) -> ProjectDesk:
    """A connected project as `prelabel label-config` writes its config, once its tasks show suggestions."""
    listed, config = backend.home / "labels.txt", backend.home / "config.xml"
    listed.write_text("\n".join(labels), encoding="utf-8")
    done = backend.command("label-config", "--labels", str(listed), "--out", str(config), "--json")
    assert done.returncode == 0, done.stderr
    project = desk.client.create_project(title=f"{len(labels)} labels", label_config=config.read_text(encoding="utf-8"))
    folder = desk.loader.folder(str(project.key))
    folder.root.mkdir(parents=True)
    (folder.root / SETTINGS_FILE).write_text("blind_share = 0\n")
    connect(desk, project, ConnectOptions(language="en"), lambda _: None)
    keys = json.loads(done.stdout)["task_keys"]
    desk.client.import_tasks(project.id, [{key: text if key == "text" else [] for key in keys} for text in TEXTS])
    wait_for(lambda: all(shown(task, keys) for task in desk.client.tasks(project.id)), within_s=180, every_s=1.0)
    return desk.project(str(project.key))


def shown(task: Task, keys: Sequence[str]) -> bool:
    """Whether a task has its prediction and, where it needs one, its list of labels."""
    return bool(task.predictions) and all(task.data[key] for key in keys)


def listed(task: Task) -> list[str]:
    return [str(item["value"]) for item in task.data[TOP_KEY]]


def find_keys(label: str, order: list[str]) -> str:
    """The fewest letters that leave a label first among those found."""
    return next(
        part
        for n in range(1, len(label))
        for part in [label[at : at + n] for at in range(len(label) - n)]
        if next(other for other in order if part in other) == label
    )


def suggested(work: ProjectDesk) -> list[Task]:
    """The tasks that nobody has labelled and that have a tick, once the labels of before are followed."""
    wait_for(lambda: idle(work), within_s=120, every_s=0.5)
    return [task for task in work.desk.client.tasks(work.id) if task.open and ticked(task)]


def test_150_labels_are_worked_through_with_the_keyboard(
    browser: Browser, label_studio: RunningLabelStudio, desk: Desk, backend: Backend
) -> None:
    work = project_of(desk, backend, LABELS)
    person = Annotator(page_of(browser, label_studio), label_studio.url, work)

    task = suggested(work)[0]
    assert person.opens(task).press("Control+Enter") <= 2
    assert person.took(task) == [ticked(task)]

    task = next(task for task in suggested(work) if ticked(task) != listed(task)[2])
    assert person.opens(task).press("3", "Control+Enter") <= 2
    assert person.took(task) == [listed(task)[2]]

    task = suggested(work)[0]
    unlisted = listed(task)[120]
    keys = find_keys(unlisted, listed(task))
    assert person.opens(task).press("Shift+F", *keys, "Enter", "Shift+Tab", "Control+Enter") <= 8
    assert person.took(task) == [unlisted]


HASTY = [  # what is typed into the field and how it is left: some label stays ticked
    ["Shift+F", *"qq", "Enter", "Shift+Tab"],
    ["Shift+F", "Shift+Tab"],
    ["Shift+F", *"card", "Enter", "Enter", "Shift+Tab"],
]


def test_no_key_stores_an_annotation_without_a_label(
    browser: Browser, label_studio: RunningLabelStudio, desk: Desk, backend: Backend
) -> None:
    work = project_of(desk, backend, LABELS)
    person = Annotator(page_of(browser, label_studio), label_studio.url, work)
    task = next(task for task in suggested(work) if ticked(task) == listed(task)[0])
    person.opens(task).press("1", "Control+Enter")  # its key takes the tick away
    person.is_refused(task)
    for keys in HASTY:
        task = suggested(work)[-1]
        person.opens(task).press(*keys, "Control+Enter")
        assert len(person.took(task)) == 1, keys


@pytest.mark.parametrize("n", [3, 30, 1000])
def test_fewer_labels_and_a_thousand_are_taken_by_key_too(
    n: int, browser: Browser, label_studio: RunningLabelStudio, desk: Desk, backend: Backend
) -> None:
    labels = [*LABELS, *(f"{label} {how}" for how, label in product(HOW, LABELS))][:n]
    work = project_of(desk, backend, labels)
    person = Annotator(page_of(browser, label_studio), label_studio.url, work)

    def order(task: Task) -> list[str]:
        return listed(task) if n > 9 else labels

    task = suggested(work)[0]
    assert person.opens(task).press("Control+Enter") <= 2
    assert person.took(task) == [ticked(task)]

    task = next(task for task in suggested(work) if ticked(task) != order(task)[2])
    assert person.opens(task).press("3", "Control+Enter") <= 2
    assert person.took(task) == [order(task)[2]]

    if n > 9:
        task = suggested(work)[0]
        person.opens(task).press(
            "Shift+F", *find_keys(order(task)[-1], order(task)), "Enter", "Shift+Tab", "Control+Enter"
        )
        assert person.took(task) == [order(task)[-1]]

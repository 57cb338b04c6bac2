"""What an annotator sees and does, in a real Chromium on a real Label Studio, for both sample projects."""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from backend.connection.demo import setup_demo
from backend.job_queue import QUEUES, queue
from backend.labelstudio.records import Task
from backend.labelstudio.schema import WHY_KEY
from backend.loop.desk import Desk, ProjectDesk
from samples import load_samples
from tests.stack import Backend, RunningLabelStudio, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.label_studio, pytest.mark.redis, pytest.mark.timeout(1200)]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs chromium on PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


def page_of(browser: Browser, label_studio: RunningLabelStudio) -> Page:
    """A page of a person who has logged in."""
    page = browser.new_page(viewport={"width": 1360, "height": 900})
    page.goto(f"{label_studio.url}/user/login/")
    page.fill("input[name=email]", label_studio.email)
    page.fill("input[name=password]", label_studio.password)
    page.click("button[type=submit]")
    page.wait_for_url(lambda address: "/user/login" not in address, wait_until="commit")
    return page


def test_a_suggestion_is_ticked_explained_and_accepted_with_the_mouse(
    browser: Browser, label_studio: RunningLabelStudio, backend: Backend
) -> None:
    with Desk(backend.settings) as desk, backend.web(), backend.workers():
        projects = setup_demo(backend.settings, lambda _: None)
        page = page_of(browser, label_studio)
        for project_id, sample in zip(projects, load_samples(), strict=True):
            work = desk.project(str(desk.client.project(project_id).key))
            assert work.project.title == sample.title
            accept_one(page, label_studio.url, work)
            next_task_is_the_first_in_the_order_of_showing(page, label_studio.url, work)


def accept_one(page: Page, url: str, work: ProjectDesk) -> None:
    client = work.desk.client
    task = ticked_and_explained(work)[0]
    page.goto(f"{url}/projects/{work.id}/data?task={task.id}")
    why = page.get_by_role("heading", name=str(task.data[WHY_KEY]), exact=True)  # the table beside it says it, too
    expect(why).to_be_visible(timeout=20_000)
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(1)
    share = f"{work.desk.ledger.last_shown(work.key, [task.id])[task.id].confidence:.0%}"
    expect(page.get_by_text(re.compile(rf"{re.escape(ticked(task))}\s*{share}")).first).to_be_visible()
    page.get_by_test_id("bottombar-submit-button").click()
    wait_for(lambda: client.task(task.id).annotations, within_s=120)
    annotation = client.task(task.id).annotations[0]
    values = [region["value"] for region in annotation.result]
    assert values == [{"choices": [ticked(task)]}], "the accepted annotation holds the label and nothing else"
    wait_for(lambda: ("seen", True, 1) in work.desk.ledger.acceptance(work.key), within_s=120, every_s=0.5)


def next_task_is_the_first_in_the_order_of_showing(page: Page, url: str, work: ProjectDesk) -> None:
    page.goto(f"{url}/projects/{work.id}/data")
    wait_for(lambda: idle(work), within_s=400)  # following a label, and reasons, change scores
    with page.expect_response(lambda response: "next_task" in response.url, timeout=20_000) as answer:
        page.get_by_role("button", name=re.compile("^Label")).first.click(timeout=20_000)
    version = work.folder.current()
    shown = work.desk.client.task(answer.value.json()["id"])
    scores = [
        item["score"]
        for task in work.desk.client.tasks(work.id)
        if task.open
        for item in task.predictions
        if item["model_version"] == version
    ]
    assert shown.predictions[-1]["score"] == min(scores)


def idle(work: ProjectDesk) -> bool:
    """Whether no job waits or runs."""
    queues = [queue(work.desk.queue.connection, name) for name in QUEUES]
    return not any(each.count or each.started_job_registry.count for each in queues)


def ticked_and_explained(work: ProjectDesk) -> list[Task]:
    """Tasks that show a tick and its reason, once there are any."""
    found: list[Task] = []

    def there_are() -> bool:
        found[:] = [task for task in work.desk.client.tasks(work.id) if ticked(task) and task.data[WHY_KEY]]
        return bool(found)

    wait_for(there_are, within_s=120, every_s=1.0)
    return found


def ticked(task: Task) -> str:
    result = task.predictions[-1]["result"] if task.predictions else []
    return str(result[0]["value"]["choices"][0]) if result else ""

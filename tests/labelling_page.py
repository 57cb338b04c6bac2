"""People who label in a real Chromium, and what they see when they submit."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import requests
from playwright.sync_api import Browser, Page, Response, sync_playwright

from backend.labelstudio.client import LabelStudioClient

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip
SUBMIT = "[data-testid=bottombar-submit-button]"
LOOK = """() => {
    const boxes = [...document.querySelectorAll('.lsf-choice__checkbox input')]
        .filter(box => box.offsetParent !== null);  // the list of all labels stands there, too, hidden
    return {
        ticked: boxes.filter(box => box.checked).map(box => box.name),
        offered: boxes.map(box => [box.name, box.closest('label').innerText]),
        page: document.body.innerText,
    };
}"""
PERCENT = re.compile(r"(\d+)\s?%")
WAIT_MS = 30_000


@dataclass(frozen=True, slots=True)
class Sight:
    """What stands on the page of one task just before it is submitted."""

    task_id: int
    ticked: str  # empty where nothing is
    labels: tuple[str, ...]  # in the order of the page
    percents: dict[str, int]  # of the labels that tell one
    reason: str  # empty where none is given
    page: str  # all of its text


@dataclass(frozen=True, slots=True)
class Submitted:
    """One annotation and what its annotator saw."""

    annotation_id: int
    sight: Sight


class Person:
    """Somebody who has logged in and labels one project task by task."""

    def __init__(self, page: Page, url: str, project_id: int, login: tuple[str, str]) -> None:
        self.page, self.url, self.project_id = page, url, project_id
        self.served: list[int] = []
        self.stored: list[int] = []
        self.reason = ""
        page.on("response", self._listen)
        page.goto(f"{url}/user/login/")
        page.fill("input[name=email]", login[0])
        page.fill("input[name=password]", login[1])
        page.click("button[type=submit]")
        page.wait_for_url(lambda address: "login" not in address, wait_until="commit")

    def begin(self) -> None:
        """Open the label stream as people do: its address alone would go through the tab by number."""
        self.page.goto(f"{self.url}/projects/{self.project_id}/data")
        self.page.get_by_text("Label All Tasks").first.click()

    def look(self) -> Sight:
        """See the task that is open, once it is drawn."""
        self._until(lambda: len(self.served) > len(self.stored))
        self.page.wait_for_selector(f"{SUBMIT}:not([disabled])", timeout=WAIT_MS)
        self.page.wait_for_function("() => document.querySelectorAll('.lsf-choice__checkbox input').length > 1")
        self.page.wait_for_timeout(250)  # the tick is drawn after the labels
        seen = self.page.evaluate(LOOK)
        told = {name: PERCENT.findall(text) for name, text in seen["offered"]}
        return Sight(
            self.served[-1],
            seen["ticked"][0] if seen["ticked"] else "",
            tuple(name for name, _ in seen["offered"]),
            {name: int(found[-1]) for name, found in told.items() if found},
            self.reason,
            seen["page"],
        )

    def choose(self, place: int) -> None:
        """Tick the label at a place by its key, 1 being the first."""
        self.page.keyboard.press(str(place))

    def submit(self) -> int:
        """Submit what is ticked; the annotation's id."""
        before = len(self.stored)
        self.page.click(SUBMIT)
        self._until(lambda: len(self.stored) > before)
        return self.stored[-1]

    def wait(self, seconds: float) -> None:
        self.page.wait_for_timeout(1000 * seconds)

    def _listen(self, response: Response) -> None:
        if "next_task" in response.url or response.url.split("?")[0].endswith("/next"):
            task = response.json()
            self.served.append(int(task["id"]))
            self.reason = str(task["data"].get("prelabel_why") or "")
        if response.request.method == "POST" and "/annotations" in response.url:
            assert response.ok, f"what was labelled must be taken, was {response.status}: {response.text()[:300]}"
            self.stored.append(int(response.json()["id"]))

    def _until(self, what: object) -> None:
        for _ in range(WAIT_MS // 50):
            if what():  # type: ignore[operator]
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"the page must go on within {WAIT_MS} ms, shows: {self.page.inner_text('body')[:400]}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A Chromium without a window; None where there is none to start."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


def new_page(browser: Browser) -> Page:
    """A page of somebody else: with cookies of its own."""
    return browser.new_context(viewport={"width": 1360, "height": 1400}).new_page()


def add_account(client: LabelStudioClient, url: str, email: str, password: str) -> None:
    """Register somebody by the organization's invitation."""
    invited = client.api.json("GET", "api/invite")["invite_url"]
    session = requests.Session()
    address = f"{url}{invited[invited.index('/user/signup') :]}"
    session.get(address, timeout=30)
    form = {"email": email, "password": password, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    answer = session.post(address, data=form, headers={"Referer": address}, timeout=30)
    assert answer.ok, f"{email} must be taken in, was {answer.status_code}: {json.dumps(answer.text[:300])}"

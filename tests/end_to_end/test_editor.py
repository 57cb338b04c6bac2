"""What Label Studio's editor shows of a config and its data, and that prelabel reads the same."""

from contextlib import closing
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from playwright.sync_api import Browser, expect
from pydantic import SecretStr

from backend.core.settings import Settings
from backend.core.types import Decision, Label, LabelProb, LabelSpace
from backend.labelstudio.client import open_client
from backend.labelstudio.instructions import instruction_html
from backend.labelstudio.schema import EDITOR_KEY, READ_KEY, Control
from backend.labelstudio.wire import top, value_at
from tests.end_to_end.test_annotating_page import browser, page_of
from tests.stack import RunningLabelStudio

__all__ = ["browser"]  # a fixture

pytestmark = [pytest.mark.browser, pytest.mark.label_studio, pytest.mark.timeout(300)]

DATA = {
    "msg": {"body": "the nested one"},
    "a.b": "the very key",
    "a": {"b": "hidden by the very key"},
    "turns": [{"said": "the first turn"}, {"said": "the second turn"}],
    "Текст": "nobody sees this",
}
KEYS = ("$msg.body", "$a.b", "$turns[1].said", "$Текст")
HINTS = {"refund": "money back, first demand", "bug": "the app does not work"}


def config() -> str:
    """A text for each key, a dynamic list with hints, and a static one with a hint and a price."""
    texts = [f'<Text name="t{n}" value={quoteattr(value)}/>' for n, value in enumerate(KEYS)]
    return "\n".join(
        [
            "<View>",
            *texts,
            '<Choices name="listed" toName="t0" value="$top"/>',
            '<Choices name="c" toName="t0">',
            '<Choice value="delivery" hint="where a parcel is"/><Choice value="pay $5 now"/>',
            "</Choices></View>",
        ]
    )


def suggested() -> list[dict[str, str]]:
    labels = tuple(Label(value, value, hint) for value, hint in HINTS.items())
    control = Control("listed", "t0", "msg.body", LabelSpace(labels), dynamic=True, shows_reason=False)
    shares = tuple(LabelProb(value, 0.5) for value in HINTS)
    return top(Decision("label", "refund", 0.5, 0.0, "classify", "", shares), control)


def test_the_editor_shows_what_prelabel_reads_and_hints_under_the_pointer(
    browser: Browser, label_studio: RunningLabelStudio, tmp_path: Path
) -> None:
    token = SecretStr(label_studio.token)
    settings = Settings(home=tmp_path, label_studio_url=label_studio.url, label_studio_token=token)
    with closing(open_client(settings)) as client:
        guideline = instruction_html("## Rules\n\n- **one** label\n")
        project = client.create_project(
            title="Editor",
            label_config=config(),
            expert_instruction=guideline,
            show_instruction=True,
        )
        (task,) = client.import_tasks(project.id, [{"data": {**DATA, "top": suggested()}}])
    page = page_of(browser, label_studio)
    page.goto(f"{label_studio.url}/projects/{project.id}/data?task={task}")
    editor = page.locator("#label-studio-dm")
    for value in KEYS:
        told = value_at(DATA, value[1:]) if READ_KEY.fullmatch(value) else value
        expect(editor.get_by_text(told, exact=True)).to_be_visible(timeout=30_000)
    assert EDITOR_KEY.search("pay $5 now")
    expect(editor.get_by_text("$5")).to_have_count(0)
    for label, hint in {**HINTS, "delivery": "where a parcel is"}.items():
        editor.get_by_text(label).first.hover()
        tooltip = page.get_by_test_id("tooltip-body").filter(has_text=hint)
        expect(tooltip).to_be_visible()
    page.goto(f"{label_studio.url}/projects/{project.id}/data?labeling=1")
    expect(page.get_by_role("heading", name="Rules")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("listitem").get_by_text("one", exact=True)).to_be_visible()
    page.close()

"""What doctor says, without a Label Studio: about label configs and about what tasks hold."""

from typing import Any

import pytest

from backend.connection.doctor.project import of_texts, unserved
from backend.labelstudio.schema import Control, Unusable, read_config
from tests.labelstudio.unserved import UNSERVED, Unserved, choices, view


@pytest.mark.parametrize("case", UNSERVED, ids=[case.shape for case in UNSERVED])
def test_a_config_that_is_not_served_has_a_finding_and_a_remedy(case: Unserved) -> None:
    found = read_config(case.config)
    assert isinstance(found, Unusable), "never guessed at"
    finding = unserved(found)
    assert finding.text == case.found
    assert finding.remedy == f"{case.remedy}; the config is read again by itself"


TASKS: list[tuple[str, list[Any], bool, str]] = [
    ("no tasks", [], True, "0 of the first 0 tasks hold a text under 'text'"),
    ("texts", ["a", 5, "see https://a.example"], True, "3 of the first 3 tasks hold a text"),
    ("a link among texts", ["a", "b", "s3://bucket/a"], False, "1 of the first 3 tasks hold a link under 'text'"),
    ("a task without a text", ["a", "b", None], True, "2 of the first 3 tasks hold a text"),
    ("the wrong column", [None, None], False, "2 of the first 2 tasks hold no text under 'text'"),
]


@pytest.mark.parametrize(("values", "ok", "finding"), [row[1:] for row in TASKS], ids=[row[0] for row in TASKS])
def test_tasks_that_hold_no_text_are_told(values: list[Any], ok: bool, finding: str) -> None:
    control = read_config(view('<Text name="t" value="$text"/>', choices()))
    assert isinstance(control, Control)
    seen = of_texts([{"text": value} for value in values], control)
    assert (seen.fault is None) is ok
    assert seen.text.startswith(finding)
    assert bool(seen.remedy) is not ok

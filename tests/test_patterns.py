"""No text that comes from outside makes a process stand: time grows with its length, not with the square of it."""

import re
from collections.abc import Callable

import pytest

from backend.core.errors import PrelabelError
from backend.core.labels import key
from backend.core.projects import ProjectKey
from backend.core.spellings import look_alike
from backend.core.types import Label, LabelSpace
from backend.labelstudio.schema import Control, read_config
from backend.labelstudio.wire import reads_alike, reason_phrase, text_of
from backend.logs import without_values
from backend.pipeline.clean import clean
from backend.pipeline.keywords import KeywordRules
from backend.pipeline.language import script_of
from tests.patterns import N_SIGNS, WITHIN_S, Found, patterns, seconds, slowest

FOUND = patterns()
MADE_FROM_VALUES = {  # by file; each is attacked below as what it is part of, or reads nothing from outside
    "backend/pipeline/keywords.py",
    "backend/pipeline/language.py",
    "backend/commands/describe.py",
    "backend/core/labels.py",
}


def test_every_pattern_of_the_source_is_attacked() -> None:
    assert len(FOUND) > 30
    assert {each.where.partition(":")[0] for each in FOUND if each.pattern is None} <= MADE_FROM_VALUES


@pytest.mark.parametrize("found", [each for each in FOUND if each.pattern], ids=lambda found: found.where)
def test_a_pattern_takes_time_that_grows_with_the_text(found: Found) -> None:
    for text in slowest(found):
        assert min(seconds(found.run, text) for _ in range(3)) < WITHIN_S, f"{found.call} on {text[:30]!r}..."


def test_a_pattern_that_looks_again_and_again_is_found_out() -> None:
    careless = Found("here", "", re.compile(r"(\d+) ?%"), everywhere=True)
    assert max(seconds(careless.run, text) for text in slowest(careless)) > WITHIN_S


CONTROL = Control("topic", "text", "text", LabelSpace((Label("a", "a", ""),), ""), dynamic=True, shows_reason=True)
KEYWORDS = KeywordRules.of({"a": ["cancel*", "c a", "1*"]}, CONTROL.space)


def told(config: str) -> None:
    try:
        read_config(config)
    except PrelabelError as err:
        without_values(str(err))


READERS: list[tuple[str, Callable[[str], object]]] = [
    ("cleaning", clean),
    ("a label", key),
    ("labels that look alike", lambda text: look_alike({key(text): 1, "a": 1})),
    ("rules", lambda text: KEYWORDS.append([text], 2)),
    ("a language", lambda text: script_of(text)),
    ("a task's text", lambda text: text_of({"text": text}, CONTROL)),
    ("a reason on a page", lambda text: reads_alike(text, text + "%")),
    ("percents on a page", lambda text: reads_alike([{"value": "a", "html": text}], [{"value": "a", "html": "1 %"}])),
    ("a log's line", without_values),
    ("a reason phrase", reason_phrase),
    ("a label config", told),
    ("a label config's attribute", lambda text: told(f'<View><Text name="t" value="${text[:-1]}"/></View>')),
]
LONG = ("1", " ", "a", "&#1", "&", "<", "<!--", "<a ", "http://", "a@a.", "1 %", "'", "\\'", "\n", "Ж", "\U0001f621",
        "#a", "cancel", "\u0301\u0316", "\u200d", "</a", "<a b='", "<View>", "a: ", "data:")  # fmt: skip


@pytest.mark.parametrize(("name", "read"), READERS, ids=[row[0] for row in READERS])
def test_whoever_reads_a_text_takes_time_that_grows_with_it(name: str, read: Callable[[str], object]) -> None:
    for unit in LONG:
        text = unit * (N_SIGNS // len(unit))
        read(text)
        assert min(seconds(read, text) for _ in range(2)) < WITHIN_S, f"{name}: {unit!r}, again and again"


def test_a_project_is_named_by_two_short_numbers() -> None:
    with pytest.raises(PrelabelError):
        ProjectKey.parse("1" * N_SIGNS + "." + "1" * N_SIGNS)


def test_a_number_that_python_refuses_to_read_is_no_reason_to_lose_a_text() -> None:
    assert clean(f"where is &#{'9' * 5_000}; my parcel") == "where is \ufffd my parcel"

"""What Label Studio sends and what it is answered: every odd shape has its row."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from backend.core.errors import BadInputError, PrelabelError, TooLargeError
from backend.core.projects import ProjectKey
from backend.core.types import Decision, DecisionKind, Label, LabelProb, LabelSpace
from backend.labelstudio.schema import Control, read_config
from backend.labelstudio.wire import (
    REASON_LENGTH,
    PredictRequest,
    SetupRequest,
    empty_prediction,
    predict_request,
    prediction,
    reads_alike,
    reason_phrase,
    results,
    score_of,
    setup_request,
    shown_data,
    text_of,
    textless,
    top,
    webhook_event,
)

CONFIG = """
<View>
  <Header value="$prelabel_why"/>
  <Text name="t" value="$text"/>
  <Choices name="c" toName="t" value="$prelabel_top"/>
  <View style="display:none">
    <Choices name="label_set" toName="t">
      <Choice value="Cancel &lt;now&gt;" alias="cancel"/><Choice value="ok"/><Choice value="pay"/>
      <Choice value="None" alias="oos"/>
    </Choices>
  </View>
</View>
"""


@pytest.fixture
def control() -> Control:
    found = read_config(CONFIG)
    assert isinstance(found, Control)
    return found


def decided(kind: DecisionKind = "label", label: str = "cancel", **changes: Any) -> Decision:
    fields = {
        "kind": kind, "predicted_label": label, "confidence": 0.73, "p_out_of_scope": 0.12, "stage": "retrieve",
        "reason": "closest to the description of cancel",
        "alternatives": (LabelProb("cancel", 0.73), LabelProb("pay", 0.1), LabelProb("ok", 0.05)),
    }  # fmt: skip
    return Decision(**{**fields, **changes})


TEXTS = [
    ("a text", "hello", "hello"),
    ("nothing", "", ""),
    ("spaces", "  \n", "  \n"),
    ("a whole number", 5, "5"),
    ("zero", 0, "0"),
    ("a number out of a CSV column", 123.0, "123"),
    ("a long number out of a CSV column", 79161234567.0, "79161234567"),
    ("a fraction", 0.25, "0.25"),
    ("a small fraction", 1e-07, "0.0000001"),
    ("a large number", 1e21, "1000000000000000000000"),
    ("a negative number", -10.0, "-10"),
    ("not a number", math.nan, None),
    ("infinity", math.inf, None),
    ("a list of words", ["a", "b"], None),
    ("an empty list", [], None),
    ("null", None, None),
    ("true", True, None),
    ("an object", {"text": "hello"}, None),
    (
        "a conversation",
        [{"author": "A", "text": "hi"}, {"author": "B", "text": "yes?"}],
        "A: hi\nB: yes?",
    ),
    (
        "a conversation without speakers",
        [{"text": "hi"}, {"author": 5, "text": "yes?"}],
        "hi\nyes?",
    ),
    (
        "a conversation with a turn without words",
        [{"text": "hi"}, {"author": "B"}, {"text": 5}],
        "hi",
    ),
    ("a conversation with something else in it", [{"text": "hi"}, "yes?"], None),
    (
        "a conversation of links",
        [{"author": "A", "text": "https://a.example/1"}, {"text": "s3://b/2"}],
        None,
    ),
    (
        "a conversation with a link",
        [{"author": "A", "text": "https://a.example/1"}, {"text": "see?"}],
        "A: https://a.example/1\nsee?",
    ),
    ("a link", "https://shop.example/text.txt?a=1", None),
    ("a link in capitals, with spaces around it", " HTTP://SHOP.EXAMPLE/A.TXT\n", None),
    ("a link without scheme", "www.shop.example/a", None),
    ("S3", "s3://bucket/folder/a.txt", None),
    ("Google storage", "gs://bucket/a.json", None),
    ("Azure storage", "azure-blob://container/a.txt", None),
    ("an upload", "/data/upload/12/1f2e-texts.txt", None),
    ("a local file", "/data/local-files/?d=texts/a.txt", None),
    ("data in a link", "data:text/plain;base64,aGVsbG8=", None),
    ("a text with a link", "see https://shop.example/a", "see https://shop.example/a"),
    ("a link and one word", "https://shop.example/a broken", "https://shop.example/a broken"),
    (
        "two links",
        "https://a.example/1 https://a.example/2",
        "https://a.example/1 https://a.example/2",
    ),
    ("a word with a colon", "error:timeout", "error:timeout"),
    ("a path", "/data/orders is empty", "/data/orders is empty"),
    ("a conversation without words", [{"author": "B"}], None),
    ("a million characters", "я" * 1_000_000, "я" * 1_000_000),
    ("a NUL character", "a\x00b", "a\x00b"),
    ("half of a surrogate pair", "a\ud83d", "a?"),
]


@pytest.mark.parametrize(("value", "text"), [row[1:] for row in TEXTS], ids=[row[0] for row in TEXTS])
def test_the_text_of_a_task_is_what_stands_under_its_key(value: object, text: str | None, control: Control) -> None:
    assert text_of({"text": value}, control) == text


def test_a_task_without_the_key_has_no_text(control: Control) -> None:
    assert text_of({"body": "hello"}, control) is None


PATHS = [
    ("a nested key", "$msg.body", {"msg": {"body": "hello"}}, "hello"),
    ("the very key", "$msg.body", {"msg.body": "flat", "msg": {"body": "nested"}}, "flat"),
    ("a part of a list", "$a[0].b", {"a": [{"b": "hello"}]}, "hello"),
    ("an index with a dot", "$a.1", {"a": ["no", "hello"]}, "hello"),
    ("a list that is too short", "$a[3].b", {"a": [{"b": "hello"}]}, None),
    ("a key of a text", "$msg.body", {"msg": "hello"}, None),
    ("nothing there", "$msg.body", {"text": "hello"}, None),
    (
        "a conversation within",
        "$ticket.turns",
        {"ticket": {"turns": [{"text": "Hi", "author": "A"}]}},
        "A: Hi",
    ),
    ("a link within", "$msg.body", {"msg": {"body": "https://a.example/1"}}, None),
]


@pytest.mark.parametrize(("case", "key", "data", "text"), PATHS)
def test_a_key_is_followed_as_the_editor_follows_it(
    case: str, key: str, data: dict[str, Any], text: str | None
) -> None:
    found = read_config(CONFIG.replace("$text", key))
    assert isinstance(found, Control)
    assert text_of(data, found) == text


CHAT = """<View><Paragraphs name="t" value="$chat" layout="dialogue" nameKey="who" textKey="said"/>
<Choices name="c" toName="t"><Choice value="a"/></Choices></View>"""


def test_a_conversation_is_read_by_the_keys_that_its_tag_names() -> None:
    control = read_config(CHAT)
    assert isinstance(control, Control)
    turns = [
        {"who": "Shop", "said": "Hello", "text": "no"},
        {"who": "Ann", "author": "no", "said": "Where is it?"},
    ]
    assert text_of({"chat": turns}, control) == "Shop: Hello\nAnn: Where is it?"


WITHOUT_TEXT: list[tuple[str, object, str]] = [
    ("a link", "https://shop.example/a", "link"),
    ("a conversation of links", [{"text": "https://shop.example/a"}], "link"),
    ("nothing", None, "no_text"),
    ("a list of words", ["https://shop.example/a"], "no_text"),
    ("an empty conversation", [{"author": "A"}], "no_text"),
]


@pytest.mark.parametrize(("value", "why"), [row[1:] for row in WITHOUT_TEXT], ids=[row[0] for row in WITHOUT_TEXT])
def test_a_task_without_a_text_has_a_reason(value: object, why: str, control: Control) -> None:
    assert text_of({"text": value}, control) is None
    assert textless({"text": value}, control) == why


PREDICT = {
    "tasks": [],
    "project": "84.1795230264",
    "label_config": "<View/>",
    "params": {"context": None},
}


def test_a_predict_body_is_read_whatever_its_tasks_are() -> None:
    tasks = [
        {"id": 1, "data": {"text": "a"}},
        {"data": {"text": "b"}},
        {"id": "3", "data": None},
        {"id": 4},
        None,
        5,
    ]
    read = predict_request({**PREDICT, "tasks": tasks})
    assert [(task.id, task.data) for task in read.tasks] == [
        (1, {"text": "a"}), (0, {"text": "b"}), (0, {}), (4, {}), (0, {}), (0, {}),
    ]  # fmt: skip
    assert replace(read, tasks=()) == PredictRequest(ProjectKey(84, 1795230264), (), "<View/>", interactive=False)


CONTEXTS: list[tuple[str, object, bool]] = [
    ("null", {"context": None}, False),
    ("none", {}, False),
    ("no params", None, False),
    ("an empty one", {"context": {}}, True),
    ("with regions", {"context": {"result": []}}, True),
]


@pytest.mark.parametrize(("params", "interactive"), [row[1:] for row in CONTEXTS], ids=[row[0] for row in CONTEXTS])
def test_a_context_makes_a_request_interactive(params: object, interactive: bool) -> None:
    assert predict_request({**PREDICT, "params": params}).interactive is interactive


BAD_PREDICT: list[tuple[str, object, type[PrelabelError], str]] = [
    ("a list", [], BadInputError, "the body must be a JSON object, was list"),
    ("null", None, BadInputError, "the body must be a JSON object, was NoneType"),
    ("empty", {}, BadInputError, "tasks must be a list, was NoneType"),
    (
        "tasks as an object",
        {**PREDICT, "tasks": {}},
        BadInputError,
        "tasks must be a list, was dict",
    ),
    (
        "no project",
        {**PREDICT, "project": None},
        BadInputError,
        "project must be a string, was NoneType",
    ),
    (
        "a number as project",
        {**PREDICT, "project": 84},
        BadInputError,
        "project must be a string, was int",
    ),
    ("a word as project", {**PREDICT, "project": "abc"}, BadInputError, "two integers"),
    ("a path as project", {**PREDICT, "project": "../../etc"}, BadInputError, "two integers"),
    (
        "no config",
        {**PREDICT, "label_config": None},
        BadInputError,
        "label_config must be a string",
    ),
    (
        "too many",
        {**PREDICT, "tasks": [None] * 100_001},
        TooLargeError,
        "at most 100000 a request, were 100001",
    ),
]


@pytest.mark.parametrize(
    ("body", "error", "message"), [row[1:] for row in BAD_PREDICT], ids=[r[0] for r in BAD_PREDICT]
)
def test_a_wrong_predict_body_says_what_is_wrong(body: object, error: type[PrelabelError], message: str) -> None:
    with pytest.raises(error, match=message):
        predict_request(body)


EXTRAS: list[tuple[str, object, str]] = [
    ("null", None, ""),
    ("an object that names a control", {"control": "c"}, "c"),
    ("an object about other things", {"language": "ru"}, ""),
    ("a control that is no name", {"control": 5}, ""),
    ("a string", "control", ""),
    ("a string of JSON", '{"control": "c"}', ""),
    ("a list", ["control"], ""),
]


@pytest.mark.parametrize(("extra", "control"), [row[1:] for row in EXTRAS], ids=[row[0] for row in EXTRAS])
def test_setup_takes_extra_params_of_any_kind(extra: object, control: str) -> None:
    body = {
        "project": "84.1795230264",
        "schema": "<View/>",
        "access_token": None,
        "extra_params": extra,
    }
    assert setup_request(body) == SetupRequest(ProjectKey(84, 1795230264), "<View/>", control)


PROJECT = {"id": 84, "created_at": "2026-11-21T03:04:24.589051Z"}
EVENTS: list[tuple[str, object, str, tuple[str, ProjectKey | None]]] = [
    (
        "our own: the header names the project",
        {"action": "X"},
        "84-1795230264",
        ("X", ProjectKey(84, 1795230264)),
    ),
    ("a full payload", {"action": "X", "project": PROJECT}, "", ("X", ProjectKey(84, 1795230264))),
    ("both: the header wins", {"action": "X", "project": PROJECT}, "7-8", ("X", ProjectKey(7, 8))),
    ("neither", {"action": "X"}, "", ("X", None)),
]


@pytest.mark.parametrize(("body", "header", "event"), [row[1:] for row in EVENTS], ids=[row[0] for row in EVENTS])
def test_an_event_names_its_project(body: object, header: str, event: object) -> None:
    assert webhook_event(body, header) == event


BAD_EVENTS: list[tuple[str, object, str, str]] = [
    ("a list", [], "", "must be a JSON object"),
    ("no action", {"project": PROJECT}, "", "action must be a string"),
    ("a path in the header", {"action": "X"}, "../../etc", "two integers"),
    (
        "an id that is a word",
        {"action": "X", "project": {**PROJECT, "id": "84"}},
        "",
        "an integer id",
    ),
    ("no creation time", {"action": "X", "project": {"id": 84}}, "", "a created_at"),
    (
        "a creation time that is none",
        {"action": "X", "project": {**PROJECT, "created_at": "now"}},
        "",
        "ISO 8601",
    ),
    (
        "a creation time before time",
        {"action": "X", "project": {"id": 8, "created_at": "0001-01-01"}},
        "",
        "ISO 8601",
    ),
]


@pytest.mark.parametrize(("body", "header", "message"), [r[1:] for r in BAD_EVENTS], ids=[r[0] for r in BAD_EVENTS])
def test_a_wrong_event_says_what_is_wrong(body: object, header: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        webhook_event(body, header)


TICKED = [
    ("a label", decided(), ["cancel"], 0.73),
    ("a label without its key in the config", decided(label="nosuch"), None, 0.73),
    ("out of scope", decided("out_of_scope", "oos", p_out_of_scope=0.6), ["oos"], 0.6),
    (
        "out of scope without such a choice",
        decided("out_of_scope", "", p_out_of_scope=0.6),
        None,
        0.6,
    ),
    ("abstain", decided("abstain", confidence=0.21), None, 0.21),
    ("a confidence a little above one", decided(confidence=1.0000001), ["cancel"], 1.0),
    ("a confidence a little below zero", decided(confidence=-1e-9), ["cancel"], 0.0),
]


@pytest.mark.parametrize(("decision", "ticked", "score"), [row[1:] for row in TICKED], ids=[row[0] for row in TICKED])
def test_a_decision_becomes_a_prediction(
    decision: Decision, ticked: list[str] | None, score: float, control: Control
) -> None:
    said = {"from_name": "c", "to_name": "t", "type": "choices", "value": {"choices": ticked}}
    region = {"id": "0123456789", **said}
    wanted = {"result": [region] if ticked else [], "score": score, "model_version": "pl-1"}
    assert prediction(decision, control, "pl-1", "0123456789") == wanted


def test_two_digits_of_a_score_are_the_confidence_and_two_keep_the_order() -> None:
    assert score_of(decided(confidence=0.12344)) == 0.1234
    assert score_of(decided(confidence=0.1236)) > score_of(decided(confidence=0.1234))


def test_one_entry_a_task_and_an_empty_list_for_none_yet() -> None:
    blind = empty_prediction(0.123456, "pl-1")
    assert results([None, blind]) == {"results": [[], {"result": [], "score": 0.1235, "model_version": "pl-1"}]}
    assert results([]) == {"results": []}


def test_the_page_shows_the_reason_and_all_labels_with_the_likeliest_first(
    control: Control,
) -> None:
    shown = shown_data(decided(reason="two\nlines"), control)
    assert shown == {
        "prelabel_why": "two lines",
        "prelabel_top": [
            {"value": "cancel", "html": "Cancel &lt;now&gt; <b>73%</b>"},
            {"value": "oos", "html": "None <b>12%</b>"},
            {"value": "pay", "html": "pay <b>10%</b>"},
            {"value": "ok", "html": "ok <b>5%</b>"},
        ],
    }


def test_a_task_without_a_decision_still_has_all_labels_and_tells_nothing(control: Control) -> None:
    shown = shown_data(None, control)
    assert shown["prelabel_why"] == ""
    assert [item["value"] for item in shown["prelabel_top"]] == ["cancel", "ok", "pay", "oos"]
    assert "%" not in json.dumps(shown)


@pytest.mark.parametrize(("length", "hinted"), [(10, ["a", "b", "c", "d", "e", "f"]), (1_000, list("abcde"))])
def test_choices_have_their_hints_and_long_ones_only_where_they_are_likely(length: int, hinted: list[str]) -> None:
    labels = tuple(Label(name, name, "h" * length) for name in "abcdef")
    shares = tuple(LabelProb(name, 0.15) for name in "abcdef")
    listed = Control("c", "t", "text", LabelSpace(labels), dynamic=True, shows_reason=False)
    items = top(decided(label="a", alternatives=shares), listed)
    assert [item["value"] for item in items if item.get("hint")] == hinted


STATIC = """<View><Header value="$prelabel_why"/><Text name="t" value="$x"/><Choices name="c" toName="t">
<Choice value="cancel now" alias="cancel"/><Choice value="ok"/><Choice value="pay"/></Choices></View>"""


def test_beside_a_static_list_the_line_tells_the_likeliest_labels_too() -> None:
    static = read_config(STATIC)
    assert isinstance(static, Control)
    likely = (LabelProb("cancel", 0.734), LabelProb("pay", 0.1), LabelProb("ok", 0.02))
    shown = shown_data(decided(alternatives=likely), static)
    assert shown == {"prelabel_why": "cancel now 73%, pay 10% · closest to the description of cancel"}
    closer = shown_data(decided(alternatives=(LabelProb("cancel", 0.70), LabelProb("pay", 0.12))), static)
    assert reads_alike(shown["prelabel_why"], closer["prelabel_why"])
    assert shown_data(decided(alternatives=()), static) == {"prelabel_why": "closest to the description of cancel"}


def test_a_static_config_without_a_header_adds_no_key_to_the_data() -> None:
    static = read_config(
        '<View><Text name="t" value="$x"/><Choices name="c" toName="t"><Choice value="a"/></Choices></View>'
    )
    assert isinstance(static, Control)
    assert shown_data(decided(), static) == {}


NEXT = "like 2 accepted examples of cancel (#12, #7); next: repeat 12 %"
SHARES = [("cancel", 73), ("pay", 12), ("ok", None)]
READINGS: list[tuple[str, object, object, bool]] = [
    ("a percent a little apart", NEXT, NEXT.replace("12 %", "14 %"), True),
    ("other examples of the same label", NEXT, NEXT.replace("#7", "#8"), True),
    ("a percent far apart", NEXT, NEXT.replace("12 %", "34 %"), False),
    ("another label", NEXT, NEXT.replace("repeat", "pay"), False),
    ("nothing told before", None, NEXT, False),
    ("labels in another order behind the first", SHARES, [SHARES[0], ("ok", 3), ("pay", 9)], True),
    ("another label first", SHARES, [("pay", 74), ("cancel", 71), ("ok", None)], False),
    ("a label's percent far apart", SHARES, [SHARES[0], ("pay", 26), ("ok", None)], False),
    ("a label that was not there", SHARES, [*SHARES, ("new", None)], False),
]


@pytest.mark.parametrize(("old", "new", "alike"), [row[1:] for row in READINGS], ids=[row[0] for row in READINGS])
def test_what_reads_the_same_is_not_written_again(old: object, new: object, *, alike: bool) -> None:
    assert reads_alike(as_shown(old), as_shown(new)) is alike


def as_shown(value: object) -> object:
    if not isinstance(value, list):
        return value
    return [{"value": name, "html": name if share is None else f"{name} <b>{share}%</b>"} for name, share in value]


MESSAGES = [
    ("Cyrillic", "метка «да»", "????? ????"),
    ("line breaks, which would end the header", "a\r\nSet-Cookie: b", "a Set-Cookie: b"),
    ("control characters", "a\x00b\x1bc\x7f", "a?b?c?"),
    ("too long", "x" * 1000, "x" * REASON_LENGTH),
    ("nothing", "", ""),
]


@pytest.mark.parametrize(("message", "phrase"), [row[1:] for row in MESSAGES], ids=[row[0] for row in MESSAGES])
def test_a_reason_phrase_is_one_short_line_of_ascii(message: str, phrase: str) -> None:
    assert reason_phrase(message) == phrase

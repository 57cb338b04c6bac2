"""Whatever arrives, one answer leaves: a status, a reason of one line, and a process that answers the next call."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from backend.core.artefacts import write_atomically
from backend.core.projects import CONTROL_FILE, SETTINGS_FILE
from tests.golden.record import LABEL_CONFIG
from tests.labelstudio.recordings import recording, replay
from tests.labelstudio.served import BASIC, Web
from tests.labelstudio.unserved import UNSERVED, Unserved

AUTH = {"Authorization": BASIC}


@pytest.fixture(autouse=True)
def still_answers(web: Web) -> Iterator[None]:
    """After each test here the next ordinary request is answered as if nothing had been."""
    yield
    answer = replay(web.client, recording("predict_batch"))
    assert answer.status_code == 200
    assert [len(item["result"]) for item in answer.get_json()["results"]] == [1, 1, 1]


def predict(web: Web, tasks: list[Any], label_config: str = LABEL_CONFIG, **params: Any) -> list[Any]:
    body = {"tasks": tasks, "project": web.project, "label_config": label_config, "params": params}
    answer = web.post("/predict", body)
    assert answer.status_code == 200, answer.status
    found: list[Any] = answer.get_json()["results"]
    assert len(found) == len(tasks), "one entry a task, or Label Studio drops all of them"
    return found


ANSWERED, NONE_YET, NOTHING_TICKED = "answered", "none yet", "nothing ticked"
TASKS: list[tuple[str, Any, str]] = [
    ("an ordinary text", {"id": 1, "data": {"text": "где мой заказ"}}, ANSWERED),
    ("no key", {"id": 2, "data": {"body": "где мой заказ"}}, NONE_YET),
    ("an empty text", {"id": 3, "data": {"text": ""}}, NOTHING_TICKED),
    ("spaces", {"id": 4, "data": {"text": " \t\n\u00a0"}}, NOTHING_TICKED),
    ("nothing but markup", {"id": 5, "data": {"text": "<br/><!-- x -->"}}, NOTHING_TICKED),
    ("nothing but emoji", {"id": 6, "data": {"text": "\U0001f621\U0001f621"}}, NOTHING_TICKED),
    ("a whole number", {"id": 7, "data": {"text": 5}}, ANSWERED),
    ("a number out of a CSV column", {"id": 8, "data": {"text": 123.0}}, ANSWERED),
    ("a list of words", {"id": 9, "data": {"text": ["a", "b"]}}, NONE_YET),
    ("null", {"id": 10, "data": {"text": None}}, NONE_YET),
    ("an object", {"id": 11, "data": {"text": {"a": "b"}}}, NONE_YET),
    ("a switch", {"id": 12, "data": {"text": True}}, NONE_YET),
    ("a conversation", {"id": 13, "data": {"text": [{"author": "A", "text": "где мой заказ"}]}}, ANSWERED),
    ("a million characters", {"id": 14, "data": {"text": "верните деньги " * 66_667}}, ANSWERED),
    ("a million characters without a space", {"id": 15, "data": {"text": "я" * 1_000_000}}, ANSWERED),
    ("NUL characters", {"id": 16, "data": {"text": "верните\x00деньги\x00"}}, ANSWERED),
    ("half of a surrogate pair", {"id": 17, "data": {"text": "верните деньги \ud83d"}}, ANSWERED),
    ("right-to-left marks", {"id": 18, "data": {"text": "\u202eверните деньги\u202c"}}, ANSWERED),
    ("no id", {"data": {"text": "где мой заказ"}}, ANSWERED),
    ("an id that is a word", {"id": "x", "data": {"text": "где мой заказ"}}, ANSWERED),
    ("an id larger than a database holds", {"id": 10**30, "data": {"text": "где мой заказ"}}, ANSWERED),
    ("a negative id", {"id": -1, "data": {"text": "где мой заказ"}}, ANSWERED),
    ("no data", {"id": 21}, NONE_YET),
    ("data that is a text", {"id": 22, "data": "где мой заказ"}, NONE_YET),
    ("data that is a list", {"id": 23, "data": [1]}, NONE_YET),
    ("an empty object", {}, NONE_YET),
    ("null instead of a task", None, NONE_YET),
    ("a number instead of a task", 5, NONE_YET),
    ("a list instead of a task", [], NONE_YET),
]


def _kind(item: Any) -> str:
    if item == []:
        return NONE_YET
    assert set(item) == {"result", "score", "model_version"}
    assert 0 <= item["score"] <= 1
    return ANSWERED if item["result"] else NOTHING_TICKED


@pytest.mark.parametrize(("task", "kind"), [row[1:] for row in TASKS], ids=[row[0] for row in TASKS])
def test_a_task_of_any_kind_gets_its_own_entry(task: Any, kind: str, web: Web) -> None:
    (item,) = predict(web, [task])
    assert _kind(item) in ((kind,) if kind != ANSWERED else (ANSWERED, NOTHING_TICKED)), "an abstention ticks nothing"


def test_odd_tasks_do_not_cost_the_others_their_predictions(web: Web) -> None:
    found = predict(web, [task for _, task, _ in TASKS])
    wanted = [kind == NONE_YET for _, _, kind in TASKS]
    assert [item == [] for item in found] == wanted
    assert found[0]["result"][0]["value"] == {"choices": ["доставка"]}


def test_no_tasks_get_no_predictions(web: Web) -> None:
    assert predict(web, []) == []
    assert predict(web, [], context={"result": []}) == []


@pytest.mark.parametrize("context", [{}, {"result": []}, {"result": None}, {"result": [{"x": 1}]}, "x", 5, []])
def test_an_interactive_call_answers_whatever_its_context_is(context: Any, web: Web) -> None:
    (item,) = predict(web, [{"id": 1, "data": {"text": "где мой заказ"}, "drafts": []}], context=context)
    assert _kind(item) == ANSWERED


TWO_CONTROLS = LABEL_CONFIG.replace("</View>", LABEL_CONFIG[LABEL_CONFIG.index("<Choices") :].replace("topic", "two"))


@pytest.mark.parametrize("case", UNSERVED, ids=[case.shape for case in UNSERVED])
def test_a_config_that_is_not_served_still_connects_and_gets_none_yet(case: Unserved, web: Web) -> None:
    answer = web.post("/setup", {"project": web.project, "schema": case.config, "extra_params": None})
    assert (answer.status_code, answer.get_json()) == (200, {"model_version": "pl-unconfigured"})
    assert predict(web, [{"id": 1, "data": {"text": "a"}}, {"id": 2, "data": {}}], case.config) == [[], []]


def test_what_is_not_predicted_is_counted_by_its_reason(web: Web) -> None:
    before = unanswered(web)
    texts = ["https://shop.example/a.txt", "s3://bucket/a", None, "где мой заказ https://shop.example/a"]
    found = predict(web, [{"id": number, "data": {"text": text}} for number, text in enumerate(texts, start=1)])
    assert [item == [] for item in found] == [True, True, True, False]
    after = unanswered(web)
    assert {cause: n - before.get(cause, 0.0) for cause, n in after.items()} == {
        **dict.fromkeys(after, 0.0),
        "link": 2.0,
        "no_text": 1.0,
    }
    predict(web, [{"id": 1, "data": {"text": "a"}}], UNSERVED[0].config)
    assert unanswered(web)["config"] == after.get("config", 0.0) + 1


def test_the_share_of_a_text_that_nobody_read_is_counted(web: Web) -> None:
    before = sample(web, "prelabel_cut_share_count")
    predict(web, [{"id": 1, "data": {"text": "где мой заказ " * 1_000}}, {"id": 2, "data": {"text": "где мой заказ"}}])
    assert sample(web, "prelabel_cut_share_count") == before + 1


def exposition(web: Web) -> list[Metric]:
    text = web.client.get("/metrics", headers=AUTH).get_data(as_text=True)
    return list(text_string_to_metric_families(text))


def sample(web: Web, name: str) -> float:
    return sum(found.value for metric in exposition(web) for found in metric.samples if found.name == name)


def unanswered(web: Web) -> dict[str, float]:
    found = [
        found for metric in exposition(web) for found in metric.samples if found.name == "prelabel_unanswered_total"
    ]
    return {item.labels["cause"]: item.value for item in found}


@pytest.fixture
def two_named(web: Web) -> Iterator[str]:
    """A config of two controls whose project names one of them."""
    file = web.folder.root / SETTINGS_FILE
    before = file.read_text(encoding="utf-8")
    write_atomically(file, before + 'control = "topic"\n')
    yield TWO_CONTROLS
    write_atomically(file, before)


def test_one_of_several_controls_is_served_once_the_project_names_it(two_named: str, web: Web) -> None:
    setup = web.post("/setup", {"project": web.project, "schema": two_named, "extra_params": None})
    assert setup.get_json() == {"model_version": web.folder.current()}
    (item,) = predict(web, [{"id": 1, "data": {"text": "где мой заказ"}}], two_named)
    assert [region["from_name"] for region in item["result"]] == ["topic"]


def test_a_label_that_left_the_config_is_not_ticked_and_the_new_config_is_taken_over(web: Web) -> None:
    changed = LABEL_CONFIG.replace('value="доставка"', 'value="доставка и сроки"')
    answer = web.post("/setup", {"project": web.project, "schema": changed, "extra_params": None})
    assert answer.get_json()["model_version"] == web.folder.current(), "the version in service until the job is done"
    (item,) = predict(web, [{"id": 1, "data": {"text": "где мой заказ"}}], changed)
    assert item["result"] == [], "the model of before knows a label that does not exist any more"


@pytest.fixture
def control_file(web: Web) -> Iterator[Path]:
    """Where the named control is kept; removed afterwards."""
    file = web.folder.root / CONTROL_FILE
    yield file
    file.unlink()


def test_a_named_control_that_no_file_could_hold_still_connects(control_file: Path, web: Web) -> None:
    body = {"project": web.project, "schema": LABEL_CONFIG, "extra_params": {"control": "topic\ud83d"}}
    answer = web.post("/setup", body)
    assert (answer.status_code, answer.get_json()) == (200, {"model_version": "pl-unconfigured"})
    assert control_file.read_text(encoding="utf-8") == "topic?\n"


@pytest.mark.parametrize("job", ["", "no job", "retrain-1-1\n", "\ud83d", "задача", "../1", "x" * 100_000])
def test_what_never_was_the_id_of_a_job_is_an_unknown_job(job: str, web: Web) -> None:
    answer = web.post("/job_status", {"job": job})
    assert (answer.status_code, answer.get_json()) == (200, {"job_status": "unknown"})


BROKEN = [
    ("not XML", "Choices"),
    ("an open tag", "<View><Text>"),
    ("nothing", ""),
    ("an entity that reads a file", '<!DOCTYPE v [<!ENTITY e SYSTEM "file:///etc/passwd">]><View>&e;</View>'),
    ("half of a surrogate pair", "<View>\ud83d</View>"),
]


@pytest.mark.parametrize("config", [row[1] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_config_that_is_broken_is_422_with_a_reason(config: str, web: Web) -> None:
    setup = web.post("/setup", {"project": web.project, "schema": config})
    predicted = web.post("/predict", {"project": web.project, "tasks": [], "label_config": config})
    for answer in (setup, predicted):
        assert answer.status.startswith("422 label config must ")
        _check_reason(answer.status)


def _check_reason(status: str) -> None:
    reason = status.partition(" ")[2]
    assert reason.isascii()
    assert reason.isprintable()
    assert 0 < len(reason) <= 200


MB = 1024 * 1024
SETUP = {"project": "1.1", "schema": "<View/>"}
BODIES: list[tuple[str, str, Any, int, str]] = [
    ("not JSON", "/predict", b"{", 400, "the body must be JSON"),
    ("not JSON", "/setup", b"project=1", 400, "the body must be JSON"),
    ("not JSON", "/webhook", b"\xff\xfe", 400, "the body must be JSON"),
    ("no body", "/predict", b"", 400, "the body must be JSON"),
    ("a number of 5000 digits", "/predict", b'{"tasks": [' + b"9" * 5000 + b"]}", 400, "the body must be JSON"),
    ("JSON that nests without end", "/predict", b'{"tasks": ' + b"[" * 100_000, 400, "it nests too deep"),
    ("null", "/setup", None, 400, "the body must be JSON"),
    ("a list", "/predict", [], 400, "the body must be a JSON object, was list"),
    ("a list", "/setup", [1], 400, "the body must be a JSON object, was list"),
    ("a text", "/webhook", "START_TRAINING", 400, "the body must be a JSON object, was str"),
    ("empty", "/predict", {}, 400, "tasks must be a list, was NoneType"),
    ("empty", "/setup", {}, 400, "project must be a string, was NoneType"),
    ("empty", "/webhook", {}, 400, "action must be a string, was NoneType"),
    ("empty", "/train", {}, 400, "project must be a string"),
    ("empty", "/job_status", {}, 400, "job must be the string that /train answered"),
    ("a list", "/train", [], 400, "project must be a string"),
    ("a list", "/job_status", [], 400, "job must be the string"),
    ("no schema", "/setup", {"project": "1.1"}, 400, "schema must be a string"),
    ("a schema that is a number", "/setup", {"project": "1.1", "schema": 5}, 400, "schema must be a string, was int"),
    ("a project that is a word", "/setup", {**SETUP, "project": "abc"}, 400, "project must be <id>.<created unix>"),
    ("a project that is a path", "/setup", {**SETUP, "project": "../../etc"}, 400, "project must be <id>"),
    ("a project that is a path", "/train", {"project": "../../etc"}, 400, "project must be <id>"),
    ("a project that was never connected", "/train", {"project": "9.9"}, 400, "project must be connected, 9-9 is not"),
    ("a project without its time", "/webhook", {"action": "A", "project": {"id": 1}}, 400, "an integer id and a"),
    ("a project that is a number", "/predict", {"tasks": [], "project": 1}, 400, "project must be a string, was int"),
    ("too many tasks", "/predict", {"tasks": [0] * 100_001}, 413, "at most 100000 a request, were more"),
    ("too large", "/predict", b"[" + b" " * 21 * MB + b"]", 413, "at most 20 MB for /predict; select fewer tasks"),
    ("too large", "/webhook", b"[" + b" " * 17 * MB + b"]", 413, "at most 16 MB for /webhook; send less"),
    ("too large", "/setup", b"[" + b" " * 5 * MB + b"]", 413, "at most 4 MB for /setup; send less"),
    ("too large", "/train", b"[" + b" " * 2 * MB + b"]", 413, "at most 1 MB for /train; send less"),
    ("too large", "/job_status", b"[" + b" " * 2 * MB + b"]", 413, "at most 1 MB for /job_status; send less"),
    ("a text without end", "/predict", b'{"tasks": ["' + b"a" * 9 * MB + b'"]}', 413, "under 8000000 signs"),
]


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"), [row[1:] for row in BODIES], ids=[f"{row[1]}: {row[0]}" for row in BODIES]
)
def test_a_wrong_body_is_refused_with_a_reason(path: str, body: Any, status: int, reason: str, web: Web) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = web.client.post(path, data=data, headers=AUTH)
    assert answer.status_code == status
    assert reason in answer.status
    assert answer.get_json() == {"error": answer.status.partition(" ")[2]}
    _check_reason(answer.status)


WRONG_CALLS = [
    ("an unknown path", "GET", "/nosuch", 404),
    ("a path that climbs", "GET", "/../../etc/passwd", 404),
    ("GET on /predict", "GET", "/predict", 405),
    ("POST on /health", "POST", "/health", 405),
    ("a slash too many", "POST", "/setup/", 404),
    ("a slash too many before it", "POST", "//setup", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), [r[1:] for r in WRONG_CALLS], ids=[r[0] for r in WRONG_CALLS])
def test_a_wrong_call_is_no_redirect_and_no_page(method: str, path: str, status: int, web: Web) -> None:
    answer = web.client.open(path, method=method, headers=AUTH)
    assert answer.status_code == status
    assert set(answer.get_json()) == {"error"}
    _check_reason(answer.status)


@pytest.mark.parametrize("path", ["/validate", "/delete", "/duplicate_model"])
def test_calls_that_nobody_makes_change_nothing(path: str, web: Web) -> None:
    answer = web.post(path, {"project": web.project})
    assert (answer.status_code, answer.is_json) == (200, True)
    assert web.serves() == web.folder.current()


HARMFUL = [  # shapes of an answer that were seen to lose a batch, to block an annotator or to pile up predictions
    ("score is a number in [0, 1]", lambda item, _: isinstance(item["score"], float) and 0 <= item["score"] <= 1),
    ("model_version is a text", lambda item, _: isinstance(item["model_version"], str)),
    ("model_version is the one of /setup", lambda item, version: item["model_version"] == version),
    ("result is a list", lambda item, _: isinstance(item["result"], list)),
    ("result has one region at most", lambda item, _: len(item["result"]) <= 1),
    ("from_name is in the config", lambda item, _: all(region["from_name"] == "topic" for region in item["result"])),
    ("no choice is unknown", lambda item, _: all(
        region["value"]["choices"][0] in ("доставка", "refund", "оплата", "другое") for region in item["result"])),
]  # fmt: skip


@pytest.mark.parametrize("holds", [row[1] for row in HARMFUL], ids=[row[0] for row in HARMFUL])
def test_no_answer_has_a_shape_that_harms(holds: Any, web: Web) -> None:
    version = replay(web.client, recording("setup")).get_json()["model_version"]
    for found in (predict(web, [task for _, task, _ in TASKS]), predict(web, [TASKS[0][1]], context={})):
        assert all(isinstance(item, dict) or item == [] for item in found), "null for a task is 500 in the label stream"
        assert all(holds(item, version) for item in found if item)

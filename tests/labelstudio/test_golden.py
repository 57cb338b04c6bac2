"""What a real Label Studio sent is answered in kind; what it answered is read right (tests/golden)."""

import json
from importlib.metadata import version
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from backend.job_queue import QUEUES, queue
from backend.labelstudio.entries import PROJECT_HEADER, SECRET_HEADER
from backend.labelstudio.records import project_of, task_of
from backend.labelstudio.schema import label_space
from tests.golden.cases import NOTES
from tests.golden.record import LABEL_CONFIG
from tests.labelstudio.recordings import TO_US, cases, recording, replay
from tests.labelstudio.served import BASIC, PASSWORD, SECRET, Web

CASES = cases(TO_US)
PREDICT = [case for case in CASES if case.startswith("predict")]
SETUP = ["setup", "setup_string", "setup_null"]
JOBS = {  # recorded event -> the queue and the job that it asks for
    "webhook_annotation_created": ("live", "follow"),
    "webhook_annotation_created_skipped": ("live", "follow"),
    "webhook_annotation_updated": ("live", "follow"),
    "webhook_annotations_created_bulk": ("live", "follow"),
    "webhook_annotations_deleted": ("live", "follow"),
    "webhook_own_annotation_created": ("live", "follow"),
    "webhook_own_project_updated": ("reconcile", "refresh"),
    "webhook_project_updated": ("reconcile", "refresh"),
    "webhook_start_training": ("train", "retrain"),
    "webhook_tasks_created": ("live", "follow"),
    "webhook_tasks_deleted": ("reconcile", "reconcile"),
}


def test_every_recorded_event_has_a_job_here() -> None:
    assert {case for case in CASES if case.startswith("webhook")} == {*JOBS, "webhook_without_secret"}


def test_every_recording_has_its_note() -> None:
    recorded = {case: recording(case)["notes"] for case in (*CASES, *cases("prelabel -> Label Studio 1.23.2"))}
    assert recorded == NOTES


@pytest.mark.parametrize("case", CASES)
def test_a_recorded_request_is_answered_as_it_was(case: str, web: Web) -> None:
    recorded = recording(case)
    answer = replay(web.client, recorded)
    wanted = recorded["response"]
    assert answer.status == f"{wanted['status']} {wanted['reason']}"
    assert _shape(answer.get_json()) == _shape(wanted["body"])


def _shape(value: Any) -> Any:
    """A body without its values: keys, lengths and types."""
    if isinstance(value, dict):
        if value and all(name.count("-") == 1 for name in value):  # projects' keys
            return {"<key>": _shape(next(iter(value.values())))}
        return {name: _shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return type(value).__name__


@pytest.mark.parametrize("case", PREDICT)
def test_each_task_gets_one_prediction_that_label_studio_takes(case: str, web: Web) -> None:
    recorded = recording(case)
    space = label_space(LABEL_CONFIG)
    known = {*space.values, space.oos_value}
    answer = replay(web.client, recorded).get_json()
    assert len(answer["results"]) == len(recorded["request"]["body"]["tasks"])
    for item in answer["results"]:
        assert 0 <= item["score"] <= 1
        assert item["model_version"] == web.folder.current()
        for region in item["result"]:
            assert (region["from_name"], region["to_name"], region["type"]) == ("topic", "message", "choices")
            assert set(region["value"]["choices"]) <= known


@pytest.mark.parametrize("case", SETUP)
def test_setup_and_predict_name_the_same_version(case: str, web: Web) -> None:
    version = replay(web.client, recording(case)).get_json()["model_version"]
    predicted = replay(web.client, recording("predict_batch")).get_json()["results"]
    assert {item["model_version"] for item in predicted} == {version}
    assert replay(web.client, recording("versions")).get_json()["versions"] == [version]


def test_a_plain_text_is_understood_from_the_labels_words_alone(web: Web) -> None:
    first, second, _ = replay(web.client, recording("predict_batch")).get_json()["results"]
    assert first["result"][0]["value"] == {"choices": ["доставка"]}
    assert second["result"][0]["value"] == {"choices": ["refund"]}, "the alias travels, not the name"


@pytest.mark.parametrize("case", JOBS)
def test_an_event_asks_for_one_job_of_its_project(case: str, web: Web, queues: redis.Redis) -> None:
    answer = replay(web.client, recording(case)).get_json()
    queue_name, job = JOBS[case]
    waiting = {name: queue(queues, name).jobs for name in QUEUES}
    assert {name: len(jobs) for name, jobs in waiting.items() if jobs} == {queue_name: 1}
    found = waiting[queue_name][0]
    assert (found.func_name, list(found.args)) == (f"backend.jobs.{job}", [web.key])
    assert answer == {"status": "ok", "job": found.id}


def test_start_training_is_answered_with_an_object_whose_job_can_be_asked_for(web: Web) -> None:
    job = replay(web.client, recording("webhook_start_training")).get_json()["job"]
    assert web.post("/job_status", {"job": job}).get_json() == {"job_status": "queued"}


def test_an_event_without_credentials_queues_nothing(web: Web, queues: redis.Redis) -> None:
    assert replay(web.client, recording("webhook_without_secret")).status_code == 401
    assert not queues.keys()


def test_an_event_of_a_project_that_was_never_connected_queues_nothing(web: Web, queues: redis.Redis) -> None:
    answer = replay(web.client, recording("webhook_own_annotation_created"), **{PROJECT_HEADER: "999-1795254163"})
    assert answer.get_json() == {"status": "ok", "job": ""}
    assert not queues.keys()


WRONG = [
    ("a wrong password", {"Authorization": "Basic cHJlbGFiZWw6d3Jvbmc="}),  # prelabel:wrong
    ("a wrong user", {"Authorization": "Basic cm9vdDpwYXNzd29yZC1vZi10ZXN0cw=="}),  # root, with the right password
    ("a password in Cyrillic", {"Authorization": "Basic cHJlbGFiZWw60L/QsNGA0L7Qu9GM"}),
    ("a bearer token", {"Authorization": f"Bearer {PASSWORD}"}),
    ("another scheme", {"Authorization": f"Digest username={PASSWORD}"}),
    ("a wrong secret", {SECRET_HEADER: "wrong"}),
    ("a secret in Cyrillic", {SECRET_HEADER: "секрет".encode().decode("latin-1")}),
    ("an empty secret", {SECRET_HEADER: ""}),
    ("a password as secret", {SECRET_HEADER: PASSWORD}),
    ("nothing", {}),
]
ROUTES = [(rule, method) for rule, method in (
    ("/", "GET"), ("/health", "GET"), ("/versions", "GET"), ("/metrics", "GET"), ("/setup", "POST"),
    ("/predict", "POST"), ("/webhook", "POST"), ("/train", "POST"), ("/job_status", "POST"), ("/validate", "POST"),
    ("/delete", "POST"), ("/duplicate_model", "POST"), ("/live", "GET"), ("/ready", "GET"),
)]  # fmt: skip


def test_every_route_is_among_those_whose_lock_is_tested(web: Web) -> None:
    assert {rule for rule, _ in ROUTES} == {
        str(rule) for rule in web.app.url_map.iter_rules() if "static" not in str(rule)
    }


@pytest.mark.parametrize("headers", [row[1] for row in WRONG], ids=[row[0] for row in WRONG])
@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_wrong_credentials_open_nothing(
    path: str, method: str, headers: dict[str, str], web: Web, queues: redis.Redis
) -> None:
    answer = web.client.open(path, method=method, headers=headers, data="{}")
    told = {"/": "UP", "/health": "UP", "/ready": "ready", "/live": "live"}.get(path)
    if path == "/live" or (told and "Authorization" not in headers):
        assert (answer.status_code, answer.get_json()) == (200, {"status": told}), "nothing else is told to strangers"
        return
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert not queues.keys()


def test_a_stranger_learns_nothing_from_health_that_a_friend_does(web: Web) -> None:
    friend = web.client.get("/health", headers={"Authorization": BASIC}).get_json()
    (fault,) = [each for each in friend.pop("degraded") if each["kind"] == "workers"]
    assert fault["remedy"] == "run: prelabel worker --queues train,live,reconcile,bulk"
    assert friend == {"status": "UP", "prelabel": version("prelabel"), "versions": {web.key: web.folder.current()}}


@pytest.mark.parametrize("case", CASES)
def test_no_log_line_holds_a_text_a_label_or_a_secret(case: str, web: Web, caplog: pytest.LogCaptureFixture) -> None:
    recorded = recording(case)
    planted = json.loads(json.dumps(recorded).replace("<token>", "S3CRET").replace("<access token>", "S3CRET"))
    with capture_logs() as lines:
        replay(web.client, planted)
    logged = json.dumps(lines, ensure_ascii=False, default=str) + caplog.text
    for hidden in ("S3CRET", PASSWORD, SECRET, BASIC, "Курьер", "Верните", "доставка", "refund", "recorder@"):
        assert hidden not in logged


def test_a_project_is_read_with_its_key_and_its_counters() -> None:
    created = project_of(recording("api_project_create")["response"]["body"])
    project = project_of(recording("api_project")["response"]["body"])
    ours = recording("webhook_own_project_updated")["request"]["headers"][PROJECT_HEADER]
    assert str(project.key) == str(created.key) == ours
    assert project.label_config == LABEL_CONFIG
    assert (created.model_version, project.model_version) == ("", "prelabel")
    assert dict(project.counters) == {
        "task_number": 6, "num_tasks_with_annotations": 2, "total_annotations_number": 2,  # skips are not among these
        "skipped_annotations_number": 1, "ground_truth_number": 0,
    }  # fmt: skip


def test_an_export_tells_who_said_what_and_what_nobody_said() -> None:
    tasks = {task.data["text"][:6]: task for task in map(task_of, recording("api_export_json")["response"]["body"])}
    submitted, skipped, bulk = tasks["Курьер"], tasks["Вернит"], tasks["He sai"]
    assert [task.unlabelled for task in (submitted, skipped, bulk)] == [False, True, False]
    (by_person,), (by_nobody,), (skip,) = submitted.annotations, bulk.annotations, skipped.annotations
    assert by_person.result[0]["value"] == {"choices": ["refund"]}
    assert (by_person.updated_by, by_person.lead_time_s, by_person.was_cancelled) == (1, 3.2, False)
    assert by_nobody.updated_by is None, "what was accepted in bulk was submitted by nobody"
    assert by_nobody.parent_prediction is not None
    assert by_nobody.completed_by == by_person.completed_by, "whose token it was decides nothing"
    assert (skip.was_cancelled, skip.result) == (True, ())
    assert submitted.predictions == (), "an export names predictions by id only"


def test_a_task_list_carries_whole_predictions() -> None:
    first, second = map(task_of, recording("api_tasks_list")["response"]["body"]["tasks"])
    stream = task_of(recording("api_next_task")["response"]["body"])
    assert second.id == first.id + 1
    assert all(item["model_version"] and item["result"] is not None for item in stream.predictions)


def test_a_push_with_an_unknown_label_succeeds_with_one_prediction_less() -> None:
    recorded = recording("api_import_predictions")
    assert len(recorded["request"]["body"]) == 2
    assert (recorded["response"]["status"], recorded["response"]["body"]) == (201, {"created": 1})


SHOWN_TO_A_PERSON = [
    ("api_ml_create_401", "authentication parameters were either not provided or are incorrect"),
    ("api_ml_create_422", "422 Client Error: label config must be well-formed XML; broken at line 1 column 6 for url"),
]


@pytest.mark.parametrize(("case", "text"), SHOWN_TO_A_PERSON)
def test_a_person_reads_our_reason_phrase_and_nothing_else_of_our_answer(case: str, text: str) -> None:
    shown = recording(case)["response"]["body"]["validation_errors"]["non_field_errors"][0]
    assert text in shown
    assert "error" not in shown.replace("Error", "")

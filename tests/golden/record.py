"""Record what a real Label Studio and prelabel say to each other, one JSON file a case, beside this script.

Run it after a change of Label Studio's version or of prelabel's answers, then read the difference:

    PRELABEL_LABEL_STUDIO_BIN=<a label-studio executable> python -m tests.golden.record [FOLDER]

It starts a Label Studio with an empty data folder, a Valkey and prelabel's application behind a recorder, drives
Label Studio's API through every case and stops all of it. Takes about a minute. Credentials are replaced by words in
angle brackets and ports by those that the programs have by default, so that a recording shows no machine.
"""

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from werkzeug.serving import make_server

from backend.core.artefacts import new_version
from backend.core.projects import ProjectKey
from backend.labelstudio.entries import PROJECT_HEADER, SECRET_HEADER, WEBHOOK_ACTIONS
from backend.supervisor.label_studio import LabelStudio
from backend.supervisor.valkey import Valkey
from tests.golden.recorder import ACCOUNT_PASSWORD, Json, Recorder, Session
from tests.labelstudio.served import PASSWORD, SECRET, USER, Web, publish, serve, settings_for
from tests.stack import free_port, label_studio_executable, running, wait_for

EMAIL = "recorder@example.com"
LABEL_CONFIG = """\
<View>
  <Header value="$prelabel_why" size="6"/>
  <Text name="message" value="$text"/>
  <Choices name="topic" toName="message" choice="single">
    <Choice value="доставка" hint="где заказ, когда привезут, курьер опаздывает"/>
    <Choice value="возврат денег" alias="refund" hint="вернуть деньги, не тот товар, брак"/>
    <Choice value="оплата" hint="карта, чек, списали дважды"/>
    <Choice value="другое"/>
  </Choices>
</View>"""
TASKS: list[Json] = [
    {"text": "Курьер опаздывает на три часа, где мой заказ?", "row": 1},
    {"text": "Верните деньги, прислали брак \U0001f621"},
    {"data": {"text": 'He said "pay & go" <b>twice</b>'}, "meta": {"batch": 7}},
]


def record(target: Path) -> None:
    """Record every case into a folder."""
    with tempfile.TemporaryDirectory() as name, _programs(Path(name)) as (label_studio, redis_url):
        token = label_studio.token("")
        port = free_port()
        session = Session(target, label_studio, f"http://127.0.0.1:{port}", token, Recorder(None))
        session.project = session.call(
            "POST", "/api/projects/", {"title": "Записи", "label_config": LABEL_CONFIG}, case="api_project_create"
        )
        key = str(ProjectKey.of(session.project["id"], session.project["created_at"]))
        web = serve(settings_for(Path(name) / "home", redis_url), key, LABEL_CONFIG)
        session.recorder.app = web.app
        with _listening(session.recorder, port):
            _record_all(session, web, key)


def _record_all(session: Session, web: Web, key: str) -> None:
    backend = _record_connecting(session)
    task_ids = _record_predicting(session, backend)
    _record_labelling(session, web, key, backend, task_ids)
    _record_own_webhook(session, key, task_ids)
    _record_reading(session, task_ids)
    _record_the_end(session, task_ids)


def _record_connecting(session: Session) -> int:
    url, project = session.web_url, session.project["id"]
    fields = {"url": url, "project": project, "title": "prelabel", "is_interactive": True}
    wrong = {**fields, "auth_method": "BASIC_AUTH", "basic_auth_user": USER, "basic_auth_pass": "wrong"}
    right = {**wrong, "basic_auth_pass": PASSWORD}
    session.heard(
        "health_wrong_password", lambda: session.call("POST", "/api/ml/", wrong, case="api_ml_create_401"), "/health"
    )
    session.recorder.cuts_configs = True
    session.heard(
        "setup_broken_config", lambda: session.call("POST", "/api/ml/", right, case="api_ml_create_422"), "/setup"
    )
    session.recorder.cuts_configs = False
    made: Json = {}
    create = {**right, "extra_params": {"control": "topic"}}
    session.heard(
        "setup", lambda: made.update(session.call("POST", "/api/ml/", create, case="api_ml_create")), "/setup"
    )
    backend = int(made["id"])
    for case, extra in (("setup_string", '{"control": "topic"}'), ("setup_null", None)):
        change = {**right, "extra_params": extra}
        session.heard(case, lambda: session.call("PATCH", f"/api/ml/{backend}", change), "/setup")  # noqa: B023
    session.heard("health", lambda: session.call("GET", f"/api/ml/{backend}"), "/health")
    session.heard("versions", lambda: session.call("GET", f"/api/ml/{backend}/versions"), "/versions")
    return backend


def _record_predicting(session: Session, backend: int) -> list[int]:
    project = session.project["id"]
    answer: Json = {}
    path = f"/api/projects/{project}/import?return_task_ids=true"

    def import_tasks() -> None:
        answer.update(session.call("POST", path, TASKS, case="api_import_tasks"))

    session.heard("webhook_without_secret", import_tasks, "/webhook", action="TASKS_CREATED")
    _open_webhook(session)
    session.heard("webhook_tasks_created", import_tasks, "/webhook", action="TASKS_CREATED")
    task_ids: list[int] = answer["task_ids"]
    session.heard("predict_batch", lambda: _act(session, "retrieve_tasks_predictions", task_ids), "/predict")
    session.heard(
        "predict_single_test_request",
        lambda: session.call("POST", f"/api/ml/{backend}/predict/test?random=true"),
        "/predict",
    )
    region = {"id": "rgn1", "from_name": "topic", "to_name": "message", "type": "choices", "origin": "manual"}
    context = {"result": [{**region, "value": {"choices": ["refund"]}}]}
    ask = {"task": task_ids[1], "context": context}
    path_interactive = f"/api/ml/{backend}/interactive-annotating"
    session.heard(
        "predict_interactive",
        lambda: session.call("POST", path_interactive, ask, case="api_interactive_annotating"),
        "/predict",
    )
    return task_ids


def _record_labelling(session: Session, web: Web, key: str, backend: int, task_ids: list[int]) -> None:
    first, second, third = task_ids
    project = session.project["id"]
    ticked = {"from_name": "topic", "to_name": "message", "type": "choices", "value": {"choices": ["доставка"]}}
    made: Json = {}

    def annotate() -> None:
        body = {"result": [{"id": "aB3xYz", "origin": "prediction", **ticked}], "lead_time": 3.2}
        made.update(session.call("POST", f"/api/tasks/{first}/annotations/", body, case="api_annotation_create"))

    def correct() -> None:
        body = {"result": [{**ticked, "value": {"choices": ["refund"]}}]}
        session.call("PATCH", f"/api/annotations/{made['id']}/", body)

    def skip() -> None:
        session.call("POST", f"/api/tasks/{second}/annotations/", {"result": [], "was_cancelled": True})

    session.heard("webhook_annotation_created", annotate, "/webhook", action="ANNOTATION_CREATED")
    session.heard("webhook_annotation_updated", correct, "/webhook", action="ANNOTATION_UPDATED")
    session.heard("webhook_annotation_created_skipped", skip, "/webhook", action="ANNOTATION_CREATED")
    version = publish(web.settings, key, LABEL_CONFIG, version=new_version("recorded"))
    wait_for(lambda: web.serves() == version)
    session.heard(
        "predict_batch_with_annotations", lambda: _act(session, "retrieve_tasks_predictions", task_ids), "/predict"
    )
    session.heard(
        "webhook_annotations_created_bulk",
        lambda: _act(session, "predictions_to_annotations", [third], model_version=version),
        "/webhook", action="ANNOTATIONS_CREATED",
    )  # fmt: skip
    session.call("GET", f"/api/projects/{project}/export?exportType=JSON", case="api_export_json")
    session.heard(
        "webhook_annotations_deleted", lambda: session.call("DELETE", f"/api/annotations/{made['id']}/"), "/webhook",
        action="ANNOTATIONS_DELETED",
    )  # fmt: skip
    session.heard(
        "webhook_project_updated",
        lambda: session.call("PATCH", f"/api/projects/{project}/", {"description": "новое описание"}),
        "/webhook", action="PROJECT_UPDATED",
    )  # fmt: skip
    session.heard(
        "webhook_start_training", lambda: session.call("POST", f"/api/ml/{backend}/train"), "/webhook",
        action="START_TRAINING",
    )  # fmt: skip


def _record_own_webhook(session: Session, key: str, task_ids: list[int]) -> None:
    project = session.project["id"]
    for webhook in session.call("GET", f"/api/webhooks/?project={project}"):
        session.call("DELETE", f"/api/webhooks/{webhook['id']}/")
    body = {
        "project": project, "url": f"{session.web_url}/webhook", "send_payload": False, "send_for_all_actions": False,
        "is_active": True, "headers": {SECRET_HEADER: SECRET, PROJECT_HEADER: key}, "actions": list(WEBHOOK_ACTIONS),
    }  # fmt: skip
    session.call("POST", "/api/webhooks/", body)
    session.heard(
        "webhook_own_project_updated",
        lambda: session.call("PATCH", f"/api/projects/{project}/", {"description": "ещё одно"}),
        "/webhook", action="PROJECT_UPDATED",
    )  # fmt: skip
    ticked = {"from_name": "topic", "to_name": "message", "type": "choices", "value": {"choices": ["оплата"]}}
    session.heard(
        "webhook_own_annotation_created",
        lambda: session.call("POST", f"/api/tasks/{task_ids[0]}/annotations/", {"result": [ticked], "lead_time": 1.5}),
        "/webhook", action="ANNOTATION_CREATED",
    )  # fmt: skip
    session.call("GET", f"/api/webhooks/?project={project}", case="api_webhooks_list")


def _record_reading(session: Session, task_ids: list[int]) -> None:
    project = session.project["id"]
    region = {"from_name": "topic", "to_name": "message", "type": "choices"}
    push = [
        {"task": task, "result": [{**region, "value": {"choices": [label]}}], "score": 0.73, "model_version": "push-1"}
        for task, label in ((task_ids[0], "refund"), (task_ids[1], "nosuch"))
    ]
    path = f"/api/projects/{project}"
    session.call("POST", f"{path}/import/predictions", push, case="api_import_predictions")
    session.call("GET", f"{path}/model-versions/?extended=true", case="api_model_versions")
    session.call("GET", f"{path}/next", case="api_next_task")
    session.call("GET", f"/api/tasks?project={project}&page=1&page_size=2&fields=all", case="api_tasks_list")
    session.call("GET", f"{path}/", case="api_project")


def _record_the_end(session: Session, task_ids: list[int]) -> None:
    _open_webhook(session)
    session.heard(
        "webhook_tasks_deleted", lambda: session.call("DELETE", f"/api/tasks/{task_ids[2]}/"), "/webhook",
        action="TASKS_DELETED",
    )  # fmt: skip


def _open_webhook(session: Session) -> None:
    """Give the project's webhook our secret and full payloads, as someone may have done by hand."""
    for webhook in session.call("GET", f"/api/webhooks/?project={session.project['id']}"):
        change = {"url": webhook["url"], "send_payload": True, "headers": {SECRET_HEADER: SECRET}}
        if not webhook["send_for_all_actions"]:
            change["actions"] = list(WEBHOOK_ACTIONS)  # a change without them empties the list
        session.call("PATCH", f"/api/webhooks/{webhook['id']}/", change)


def _act(session: Session, action: str, task_ids: list[int], **choices: str) -> None:
    """An action of the Data Manager on some tasks."""
    selected = {"selectedItems": {"all": False, "included": task_ids}, "filters": {"conjunction": "and", "items": []}}
    session.call("POST", f"/api/dm/actions?id={action}&project={session.project['id']}", {**selected, **choices})


@contextmanager
def _programs(folder: Path) -> Iterator[tuple[LabelStudio, str]]:
    """A Label Studio that has never run before, and a Valkey."""
    url = f"http://127.0.0.1:{free_port()}"
    label_studio = LabelStudio(label_studio_executable(), folder / "data", url, EMAIL, ACCOUNT_PASSWORD)
    redis_url = f"redis://:secret-of-recordings@127.0.0.1:{free_port()}/0"
    valkey = Valkey(redis_url, folder / "valkey", folder / "valkey.conf")
    with running(valkey.service(), folder), running(label_studio.service(), folder):
        yield label_studio, redis_url


@contextmanager
def _listening(app: Recorder, port: int) -> Iterator[None]:
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


if __name__ == "__main__":
    record(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)

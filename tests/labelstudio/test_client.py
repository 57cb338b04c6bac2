"""The seam to Label Studio, against a real one: what is asked, what comes back, and what goes wrong in words."""

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from backend.core.errors import BadInputError, LabelStudioError
from backend.core.settings import Settings
from backend.labelstudio.client import PAGE, LabelStudioClient, open_client
from backend.labelstudio.entries import PROJECT_HEADER, SECRET_HEADER, WEBHOOK_ACTIONS
from backend.labelstudio.filters import (
    having_version,
    id_above,
    lacking_version,
    newer_than,
    open_tasks,
    unlabelled,
)
from backend.labelstudio.records import Project
from tests.relays import Relay, relaying
from tests.stack import RunningLabelStudio, free_port
from training.dataset import read_export

pytestmark = pytest.mark.label_studio

CONFIG = """<View><Text name="t" value="$text"/><Choices name="c" toName="t">
<Choice value="yes"/><Choice value="no"/></Choices></View>"""
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


def open_to(url: str, token: str) -> LabelStudioClient:
    return open_client(Settings(label_studio_url=url, label_studio_token=SecretStr(token)))


@pytest.fixture(scope="module")
def client(label_studio: RunningLabelStudio) -> Iterator[LabelStudioClient]:
    with closing(open_to(label_studio.url + "/", label_studio.token)) as opened:
        yield opened


@pytest.fixture
def project(client: LabelStudioClient) -> Iterator[Project]:
    made = client.create_project(title="client tests", label_config=CONFIG)
    yield made
    client.delete_project(made.id)


def ticked(label: str, version: str = "pl-1", *, task: int | None = None, score: float = 0.5) -> dict[str, Any]:
    region = {"from_name": "c", "to_name": "t", "type": "choices", "value": {"choices": [label]}}
    item: dict[str, Any] = {"result": [region], "score": score, "model_version": version}
    return item if task is None else {**item, "task": task}


def three_tasks(client: LabelStudioClient, project: Project) -> list[int]:
    return client.import_tasks(project.id, [{"text": "один"}, {"text": "two"}, {"text": 3}])


def test_a_project_is_made_found_changed_and_deleted(client: LabelStudioClient) -> None:
    made = client.create_project(title="client tests", label_config=CONFIG)
    assert client.project(made.id).key == made.key
    assert made.id in {item.id for item in client.projects()}
    assert client.update_project(made.id, title="renamed").title == "renamed"
    client.delete_project(made.id)
    with pytest.raises(LabelStudioError, match="was it deleted") as raised:
        client.project(made.id)
    assert raised.value.status == 404


TWICE = [
    ("the answer was lost", {"lost": "POST /api/projects/"}),
    ("a locked database had it carried out twice", {"repeated": "POST /api/projects/"}),
    ("both", {"lost": "POST /api/projects/", "repeated": "POST /api/projects/"}),
]


@pytest.mark.parametrize("trouble", [row[1] for row in TWICE], ids=[row[0] for row in TWICE])
def test_a_project_is_made_once_however_its_making_went(
    client: LabelStudioClient, label_studio: RunningLabelStudio, trouble: dict[str, str]
) -> None:
    title = f"once {sorted(trouble)}"
    relay = Relay(label_studio.program.address, **trouble)  # type: ignore[arg-type]
    url = f"http://127.0.0.1:{relay.port}"
    with relaying(relay), closing(open_to(url, label_studio.token)) as troubled:
        made = troubled.create_project(title=title, label_config=CONFIG)
    assert [project.id for project in client.projects() if project.title == title] == [made.id]
    client.delete_project(made.id)


def test_the_account_of_the_token_is_known(client: LabelStudioClient, label_studio: RunningLabelStudio) -> None:
    assert client.whoami()["email"] == label_studio.email


def test_tasks_are_read_in_pages_and_up_to_a_limit(client: LabelStudioClient, project: Project) -> None:
    n_tasks = 2 * PAGE + 5
    ids = client.import_tasks(project.id, [{"text": f"text {n}"} for n in range(n_tasks)])
    assert len(ids) == n_tasks
    assert [task.id for task in client.tasks(project.id)] == sorted(ids)
    assert [task.id for task in client.tasks(project.id, limit=PAGE + 1)] == sorted(ids)[: PAGE + 1]
    assert [task.id for task in client.tasks(project.id, ordering="-tasks:id", limit=2)] == sorted(ids)[:-3:-1]
    assert [task.id for task in client.tasks(project.id, filters=[id_above(sorted(ids)[-3])])] == sorted(ids)[-2:]


def test_tasks_that_vanish_between_two_pages_end_the_list(client: LabelStudioClient, project: Project) -> None:
    client.import_tasks(project.id, [{"text": f"text {n}"} for n in range(PAGE + 1)])
    pages = client.tasks(project.id, all_fields=False)
    first = next(pages)
    for gone in (first.id, first.id + 1):
        client.api.call("DELETE", f"api/tasks/{gone}/")
    assert len(list(pages)) == PAGE - 1


def test_fields_that_are_not_asked_for_are_not_sent(client: LabelStudioClient, project: Project) -> None:
    ids = three_tasks(client, project)
    client.create_prediction(project.id, ids[0], ticked("yes"))
    first, *_ = client.tasks(project.id, all_fields=False)
    assert (first.id, first.data, first.predictions, first.annotations) == (ids[0], {"text": "один"}, (), ())
    assert first.updated_at
    query = {"project": project.id, "include": "id,data", "page": 1, "page_size": 1}
    (raw,) = client.api.json("GET", "api/tasks", params=query)["tasks"]
    assert {"id", "data"} <= set(raw)
    assert not {"annotations", "predictions", "meta"} & set(raw)


@pytest.mark.parametrize(
    ("project_wants", "skips_count", "still_open"),
    [
        (1, False, ["skipped", "untouched"]),
        (1, True, ["untouched"]),
        (2, False, ["labelled once", "skipped", "untouched"]),
    ],
)
def test_open_tasks_are_those_that_may_still_be_shown_to_somebody(
    client: LabelStudioClient, project_wants: int, skips_count: bool, still_open: list[str]
) -> None:
    skips = "IGNORE_SKIPPED" if skips_count else "REQUEUE_FOR_OTHERS"
    project = client.create_project(
        title="open", label_config=CONFIG, maximum_annotations=project_wants, skip_queue=skips
    )
    names = dict(zip(three_tasks(client, project), ("labelled once", "skipped", "untouched"), strict=True))
    labelled, skipped, _ = names
    client.create_annotation(labelled, ticked("yes")["result"])
    client.create_annotation(skipped, [], skipped=True)
    tasks = list(client.tasks(project.id))
    light = list(client.tasks(project.id, filters=[open_tasks()], all_fields=False))
    assert [names[task.id] for task in tasks if task.open] == still_open
    assert [names[task.id] for task in light] == still_open
    assert all(task.open for task in light)
    unlabelled_ones = [task.id for task in client.tasks(project.id, filters=[unlabelled()])]
    assert [names[task_id] for task_id in unlabelled_ones] == ["skipped", "untouched"]
    assert [task.id for task in tasks if task.unlabelled] == unlabelled_ones
    client.delete_project(project.id)


def test_tasks_with_and_without_a_version_are_told_apart(client: LabelStudioClient, project: Project) -> None:
    both, one, none = three_tasks(client, project)
    sent = [ticked("yes", "pl-1", task=both), ticked("no", "pl-2", task=both), ticked("no", "pl-1", task=one)]
    assert client.import_predictions(project.id, sent) == 3
    assert client.model_versions(project.id) == {"pl-1": 2, "pl-2": 1}

    def found(query: dict[str, Any]) -> list[int]:
        return [task.id for task in client.tasks(project.id, filters=[query])]

    assert found(having_version("pl-1")) == [both, one]
    assert found(lacking_version("pl-1")) == [none]
    assert found(lacking_version("pl-2")) == [one, none]
    assert found(lacking_version("pl-3")) == [both, one, none]


def test_what_changed_since_a_moment_is_found_by_a_time_with_microseconds(
    client: LabelStudioClient, project: Project
) -> None:
    _, second, _ = three_tasks(client, project)
    moment = max(task.updated_at for task in client.tasks(project.id))
    client.create_annotation(second, ticked("yes")["result"])
    assert [task.id for task in client.tasks(project.id, filters=[newer_than(moment)])] == [second]
    earlier = (datetime.strptime(moment, TIME) - timedelta(seconds=60)).strftime(TIME)
    assert len(list(client.tasks(project.id, filters=[newer_than(earlier)]))) == 3
    with pytest.raises(LabelStudioError) as raised:
        list(client.tasks(project.id, filters=[newer_than("2026-01-01T00:00:00Z")]))
    assert raised.value.status == 500, "the spelling without microseconds breaks Label Studio"


def test_no_label_is_lost_where_many_import_at_once(client: LabelStudioClient, project: Project) -> None:
    part = [{"data": {"text": str(n)}, "annotations": [{"result": ticked("yes")["result"]}]} for n in range(50)]

    def import_part(_number: int) -> list[int]:
        with suppress(LabelStudioError):  # refused outright, and nothing of it came in
            return client.import_tasks(project.id, part)
        return []

    with ThreadPoolExecutor(4) as pool:
        ids = [task_id for came in pool.map(import_part, range(12)) for task_id in came]

    tasks = list(client.tasks(project.id))
    assert len(ids) >= len(part)
    assert [task.id for task in tasks] == sorted(ids)
    assert all(len(task.annotations) == 1 for task in tasks)


def test_a_push_tells_how_many_were_kept(client: LabelStudioClient, project: Project) -> None:
    first, second, third = three_tasks(client, project)
    sent = [ticked("yes", task=first), ticked("nosuch", task=second), ticked("no", task=third, score=1.5)]
    assert client.import_predictions(project.id, sent) == 1, "an unknown label and a score beyond 1 are dropped"
    with pytest.raises(LabelStudioError) as raised:
        client.import_predictions(project.id, [ticked("yes", task=10**6), ticked("yes", task=second)])
    assert raised.value.status == 400
    assert client.model_versions(project.id) == {"pl-1": 1}, "a task that is gone stops the whole push"


def test_a_prediction_is_changed_in_place_and_deleted_once_or_twice(
    client: LabelStudioClient, project: Project
) -> None:
    first, *_ = three_tasks(client, project)
    made = client.create_prediction(project.id, first, ticked("yes", score=0.25))
    client.update_prediction(made, ticked("no", "pl-2", score=0.75))
    (item,) = client.task(first).predictions
    assert (item["id"], item["model_version"], item["score"]) == (made, "pl-2", 0.75)
    assert item["result"][0]["value"] == {"choices": ["no"]}
    client.delete_prediction(made)
    client.delete_prediction(made)
    assert client.task(first).predictions == ()


def test_the_data_of_a_task_is_replaced(client: LabelStudioClient, project: Project) -> None:
    first, *_ = three_tasks(client, project)
    client.patch_task(first, {"text": "один", "prelabel_why": "похоже на №7"})
    assert client.task(first).data == {"text": "один", "prelabel_why": "похоже на №7"}


def test_a_text_that_label_studio_would_choke_on_is_not_sent(client: LabelStudioClient, project: Project) -> None:
    with pytest.raises(BadInputError, match="half of a surrogate pair"):
        client.import_tasks(project.id, [{"text": "half \ud83d of a pair"}])
    assert list(client.tasks(project.id)) == []


def test_who_submitted_is_known_for_what_a_person_submitted_alone(
    client: LabelStudioClient, project: Project, tmp_path: Path
) -> None:
    person, bulk, skip = three_tasks(client, project)
    already = {"data": {"text": "four"}, "annotations": [{"result": ticked("no")["result"]}]}
    (imported,) = client.import_tasks(project.id, [already])
    client.create_annotation(person, ticked("yes")["result"], lead_time_s=1.5)
    client.create_annotation(skip, [], skipped=True)
    client.create_prediction(project.id, bulk, ticked("no"))
    client.accept_predictions(project.id, [bulk], version="pl-1")
    client.export(project.id, tmp_path / "export.json")
    found = {task.id: task.annotations[0] for task in read_export(tmp_path / "export.json")}
    me = client.whoami()["id"]
    assert {task: item.updated_by for task, item in found.items()} == {person: me, bulk: None, skip: me, imported: None}
    assert {item.completed_by for item in found.values()} == {me}, "whose account it was tells nothing"
    assert [found[task].ground_truth for task in (person, bulk, imported)] == [False, False, True]
    assert [found[task].parent_prediction is None for task in (person, bulk, imported)] == [True, False, True]
    assert (found[person].lead_time_s, found[bulk].lead_time_s) == (1.5, None)


def test_a_bulk_accept_takes_the_predictions_of_one_version_only(client: LabelStudioClient, project: Project) -> None:
    first, *_ = three_tasks(client, project)
    client.import_predictions(project.id, [ticked("no", "pl-1", task=first), ticked("yes", "pl-2", task=first)])
    client.accept_predictions(project.id, [first], version="pl-2")
    (accepted,) = client.task(first).annotations
    assert accepted.result[0]["value"] == {"choices": ["yes"]}


def test_deleting_the_prediction_takes_away_that_a_machine_proposed_the_label(
    client: LabelStudioClient, project: Project
) -> None:
    first, *_ = three_tasks(client, project)
    made = client.create_prediction(project.id, first, ticked("no"))
    client.accept_predictions(project.id, [first], version="pl-1")
    assert client.task(first).annotations[0].parent_prediction == made
    client.delete_prediction(made)
    (left,) = client.task(first).annotations
    assert (left.parent_prediction, left.updated_by) == (None, None), "only the ledger still knows"


def test_a_deleted_annotation_opens_its_task_again(client: LabelStudioClient, project: Project) -> None:
    first, *_ = three_tasks(client, project)
    made = client.create_annotation(first, ticked("yes")["result"])
    client.delete_annotation(made)
    assert client.task(first).open


def test_an_export_that_fails_says_so(client: LabelStudioClient, tmp_path: Path) -> None:
    with pytest.raises(LabelStudioError) as raised:
        client.export(10**6, tmp_path / "export.json")
    assert raised.value.status == 404


def test_our_webhook_is_made_changed_listed_and_deleted(client: LabelStudioClient, project: Project) -> None:
    made = client.create_webhook(project, "http://127.0.0.1:9/webhook", "s3cret")
    client.update_webhook(made, project, "http://127.0.0.1:9/hook", "other")
    (webhook,) = client.webhooks(project.id)
    assert webhook["url"] == "http://127.0.0.1:9/hook"
    assert webhook["headers"] == {SECRET_HEADER: "other", PROJECT_HEADER: str(project.key)}
    assert (webhook["send_payload"], webhook["is_active"]) == (False, True)
    assert sorted(webhook["actions"]) == sorted(WEBHOOK_ACTIONS), "a change that names no actions would empty the list"
    client.delete_webhook(made)
    assert client.webhooks(project.id) == []


def test_a_backend_that_does_not_answer_is_not_connected(client: LabelStudioClient, project: Project) -> None:
    with pytest.raises(LabelStudioError) as raised:
        client.create_backend(
            project.id, url=f"http://127.0.0.1:{free_port()}", title="prelabel", user="u", password="s3cret"
        )
    assert raised.value.status == 400
    assert "s3cret" not in str(raised.value)
    assert client.backends(project.id) == []


def test_the_label_stream_gives_a_task_with_the_prediction_that_the_project_shows(
    client: LabelStudioClient, project: Project
) -> None:
    first, second, _ = three_tasks(client, project)
    sent = [ticked("yes", task=first, score=0.9), ticked("no", task=second, score=0.1)]
    client.import_predictions(project.id, sent)
    client.update_project(project.id, model_version="pl-1", sampling="Uncertainty sampling")
    assert client.project(project.id).model_version == "pl-1"
    shown = client.next_task(project.id)
    assert (shown["id"], shown["predictions"][0]["model_version"]) == (second, "pl-1"), "the least certain comes first"


def b64(fields: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


REFRESH = {"token_type": "refresh", "exp": 8071241342, "jti": "0", "user_id": 1}
TOKENS = [
    ("no token at all", "garbage"),
    ("a token of the old kind", "0" * 40),
    ("a token that someone else signed", f"{b64({'alg': 'HS256', 'typ': 'JWT'})}.{b64(REFRESH)}.{'A' * 43}"),
]


@pytest.mark.parametrize("token", [row[1] for row in TOKENS], ids=[row[0] for row in TOKENS])
def test_a_wrong_token_is_401_with_what_to_do(token: str, label_studio: RunningLabelStudio) -> None:
    with closing(open_to(label_studio.url, token)) as client:
        with pytest.raises(LabelStudioError, match="make a new personal access token") as raised:
            client.projects()
        assert raised.value.status == 401
        assert token not in str(raised.value)


def test_a_missing_token_is_said_before_anything_is_sent() -> None:
    with pytest.raises(LabelStudioError, match="PRELABEL_LABEL_STUDIO_TOKEN must hold"):
        open_to("http://127.0.0.1:9", "")


@pytest.mark.parametrize("kind", ["personal", "legacy"])
def test_a_label_studio_that_is_down_is_said(kind: str, label_studio: RunningLabelStudio, tmp_path: Path) -> None:
    token = label_studio.token if kind == "personal" else "0" * 40
    with closing(open_to(f"http://127.0.0.1:{free_port()}", token)) as client:
        for call in (client.whoami, lambda: client.export(1, tmp_path / "export.json")):
            with pytest.raises(LabelStudioError, match="check its URL and that it runs") as raised:
                call()
            assert raised.value.status == 0


class _Other(BaseHTTPRequestHandler):
    """Another program on Label Studio's port."""

    def do_GET(self) -> None:
        body = b"<html>hello</html>" if "whoami" in self.path else json.dumps("hello").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def other_program() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Other)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_another_program_at_the_url_is_recognised(other_program: str) -> None:
    with closing(open_to(other_program, "0" * 40)) as client:
        for call in (client.whoami, client.projects, lambda: client.webhooks(1)):
            with pytest.raises(LabelStudioError, match=f"is {other_program} a Label Studio"):
                call()


def test_an_access_token_that_ends_on_the_way_is_renewed(client: LabelStudioClient) -> None:
    person = client.whoami()
    tokens = client.api.sdk._tokens_client
    tokens._set_access_token(tokens.api_key[:-8] + "abcdefgh")  # good by its date, and refused
    assert client.whoami() == person

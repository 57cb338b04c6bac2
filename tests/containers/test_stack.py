"""The whole stack on a real engine, from `docker compose up` to `down --volumes`, with its parts killed in between.

One story, told in order: each test goes on where the last one ended.
"""

import csv
import io
import itertools
import re
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from backend.core.artefacts import COLD_PREFIX, OWN_PREFIX
from backend.core.errors import LabelStudioError
from backend.core.projects import ProjectSettings, is_blind
from backend.labelstudio.account import direct
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.records import Project
from backend.labelstudio.schema import Control, served_control
from backend.labelstudio.wire import choice
from samples import load_samples
from tests.containers.annotator import Annotator
from tests.containers.compose import new_settings
from tests.containers.engine import Engine, engine_or_skip
from tests.containers.outside import outside_host
from tests.containers.stack import STAYING, Stack, stack_of
from tests.containers.stand_ins import images
from tests.projects import config_of
from tests.stack import free_port, wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(5400)]

TITLE = "two thousand rows"
N_ROWS, N_ACCEPTED, N_CORRECTED = 2000, 60, 20
ENGLISH = load_samples()[0]
SETTLED_S = 900.0  # a training, a push and what follows, on two busy cores


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with engine_or_skip() as running:
        yield running


@pytest.fixture(scope="module")
def stack(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    values = {**new_settings(), **images(engine, tmp_path_factory.mktemp("images")), "LS_PORT": str(free_port())}
    made = stack_of(engine, folder, values)
    made.down("--volumes")  # of a run that was killed
    made.build()
    try:
        yield made
    finally:
        made.down("--volumes")


def rows(n_rows: int) -> str:
    """The English sample's texts, each told apart by a number, as a CSV file."""
    numbered = zip(range(n_rows), itertools.cycle(ENGLISH.rows), strict=False)
    file = io.StringIO()
    csv.writer(file).writerows(
        [("id", "text", "gold"), *((f"row-{n}", f"{row.text} ({n})", row.gold) for n, row in numbered)]
    )
    return file.getvalue()


def label_of(client: LabelStudioClient, project: Project) -> tuple[Control, list[tuple[int, str, str]]]:
    """The project's control, and of each open task that shows a tick its id, the tick and the right label."""
    control = served_control(project.label_config, ProjectSettings())
    assert isinstance(control, Control)
    shown = []
    for task in client.tasks(project.id):
        ticks = [item for item in task.predictions if item["model_version"] == project.model_version and item["result"]]
        if task.open and ticks:
            shown.append((task.id, ticks[0]["result"][0]["value"]["choices"][0], task.data["gold"]))
    return control, shown


def named(client: LabelStudioClient, title: str = TITLE) -> Project:
    found = [project for project in client.projects() if project.title == title]
    assert len(found) == 1, f"{title} is there {len(found)} times"
    return client.project(found[0].id)


def doubled(client: LabelStudioClient, project: Project) -> dict[str, int]:
    """What is there twice, or not at all; all zero where nothing is lost or doubled."""
    tasks = list(client.tasks(project.id))
    share = ProjectSettings().blind_share
    ids = Counter(task.data["id"] for task in tasks)
    wrong = {"rows missing": N_ROWS - len(ids), "rows doubled": len(tasks) - len(ids)}
    wrong |= {"annotations doubled": sum(max(0, len(task.annotations) - 1) for task in tasks)}
    wrong |= {"predictions missing": 0, "predictions doubled": 0}
    for task in tasks:
        versions = Counter(item["model_version"] for item in task.predictions)
        wrong["predictions doubled"] += sum(n - 1 for n in versions.values())
        if task.open and not is_blind(str(project.key), task.id, share):
            wrong["predictions missing"] += not versions[project.model_version]
    return wrong


def require_settled(stack: Stack, client: LabelStudioClient) -> None:
    """Nothing is lost or doubled, in Label Studio and in the ledger, once everything that was begun is done."""
    last: dict[str, int] = {}

    def settled() -> bool:
        last.clear()
        try:
            project = named(client)
            last.update(doubled(client, project))
            n_annotated = sum(1 for task in client.tasks(project.id) if task.annotations)
        except LabelStudioError:  # it may be coming back just now
            last["Label Studio is away"] = 1
            return False
        query = f"SELECT count(DISTINCT annotation_id) FROM ledger WHERE project = '{project.key}'"
        last["annotations that the ledger lacks"] = n_annotated - int(stack.sql(query)[0][0])
        return not any(last.values())

    try:
        wait_for(settled, within_s=SETTLED_S, every_s=5.0)
    except pytest.fail.Exception:
        pytest.fail(f"after {SETTLED_S:.0f} s: {last}")


def test_up_is_enough_also_where_connecting_is_killed_in_the_middle(stack: Stack) -> None:
    up = threading.Thread(target=stack.up)
    up.start()
    wait_for(
        lambda: any(each["State"]["Running"] for each in stack.containers("connect")) and _has_token(stack),
        within_s=600, every_s=0.5,
    )  # fmt: skip
    stack.kill("connect")
    up.join()
    assert stack.healthy(*STAYING)
    (connect,) = stack.containers("connect")
    assert (connect["State"]["ExitCode"], connect["RestartCount"]) == (0, 1)
    with stack.client() as client:
        for sample in load_samples():
            project = named(client, sample.title)
            assert project.counters["task_number"] == len(sample.rows)
            assert project.model_version.startswith(OWN_PREFIX)
            shown = client.model_versions(project.id)[project.model_version]
            assert 0.9 * len(sample.rows) < shown <= len(sample.rows), "all but the blind ones"
            (webhook,) = client.webhooks(project.id)
            assert webhook["url"] == "http://web.prelabel.internal:9090/webhook"


def _has_token(stack: Stack) -> bool:
    said = stack.compose.run("exec", "-T", "web", "grep", "-c", "TOKEN", "/var/lib/prelabel/prelabel.env")
    return said.returncode == 0


def test_the_page_is_there_and_strangers_stay_outside(stack: Stack) -> None:
    assert stack.page("user/login/").status_code == 200
    with direct() as stranger:
        page = stranger.get(f"{stack.url}/user/signup/", timeout=30)
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        form = {
            "email": "stranger@example.com",
            "password": "Passw0rd!1",
            "csrfmiddlewaretoken": found[1] if found else "",
        }
        headers = {"Referer": f"{stack.url}/user/signup/"}
        stranger.post(f"{stack.url}/user/signup/", data=form, headers=headers, timeout=30)
        assert stranger.get(f"{stack.url}/api/projects/", timeout=30).status_code == 401


def test_our_containers_run_without_rights_and_without_tools(stack: Stack) -> None:
    for service in ("web", "worker", "trainer", "cron"):
        assert stack.inside(service, "id", "-u").strip() == "10001"
        tools = stack.inside(service, "sh", "-c", "command -v cc gcc g++ make cmake git || true")
        assert tools.strip() == "", "no build tools"
        refused = stack.inside(service, "sh", "-c", "touch /opt/prelabel/x 2>&1 || true")
        assert "Read-only file system" in refused


def test_only_label_studio_gets_out(stack: Stack) -> None:
    with outside_host() as place:
        for service in STAYING:
            attempt = ("exec", "-T", service, "timeout", "3", "bash", "-c", f"exec 3<>/dev/tcp/{place}")
            reached = stack.compose.run(*attempt).returncode == 0
            assert reached == (service == "label-studio"), service


def test_the_language_model_runs_on_processors_other_than_that_which_built_it(stack: Stack) -> None:
    said = stack.inside(
        "worker", "python", "-c",
        "import llama_cpp, sys; sys.stdout.write(llama_cpp.llama_print_system_info().decode())",
    )  # fmt: skip
    assert "AVX2 = 1" in said
    assert "AVX512 = 1" not in said
    assert "AMX" not in said


def test_label_studio_calls_nothing_private_but_web(stack: Stack) -> None:
    with stack.client() as client:
        project = named(client, ENGLISH.title)
        for host in ("192.168.255.241", "127.0.0.1", "valkey.prelabel.internal", "postgres.prelabel.internal"):
            body = {"project": project.id, "url": f"http://{host}:9090", "title": "x"}
            with pytest.raises(LabelStudioError) as refused:
                client.api.call("POST", "api/ml/", body=body)
            assert "reserved network" in str(refused.value) or "resolve" in str(refused.value), host
        assert len(client.backends(project.id)) == 1


def test_two_thousand_rows_come_in_and_have_their_predictions(stack: Stack) -> None:
    labels = sorted({row.gold for row in ENGLISH.rows})
    with stack.client() as client:
        project = client.create_project(title=TITLE, label_config=config_of(labels))
        stack.prelabel("connect", "--project", str(project.id), "--language", "en")
        arguments = ("import", "-", "--format", "csv", "--project", str(project.id))
        assert stack.prelabel(*arguments, text=rows(N_ROWS))["new"] == N_ROWS
        again = stack.prelabel(*arguments, text=rows(N_ROWS))
        assert (again["new"], again["known"]) == (0, N_ROWS)
        require_settled(stack, client)


def test_an_import_whose_container_is_killed_goes_on_where_it_was(stack: Stack) -> None:
    n_rows = 10_000
    labels = sorted({row.gold for row in ENGLISH.rows})
    with stack.client() as client:
        project = client.create_project(title="killed while it came in", label_config=config_of(labels))
        command = ("exec", "-T", "worker", "prelabel", "import", "-", "--format", "csv", "--project", str(project.id))
        first = threading.Thread(
            target=stack.compose.run, args=command, kwargs={"text": rows(n_rows), "timeout_s": 300}
        )
        first.start()
        wait_for(lambda: client.project(project.id).counters["task_number"], within_s=120)
        stack.kill("worker")
        first.join()
        assert client.project(project.id).counters["task_number"] < n_rows, "it was in the middle"
        stack.wait_until_healthy("worker")
        found = stack.prelabel(*command[4:], text=rows(n_rows))
        assert found["new"] + found["known"] == n_rows
        ids = Counter(task.data["id"] for task in client.tasks(project.id, all_fields=False))
        assert (len(ids), max(ids.values())) == (n_rows, 1)
        client.delete_project(project.id)


def test_what_people_accept_and_correct_is_learned_and_served(stack: Stack) -> None:
    with stack.client() as client:
        project = named(client)
        before = project.model_version
        control, shown = label_of(client, project)
        right = [(task_id, tick) for task_id, tick, gold in shown if tick == gold][:N_ACCEPTED]
        wrong = [(task_id, gold) for task_id, tick, gold in shown if tick != gold][:N_CORRECTED]
        assert (len(right), len(wrong)) == (N_ACCEPTED, N_CORRECTED)
        for task_id, label in [*right, *wrong]:
            client.create_annotation(task_id, [choice(control, label)], lead_time_s=1.0)
        wait_for(lambda: named(client).model_version not in (before, ""), within_s=SETTLED_S, every_s=5.0)
        version = named(client).model_version
        assert version.startswith(OWN_PREFIX)
        assert not version.startswith(COLD_PREFIX), "it was trained"
        assert version in stack.versions_served()
        require_settled(stack, client)
        kept = stack.sql(
            f"SELECT label = shown_label, count(*) FROM ledger WHERE project = '{project.key}' GROUP BY 1 ORDER BY 1"
        )
        assert kept == [["f", str(N_CORRECTED)], ["t", str(N_ACCEPTED)]]


def test_labels_go_out_again(stack: Stack) -> None:
    with stack.client() as client:
        project = named(client)
    found = stack.prelabel("export", "--project", str(project.id), "--out", "/tmp/labels.csv")
    assert found["rows"] == N_ACCEPTED + N_CORRECTED
    written = list(csv.DictReader(io.StringIO(stack.inside("worker", "cat", "/tmp/labels.csv"))))
    assert len(written) == N_ACCEPTED + N_CORRECTED
    assert all(row["label"] == row["gold"] for row in written)
    assert Counter(row["changed"].lower() for row in written) == {"false": N_ACCEPTED, "true": N_CORRECTED}


def test_an_older_version_is_served_again(stack: Stack) -> None:
    with stack.client() as client:
        project = named(client)
        found = stack.prelabel("rollback", "--project", str(project.id))
        assert found["pinned"] is True
        assert found["model_version"] != project.model_version
        wait_for(lambda: named(client).model_version == found["model_version"], within_s=SETTLED_S, every_s=2.0)
        wait_for(lambda: found["model_version"] in stack.versions_served(), within_s=60)
        require_settled(stack, client)
        stack.prelabel("unpin", "--project", str(project.id))


@pytest.mark.parametrize("service", STAYING)
def test_a_container_that_is_killed_at_work_loses_and_doubles_nothing(stack: Stack, service: str) -> None:
    with stack.client() as client:
        project = named(client)
        control, shown = label_of(client, project)
        annotator = Annotator(client, control, [(task_id, gold) for task_id, _, gold in shown[:30]])
        (backend,) = client.backends(project.id)
        started = {each["Id"]: each["RestartCount"] for each in stack.containers(service)}
        with annotator.at_work():
            client.api.call("POST", f"api/ml/{backend['id']}/train", body={"use_ground_truth": False})
            wait_for(lambda: len(annotator.submitted) >= 5, within_s=120)
            stack.kill(service)
            wait_for(lambda: len(annotator.submitted) >= 20, within_s=SETTLED_S)
        stack.wait_until_healthy(*STAYING)
        assert {each["Id"]: each["RestartCount"] for each in stack.containers(service)} == {
            key: n + 1 for key, n in started.items()
        }
        require_settled(stack, client)
        labelled = {task.id: task for task in client.tasks(project.id) if task.annotations}
        for task_id, label in annotator.submitted.items():
            (annotation,) = labelled[task_id].annotations
            assert annotation.result[0]["value"]["choices"] == [label]


def test_there_may_be_more_workers(stack: Stack) -> None:
    stack.compose.succeed("up", "--detach", "--wait", "--scale", "worker=3", timeout_s=600)
    assert len(stack.containers("worker")) == 3
    assert stack.healthy("worker")
    with stack.client() as client:
        require_settled(stack, client)


def test_the_stack_finds_everything_again(stack: Stack) -> None:
    with stack.client() as client:
        before = {project.title: project.counters["task_number"] for project in client.projects()}
        version = named(client).model_version
        token = stack.token()
    stack.down()
    stack.up()
    assert stack.token() == token
    with stack.client() as client:
        assert {project.title: project.counters["task_number"] for project in client.projects()} == before
        wait_for(lambda: version in stack.versions_served(), within_s=120)
        require_settled(stack, client)


def test_nothing_is_left_in_the_end(stack: Stack) -> None:
    assert all(stack.left().values())
    stack.down("--volumes")
    assert not any(stack.left().values())

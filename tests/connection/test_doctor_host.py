"""Each fault on the way to Label Studio and back, made for real, is named, and mended where that is safe."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.connection.doctor import host
from backend.connection.doctor.check import Result, results_of
from backend.connection.doctor.examination import desk_of_doctor, examine_all
from backend.core.settings import Settings
from backend.labelstudio.failures import CALL_OUT
from backend.loop.desk import Desk
from backend.supervisor.state import StateFolder
from tests.connection.doctored import (
    LABELS,
    TEXTS,
    config_of,
    connected,
    faults,
    mend,
    project_faults,
)
from tests.label_studios import label_studio_of_defaults
from tests.relays import Relay, relaying
from tests.stack import (
    ROOT,
    Backend,
    RunningLabelStudio,
    free_port,
    wait_for,
)

pytestmark = [pytest.mark.label_studio, pytest.mark.redis, pytest.mark.timeout(600)]


def examined(desk: Desk) -> dict[str, Result]:
    return faults(results_of((*host.LABEL_STUDIO, *host.WEB), desk))


def with_settings(backend: Backend, **values: object) -> Desk:
    return desk_of_doctor(Settings(**{**backend.settings.model_dump(), **values}))


WRONG: list[tuple[str, dict[str, Callable[[Backend], str]], str, str, str]] = [
    (
        "nothing at the URL", {"label_studio_url": lambda _: f"http://127.0.0.1:{free_port()}"},
        "Label Studio", "does not answer (ConnectionError)", "PRELABEL_LABEL_STUDIO_URL",
    ),
    (
        "another path at the URL", {"label_studio_url": lambda backend: f"{backend.settings.label_studio_url}/user"},
        "token", "not with the API of Label Studio", "a sub-path belongs to it",
    ),
    ("no token", {"label_studio_token": lambda _: ""}, "token", "is empty", "make a personal access token"),
    (
        "a token that is none", {"label_studio_token": lambda _: "not.a.token"},
        "token", "personal access token is refused", "make a new one under Account & Settings",
    ),
    (
        "a legacy token where they are off", {"label_studio_token": lambda _: "0" * 40},
        "token", "legacy token is refused", "use a personal access token",
    ),
    (
        "no web process", {"web_url": lambda _: f"http://127.0.0.1:{free_port()}"},
        "backend", "does not answer", "run: prelabel serve",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "check", "finding", "remedy"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_a_wrong_setting_is_named_by_its_name(
    backend: Backend, values: dict[str, Callable[[Backend], str]], check: str, finding: str, remedy: str
) -> None:
    with with_settings(backend, **{name: value(backend) for name, value in values.items()}) as desk:
        found = examined(desk)[check]
    assert finding in found.finding
    assert remedy in found.remedy


def test_another_server_at_the_url_is_named(backend: Backend) -> None:
    port = int(backend.settings.label_studio_url.rpartition(":")[2])
    with (
        relaying(Relay(("127.0.0.1", port), prefix="/labels")) as relay,
        with_settings(backend, label_studio_url=f"http://127.0.0.1:{relay.port}") as desk,
    ):
        found = examined(desk)
    assert "answers 404, but not as a Label Studio" in found["Label Studio"].finding
    assert "a sub-path belongs to it" in found["Label Studio"].remedy


@pytest.mark.parametrize(("ahead_s", "way"), [(120, "behind"), (-120, "ahead of")], ids=["it is fast", "it is slow"])
def test_a_label_studio_whose_clock_is_another_is_named(backend: Backend, ahead_s: int, way: str) -> None:
    port = int(backend.settings.label_studio_url.rpartition(":")[2])
    with (
        relaying(Relay(("127.0.0.1", port), ahead_s=ahead_s)) as relay,
        with_settings(backend, label_studio_url=f"http://127.0.0.1:{relay.port}") as desk,
    ):
        found = examined(desk)["clock"]
    assert way in found.finding
    assert "time server" in found.remedy


def test_where_everything_is_dead_each_link_is_named_at_once(tmp_path: Path) -> None:
    dead = f"127.0.0.1:{free_port()}"
    settings = Settings(
        home=tmp_path, label_studio_url=f"http://{dead}", web_url=f"http://{dead}",
        redis_url=SecretStr(f"redis://{dead}/0"), label_studio_token=SecretStr("not.a.token"),
    )  # fmt: skip
    with desk_of_doctor(settings) as desk:
        desk.ledger.add_project("7-1")
        results = examine_all(desk)
    assert {"Label Studio", "backend", "queue"} <= set(faults(results))
    assert next(result for result in results if result.name == "project").waits_for == "Label Studio"


def test_a_changed_password_is_told_and_label_studio_learns_it(backend: Backend) -> None:
    with connected_by(backend) as key:
        StateFolder(backend.home).remember({"PRELABEL_PASSWORD": "another"})
        changed = Backend(Settings(_env_file=backend.settings.env_file, home=backend.home))
        with changed.web(), desk_of_doctor(changed.settings) as desk:
            found = project_faults(desk.project(key))["connection"]
            assert "Label Studio says: 401" in found.finding
            mend(found)
            assert project_faults(desk.project(key)) == {}
        with desk_of_doctor(changed.settings) as desk:  # now nothing answers
            found = project_faults(desk.project(key))["connection"]
            assert found.finding.startswith(f"Label Studio cannot reach {changed.settings.backend_url}: ")
            assert found.finding.endswith("Connection refused")
            assert "PRELABEL_WEB_URL" in found.remedy
            assert found.mend is None


@contextmanager
def connected_by(backend: Backend) -> Iterator[str]:
    """The key of a project that was connected, with the web process ended since."""
    with ExitStack() as stack:
        with backend.web():
            work = stack.enter_context(connected(backend))
        yield work.key


def test_a_connect_that_was_killed_midway_is_named_and_mended(backend: Backend) -> None:
    with backend.web(), backend.workers(), backend.cron(), desk_of_doctor(backend.settings) as desk:
        project = desk.client.create_project(title="half", label_config=config_of(LABELS))
        desk.client.import_tasks(project.id, [{"text": text} for text in TEXTS])
        with subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "connect", "--project", str(project.id), "--language", "en"],
            cwd=ROOT, env=backend.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        ) as command:  # fmt: skip
            assert command.stderr is not None
            assert any("webhook" in line for line in command.stderr)
            command.kill()
        looked = backend.command("doctor", "--json")
        assert looked.returncode == 1, looked.stderr
        rows = {row["check"]: row for row in json.loads(looked.stdout)["rows"]}
        assert not rows["connection"]["ok"]
        assert rows["connection"]["fixable"]
        mended = backend.command("doctor", "--fix", "--project", str(project.id), "--json")
        rows = {row["check"]: row for row in json.loads(mended.stdout)["rows"]}
        assert rows["connection"]["ok"]
        assert rows["connection"]["fixed"] == f"Label Studio reaches {backend.settings.backend_url}"
        work = desk.project(str(project.key))
        wait_for(lambda: not project_faults(work.desk.project(work.key)), within_s=60, every_s=0.5)
        well = backend.command("doctor")
        assert well.returncode == 0, well.stdout
        assert well.stdout.endswith("everything is ok\n")
        wide = [line for line in well.stdout.splitlines() if len(line) > 80]
        assert all(str(backend.settings.home) in line for line in wide), "a path alone is never cut"


def test_a_label_studio_that_refuses_private_addresses_is_told_the_way_out(
    backend: Backend, label_studio: RunningLabelStudio, tmp_path: Path
) -> None:
    with (
        backend.web(),
        connected(backend) as work,
        label_studio_of_defaults(tmp_path / "label-studio", like=label_studio) as now,
        with_settings(backend, label_studio_url=now.url) as desk,
    ):
        found = project_faults(desk.project(work.key))
        assert set(found) == {"connection"}
        assert found["connection"].finding == "Label Studio refuses private addresses (SSRF protection)"
        assert found["connection"].remedy == CALL_OUT
        assert found["connection"].mend is None

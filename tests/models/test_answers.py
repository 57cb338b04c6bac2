"""What was said before is kept on disk, and losing it costs nothing but time."""

import math
import pickle
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog.testing

from backend.core.errors import StateError
from backend.models.answers import StoredAnswers, open_answers

SCORES = {"a": -1.5, "b": -3.0, "возврат": 0.0}


@pytest.fixture
def answers(tmp_path: Path) -> StoredAnswers:
    return StoredAnswers.open(tmp_path / "answers")


@pytest.fixture
def database(answers: StoredAnswers, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """What the answers `SCORES` are kept in."""
    answers.keep(SCORES)
    connection = sqlite3.connect(tmp_path / "answers" / "cache.db", isolation_level=None)
    yield connection
    connection.close()


def test_what_was_kept_is_recalled_and_nothing_else(answers: StoredAnswers) -> None:
    answers.keep(SCORES)
    answers.keep({"b": -4.0})
    assert answers.recall(["b", "c", "a"]) == {"a": -1.5, "b": -4.0}


def test_scores_come_back_as_exactly_the_same_numbers(answers: StoredAnswers) -> None:
    scores = {"third": -1 / 3, "whole": -7.0, "tiny": -5e-324, "huge": -1.7e308, "impossible": -math.inf}
    answers.keep(scores)
    assert answers.recall(list(scores)) == scores


def test_no_keys_no_scores(answers: StoredAnswers) -> None:
    answers.keep({})
    assert answers.recall([]) == {}


def test_a_score_that_is_no_number_is_not_known(answers: StoredAnswers) -> None:
    answers.keep({"a": math.nan})
    assert answers.recall(["a"]) == {}


def test_another_process_recalls_what_this_one_kept(answers: StoredAnswers, tmp_path: Path) -> None:
    answers.keep(SCORES)
    program = (
        "import sys, pathlib; from backend.models.answers import StoredAnswers; "
        "known = StoredAnswers.open(pathlib.Path(sys.argv[1])); "
        "known.keep({'d': -9.0}); assert dict(known.recall(['a', 'b', 'e'])) == {'a': -1.5, 'b': -3.0}"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program, str(tmp_path / "answers")], check=True)
    assert answers.recall(["d"]) == {"d": -9.0}


def test_threads_keep_and_recall_at_once(answers: StoredAnswers) -> None:
    def work(n: int) -> None:
        for at in range(20):
            answers.keep({f"{n} {at}": float(at)})
            answers.recall([f"{n} {at}"])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers.recall([f"{n} {at}" for n in range(4) for at in range(20)])) == 80


def test_what_was_known_and_what_was_not_is_counted(answers: StoredAnswers) -> None:
    answers.keep(SCORES)
    answers.recall(["a", "b", "c"])
    answers.recall(["a"])
    assert answers.tally == {"hit": 3, "miss": 1}


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("in_file", [False, True], ids=["in the database", "in a file beside it"])
def test_an_entry_that_asks_to_be_unpickled_is_refused_and_asked_again(
    answers: StoredAnswers, database: sqlite3.Connection, tmp_path: Path, in_file: bool
) -> None:
    trap, data = tmp_path / "sprung", pickle.dumps(Trap(tmp_path / "sprung"))
    (tmp_path / "answers" / "trap.val").write_bytes(data)
    value, filename = (None, "trap.val") if in_file else (data, None)
    database.execute("UPDATE Cache SET mode = 4, value = ?, filename = ? WHERE key = 'a'", (value, filename))
    with structlog.testing.capture_logs() as logs:
        assert "a" not in answers.recall(["a"])
    assert not trap.exists()
    assert [entry["event"] for entry in logs] == ["answers_unreadable"]
    assert "must hold nothing to be unpickled, but does; remove the folder" in logs[0]["reason"]
    answers.keep({"a": -2.0})
    assert answers.recall(["a"]) == {"a": -2.0}
    assert not trap.exists()


@pytest.mark.parametrize("value", ["-1.5", b"\x80", None, 7])
def test_what_is_no_score_is_not_known(answers: StoredAnswers, database: sqlite3.Connection, value: object) -> None:
    database.execute("UPDATE Cache SET value = ? WHERE key = 'a'", (value,))
    assert answers.recall(["a", "b"]) == {"b": -3.0}


def test_a_full_disk_loses_nothing_but_time(answers: StoredAnswers, database: sqlite3.Connection) -> None:
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    answers._cache._sql(f"PRAGMA max_page_count = {pages}")  # SQLite then says that the disk is full
    with structlog.testing.capture_logs() as logs:
        answers.keep({f"{'key' * 100} {n}": -1.0 for n in range(1000)})
    assert [entry["event"] for entry in logs] == ["answers_not_kept"]
    assert "full" in logs[0]["reason"]
    assert answers.recall(["a", "b"]) == {"a": -1.5, "b": -3.0}


def test_a_damaged_database_loses_nothing_but_time(
    answers: StoredAnswers, database: sqlite3.Connection, tmp_path: Path
) -> None:
    database.execute("DROP TABLE Cache")
    with structlog.testing.capture_logs() as logs:
        assert answers.recall(["a"]) == {}
        answers.keep({"a": -1.0})
    assert [entry["event"] for entry in logs] == ["answers_unreadable", "answers_not_kept"]
    assert answers.tally == {"miss": 1, "hit": 0}


def test_keys_and_scores_are_not_logged(answers: StoredAnswers, database: sqlite3.Connection) -> None:
    database.execute("DROP TABLE Cache")
    with structlog.testing.capture_logs() as logs:
        answers.recall(["secret"])
        answers.keep({"secret": -1.25})
    assert "secret" not in str(logs)
    assert "1.25" not in str(logs)


@pytest.fixture(params=["a file is there", "no database"])
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder of answers that cannot be opened."""
    folder = tmp_path / "unusable"
    if request.param == "a file is there":
        folder.write_text("x")
    else:
        folder.mkdir()
        (folder / "cache.db").write_bytes(b"not a database, but long enough to be taken for one" * 100)
    return folder


def test_a_folder_that_cannot_be_used_is_named(unusable: Path) -> None:
    with pytest.raises(StateError, match=r"unusable must be a folder that can be written, but is not"):
        StoredAnswers.open(unusable)


def test_in_place_of_a_folder_that_cannot_be_used_nothing_is_kept(unusable: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        answers = open_answers(unusable)
    assert [entry["event"] for entry in logs] == ["answers_not_kept"]
    answers.keep(SCORES)
    assert answers.recall(list(SCORES)) == {}

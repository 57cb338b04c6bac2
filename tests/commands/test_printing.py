"""What commands print can be read in any terminal, by programs too, and steers no terminal."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from backend.commands.doctor import result_lines
from backend.commands.printing import bar, block_lines, counting, fitted, json_of, table_lines, told, visible
from backend.commands.reading import counted
from backend.connection.doctor.check import Result
from backend.connection.status import report
from backend.core.clock import duration
from backend.rows.reading import FileSource
from backend.rows.texts import Row

COLUMNS = ("version", "serves", "labels", "verdict")
TEXTS = [
    ("plain", "accuracy rose by 0.012, the lower bound is above -0.01, so that it serves from now on"),
    ("Chinese", "准确率提高了 百分之一点二 所以从现在起 由它来提供服务 其余不变"),
    ("emoji", "texts 🙂🙃 with 👩‍👩‍👧 and 🇩🇪 in them are labelled just as well as others are 🎉"),
    (
        "combining",
        "cafe\u0301 au lait, nai\u0308ve re\u0301sume\u0301 e\u0301te\u0301, re\u0301union de l'e\u0301cole",
    ),
    ("Russian", "точность выросла на 0,012, нижняя граница выше -0,01, поэтому служит эта версия"),
]
WIDTHS = (40, 80, 120)


def rows_of(text: str) -> list[list[str]]:
    return [["pl-20261128T183000Z-1a2b3c4d", "serves shown", "600", text], ["pl-0-1a2b3c4d", "", "0", text]]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("text", [row[1] for row in TEXTS], ids=[row[0] for row in TEXTS])
def test_a_row_as_a_block_holds_every_word_whole_within_the_width(text: str, width: int) -> None:
    lines = list(block_lines(COLUMNS, rows_of(text), width))
    assert max(map(cell_len, lines)) <= width
    words = " ".join(lines).split()
    for cell in (cell for row in rows_of(text) for cell in row):
        assert set(cell.split()) <= set(words)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_word_that_is_longer_than_the_line_is_not_broken(width: int) -> None:
    path = f"/srv/{'a' * 150}/report.html"
    (line,) = [line for line in block_lines(("report",), [[path]], width) if path in line]
    assert line.split() == ["report", path] or line.strip() == path


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("text", [row[1] for row in TEXTS], ids=[row[0] for row in TEXTS])
def test_a_long_line_is_broken_between_words_and_keeps_its_place(text: str, width: int) -> None:
    lines = fitted(f"  {text}", width)
    assert max(map(cell_len, lines)) <= width
    assert all(line.startswith("  ") for line in lines)
    assert " ".join(" ".join(lines).split()) == text


def test_what_is_empty_takes_no_line_of_a_block() -> None:
    lines = list(block_lines(COLUMNS, rows_of("ok"), 80))
    assert [line.split()[0] if line else "" for line in lines] == [*COLUMNS, "", "version", "labels", "verdict"]


@pytest.mark.parametrize("text", [row[1] for row in TEXTS], ids=[row[0] for row in TEXTS])
def test_a_table_has_a_row_a_line_and_columns_that_stand_below_each_other(text: str) -> None:
    head, *lines = table_lines(("text", "n"), [[text, "1"], ["a", "22"]])
    place = cell_len(head[: head.index("n")])
    assert [cell_len(line) - len(line.split()[-1]) for line in lines] == [place, place]


CELLS: Sequence[tuple[str, Any, str, Any]] = [
    ("nothing", None, "", None),
    ("an empty text", "", "", None),
    ("a fraction", 0.123456, "0.1235", 0.123456),
    ("a whole fraction", 12.0, "12.0", 12.0),
    ("no number", float("nan"), "", None),
    ("a number without end", float("inf"), "inf", None),
    ("a count", 600, "600", 600),
    ("yes", True, "yes", True),
    ("no", False, "no", False),
    ("a time", datetime(2026, 11, 28, 18, 30, tzinfo=UTC), "2026-11-28 18:30:00 UTC", "2026-11-28T18:30:00+00:00"),
    ("a path", Path("a/b"), "a/b", "a/b"),
    ("several", ("a", 1), "a, 1", ["a", 1]),
    ("several of a kind", {"a": 1}, "a: 1", {"a": 1}),
    ("half a character", "\ud83d", "\ud83d", "\ud83d"),
]


@pytest.mark.parametrize(("value", "read", "in_json"), [row[1:] for row in CELLS], ids=[row[0] for row in CELLS])
def test_people_and_programs_are_given_each_value_in_their_way(value: Any, read: str, in_json: Any) -> None:
    assert told(value) == read
    line = json_of({"value": value})
    assert line.encode("utf-8").decode("utf-8").count("\n") == 0
    assert json.loads(line) == {"value": in_json}


def test_a_text_does_not_steer_the_terminal() -> None:
    assert visible("a\x1b[2Jb\x07\x9b\ud83d\tc\nd") == "a\\x1b[2Jb\\x07\\x9b\\xd83d\tc\nd"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (99, "99 s"), (100, "2 min"), (5400, "90 min"), (7200, "2 h")]
)
def test_time_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize("width", WIDTHS)
def test_a_finding_of_doctor_is_wrapped_between_words_and_its_path_can_be_copied(width: int) -> None:
    path = f"/srv/{'a' * 60}/artefacts/pl-20261128T183000Z-1a2b3c4d"
    finding = f"the version cannot be loaded: {path} must be made for cleaning 2, was made for 1"
    lines = [
        line.plain for line in result_lines(Result("", "version", False, finding, "run: prelabel rollback"), width)
    ]
    assert any(path in line for line in lines)
    assert all(cell_len(line) <= width for line in lines if path not in line)
    assert " ".join(" ".join(lines).split()) == f"FAULT version {finding} -> run: prelabel rollback"


@pytest.mark.parametrize("width", WIDTHS)
def test_status_is_as_wide_as_the_terminal_and_its_paths_can_be_copied(width: int) -> None:
    path = f"/srv/{'a' * 60}/worker-live.log"
    fault = f"workers: nobody takes jobs from: live, bulk, train; {path} says why; run: prelabel worker"
    lines = report([], shared=[fault], columns=width).splitlines()
    assert any(path in line for line in lines)
    assert all(cell_len(line) <= width for line in lines if path not in line)
    assert " ".join(lines) == f"FAULT  {fault}"


def test_progress_is_for_terminals_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("reading") as advance:
        advance("100 rows", 0.5)
    with counting() as progress:
        progress.add_task("training", total=None)
    assert capsys.readouterr() == ("", "")


def test_a_file_that_is_read_at_once_is_told_without_a_speed() -> None:
    said: list[str] = []
    rows = (Row(str(n), "a text", "", None, {}) for n in range(250))
    assert len(list(counted(rows, FileSource(Path("a.csv")), lambda words, _: said.append(words)))) == 250
    assert said == ["100 rows", "200 rows"]

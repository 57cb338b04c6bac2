"""The command line as a whole: where the state is looked for, what is begun by whom, which prelabel this is."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from backend.cli import asked_for
from tests.stack import ROOT

READING = [
    ("status",),
    ("status", "--impact"),
    ("doctor",),
    ("models", "list", "--project", "1"),
    ("explain", "--text", "a text"),
    ("missing-labels", "--project", "1"),
    ("auto-accept", "--project", "1"),
    ("export", "--project", "1", "--out", "labels.csv"),
    ("predict", "--project", "1"),
    ("rollback", "--project", "1"),
    ("disconnect", "--project", "1"),
    ("down",),
]


def prelabel(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PRELABEL_")}
    return subprocess.run(
        [sys.executable, "-m", "backend.cli", *arguments],
        cwd=folder, env={**inherited, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", READING, ids=[" ".join(row) for row in READING])
def test_a_command_that_reads_begins_no_state_and_says_where_it_looked(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = prelabel(tmp_path, *arguments)
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path / ".prelabel") in done.stderr
    assert arguments == ("down",) or (done.returncode == 2 and "prelabel --home FOLDER" in done.stderr)


def test_the_state_can_be_named_before_the_command(tmp_path: Path) -> None:
    done = prelabel(tmp_path, "--home", "elsewhere", "status")
    assert str(tmp_path / "elsewhere") in done.stderr


def test_version_says_which_prelabel_this_is(tmp_path: Path) -> None:
    assert prelabel(tmp_path, "--version").stdout == f"prelabel {version('prelabel')}\n"


def test_help_breaks_lines_where_the_terminal_ends(tmp_path: Path) -> None:
    told = prelabel(tmp_path, "label-config", "--help", COLUMNS="200").stdout
    assert "Every imported task must then hold the key prelabel_top" in told


ASKED = [
    ("nothing", [], ""),
    ("a command", ["status", "--json"], "status"),
    ("options alone", ["--help"], ""),
    ("after a folder", ["--home", "status", "doctor"], "doctor"),
    ("after a folder, in one word", ["--home=status", "doctor"], "doctor"),
]


@pytest.mark.parametrize(("arguments", "asked"), [row[1:] for row in ASKED], ids=[row[0] for row in ASKED])
def test_only_the_command_that_is_asked_for_is_loaded(arguments: list[str], asked: str) -> None:
    assert asked_for(arguments) == asked

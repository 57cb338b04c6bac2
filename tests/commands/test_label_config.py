"""label-config as a person runs it, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.labelstudio.schema import label_space
from tests.stack import ROOT


def prelabel(folder: Path, *arguments: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backend.cli", "label-config", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == expected, done.stderr
    return done


FILES: list[tuple[str, str, str]] = [
    ("lines", "labels.txt", "\ufefflate delivery\nвозврат\n\n"),
    ("CSV", "labels.csv", "label,note\nlate delivery,x\nвозврат,y\n"),
    ("JSONL", "labels.jsonl", '{"label": "late delivery"}\n{"label": "возврат"}\n'),
]


@pytest.mark.parametrize(("name", "content"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_every_format_of_the_list_gives_the_same_config(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "hints.csv").write_text("label,hint\nвозврат,деньги назад\n", encoding="utf-8")
    config = prelabel(tmp_path, "--labels", name, "--hints", "hints.csv").stdout
    space = label_space(config)
    assert [(label.value, label.hint) for label in space.labels] == [("late delivery", ""), ("возврат", "деньги назад")]


def test_it_says_which_list_it_wrote_and_what_tasks_need(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(f"label {i}" for i in range(30)))
    said: dict[str, Any] = json.loads(prelabel(tmp_path, "--labels", "labels.txt", "--out", "a.xml", "--json").stdout)
    keys = ["text", "prelabel_top"]
    assert said == {"labels": 30, "hints": 0, "list": "dynamic", "task_keys": keys, "out": "a.xml"}
    assert len(label_space((tmp_path / "a.xml").read_text(encoding="utf-8"))) == 30
    static = prelabel(tmp_path, "--labels", "labels.txt", "--static", "--text", "body", "--json").stdout
    assert json.loads(static)["task_keys"] == ["body"]


BAD = [
    ("no file", "gone.txt", None, "must be a file"),
    ("an empty file", "labels.txt", "\n \n", "must hold at least one label"),
    ("an empty line", "labels.txt", "a\n\nb\n", "line 2 must hold a label, is empty"),
    ("a repeated line", "labels.txt", "a\nb\na\n", "line 3 repeats labels.txt line 1"),
    ("no column", "labels.csv", "name\na\n", "must have the column 'label', has name"),
    ("not UTF-8", "labels.txt", "кофе".encode("cp1251"), "must be UTF-8"),
]


@pytest.mark.parametrize(("name", "content", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_wrong_file_ends_with_2_and_one_line_that_helps(
    name: str, content: str | bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    done = prelabel(tmp_path, "--labels", name, "--out", "out.xml", expected=2)
    assert message in done.stderr
    assert not (tmp_path / "out.xml").exists()

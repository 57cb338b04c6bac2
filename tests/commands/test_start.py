"""What a command costs before it does anything: the libraries that it loads, which are nearly all of it."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from backend.cli import COMMANDS, loaded
from tests.stack import ROOT

MODELS = {  # whoever runs, fits or draws something loads them, and nobody else
    "bm25s",
    "faiss",
    "llama_cpp",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "scipy.stats",
    "sentence_transformers",
    "sklearn",
    "torch",
    "transformers",
}
SERVICES = {"alembic", "flask", "httpx", "label_studio_sdk", "rq", "sqlalchemy"}
SETTINGS = {"numpy", "pydantic_settings", "requests"}
SAYS_MODULES = "import atexit, sys; atexit.register(lambda: print('\\n', *sys.modules)); "
RUNS = SAYS_MODULES + "from backend.cli import main; main()"
LOADS_ALL = SAYS_MODULES + "from backend.cli import COMMANDS, loaded; [loaded(name) for name in COMMANDS]"


def imported(program: str, *arguments: str, home: Path) -> set[str]:
    """The modules that a program has imported when it ends."""
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={"PRELABEL_HOME": str(home), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(ended.stdout.rpartition("\n ")[2].split())


@pytest.mark.parametrize(
    ("asked", "spared"),
    [
        (["--help"], MODELS | SERVICES | SETTINGS),
        (["down"], MODELS | SERVICES | {"requests"}),
        (["label-config", "--labels", "LABELS"], MODELS | SERVICES),
        (["up", "--help"], MODELS | {"alembic", "sqlalchemy"}),
        (["cron", "--help"], MODELS | SERVICES),
        (["status"], MODELS),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_command_loads_nothing_that_it_does_not_need(asked: list[str], spared: set[str], tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("refund\ndelivery\n", encoding="utf-8")
    arguments = [str(labels) if word == "LABELS" else word for word in asked]
    assert imported(RUNS, *arguments, home=tmp_path) & spared == set()


def test_no_command_loads_a_model_library_before_it_runs(tmp_path: Path) -> None:
    assert imported(LOADS_ALL, home=tmp_path) & MODELS == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_each_command_with_the_first_sentence_of_its_own_help(name: str) -> None:
    _, line = COMMANDS[name]
    command = loaded(name)
    said = command.info.help if isinstance(command, typer.Typer) else inspect.getdoc(command)
    assert " ".join(str(said).partition("\n\n")[0].split()) == line

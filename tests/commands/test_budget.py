"""plan, and predict within limits, as a person runs them, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.core.settings import Settings
from backend.ledger import open_ledger

LABELS = (
    "music", "films", "travel", "food", "sport", "money", "health", "school", "weather", "animals", "cars", "gardening",
)  # fmt: skip
ODD = [f"{what} {which}" for what in ("tell me about", "i like", "never mind") for which in ("pandas", "trains", "it")]


def prelabel(home: Path, models: Path, *arguments: object) -> dict[str, Any]:
    environment = {**os.environ, "PRELABEL_HOME": str(home), "PRELABEL_MODELS": str(models), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "backend.cli", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "odd.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in ODD), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    rows = [{"text": f"about {label} {n}", "label": label} for label in LABELS for n in ("once", "twice")]
    (folder / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    prelabel(folder, models_dir, "train", folder / "few.jsonl", "--out", folder / "m")
    return folder / "m"


def test_predict_takes_what_plan_said(models_dir: Path, model: Path, data: Path, tmp_path: Path) -> None:
    plan = prelabel(tmp_path / "one", models_dir, "plan", data, "--model", model)
    (voter,) = plan["voters"]
    assert 0 < plan["n_unsure"] <= len(ODD)
    options = ("--model", model, "--llm", "--out", tmp_path / "out.csv")
    afresh = prelabel(tmp_path / "other", models_dir, "predict", data, *options)
    assert afresh["llm_tokens"] == pytest.approx(voter["tried"]["tokens"], rel=0.2)
    assert afresh["n_over_limit"] == 0
    after = prelabel(tmp_path / "one", models_dir, "predict", data, *options)
    assert after["llm_tokens"] == plan["llm_tokens"] == 0, "the plan's few votes are remembered"


def test_at_the_limit_the_cheap_levels_answer_and_the_run_ends_well(
    models_dir: Path, model: Path, data: Path, tmp_path: Path
) -> None:
    options = ("--model", model, "--llm", "--out", tmp_path / "out.jsonl", "--max-tokens", 1)
    done = prelabel(tmp_path, models_dir, "predict", data, *options)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len(ODD)
    assert done["n_over_limit"] > 0
    assert done["llm_tokens"] == 0
    ledger = open_ledger(Settings(home=tmp_path))
    with ledger.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM spending").scalar() == 0, "what ended is forgotten"
    ledger.engine.dispose()

"""train, predict and evaluate as a person runs them, in processes of their own."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.stack import wait_for
from tests.training.material import examples_of

COLUMNS = ["predicted_label", "confidence", "p_out_of_scope", "decision", "stage", "reason", "alternatives"]


@pytest.fixture(scope="module")
def home(models_dir: Path) -> Path:
    return models_dir.parent


def prelabel(home: Path, *arguments: object, expected: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PRELABEL_HOME": str(home), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "backend.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == expected, done.stderr
    return done


def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {"id": e.id, "text": e.text, "label": e.label, "split": "test" if i % 5 == 0 else "train"}
        for i, e in enumerate(examples_of(21))
    ]
    return write_csv(tmp_path_factory.mktemp("data") / "data.csv", rows)


@pytest.fixture(scope="module")
def model(home: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "m"
    prelabel(home, "train", data, "--out", out, "--oos-label", "other", "--where", "split=train", "--json")
    return out


def test_predict_keeps_the_input_and_adds_its_columns(home: Path, data: Path, model: Path, tmp_path: Path) -> None:
    done = prelabel(home, "predict", data, "--model", model, "--out", tmp_path / "out.csv", "--no-llm", "--json")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert result(done)["n"] == len(rows) == 84
    assert list(rows[0]) == ["id", "text", "label", "split", *COLUMNS, "model_version"]
    assert sum(row["predicted_label"] == row["label"] for row in rows) > 75
    alternatives = json.loads(rows[0]["alternatives"])
    assert [set(entry) for entry in alternatives] == [{"label", "probability"}] * 3
    assert alternatives == sorted(alternatives, key=lambda entry: -entry["probability"])


def any_written(folder: Path) -> bool:
    """Whether a hidden file holds rows."""
    return any(each.stat().st_size for each in folder.glob(".*"))


def test_ctrl_c_while_rows_are_written_leaves_what_was_there_and_nothing_half_written(
    home: Path, model: Path, tmp_path: Path
) -> None:
    data, out = tmp_path / "many.jsonl", tmp_path / "out" / "predicted.csv"
    data.write_text("".join(json.dumps({"text": f"where is parcel {n}?"}) + "\n" for n in range(100_000)))
    out.parent.mkdir()
    out.write_text("of an earlier run")
    process = subprocess.Popen(
        [sys.executable, "-m", "backend.cli", "predict", data, "--model", model, "--out", out],
        env={**os.environ, "PRELABEL_HOME": str(home), "OMP_NUM_THREADS": "2"}, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # whoever tests may ignore it
    )  # fmt: skip
    with process:
        wait_for(lambda: process.poll() is not None or any_written(out.parent), within_s=120)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert (process.returncode, "stopped: no half-written file is left" in said) == (130, True), said
    assert [(each, each.read_text()) for each in out.parent.iterdir()] == [(out, "of an earlier run")]


def test_the_users_columns_stay_and_rows_that_are_no_texts_are_told(home: Path, model: Path, tmp_path: Path) -> None:
    rows = [
        {"text": "please stop my order", "reason": "=chargeback", "confidence": "low", "imported_reason": "old"},
        {"text": None, "reason": "", "confidence": "", "imported_reason": ""},
    ]
    (tmp_path / "a.json").write_text(json.dumps({"rows": rows}), encoding="utf-16")
    done = prelabel(
        home, "predict", tmp_path / "a.json", "--model", model, "--out", tmp_path / "o.csv", "--rejects",
        tmp_path / "r.csv", "--for-spreadsheet", "--json", expected=1,
    )  # fmt: skip
    assert {name: result(done)[name] for name in ("n", "n_rejected")} == {"n": 1, "n_rejected": 1}
    assert "row 2 is left out: text must hold a character, is empty" in done.stderr
    with (tmp_path / "o.csv").open(newline="", encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    kept = {"imported_reason": "'=chargeback", "imported_confidence": "low", "imported_imported_reason": "old"}
    assert {name: row[name] for name in kept} == kept
    assert row["predicted_label"] == "cancel_order"
    assert "text must hold a character" in (tmp_path / "r.csv").read_text(encoding="utf-8")


def test_evaluate_says_which_rows_no_figure_counts(home: Path, model: Path, tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "a.csv",
        [
            {"text": "please stop my order", "label": "cancel_order "},
            {"text": "my card is gone", "label": "lost_cards"},
            {"text": "who are you", "label": ""},
        ],
    )
    done = prelabel(home, "evaluate", path, "--model", model, "--out", tmp_path / "e", "--json", expected=1)
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    told = "1 of 3 rows have a label that the model does not know, 'lost_cards' (1): no figure counts them"
    assert [metrics[name] for name in ("n", "n_unknown_label", "n_without_label", "n_rejected")] == [1, 1, 1, 0]
    assert result(done)["not_judged"].startswith(told)
    assert told.replace("'", "&#39;") in Path(result(done)["report"]).read_text(encoding="utf-8")


def test_a_model_is_trained_on_label_studios_export_and_says_what_it_left_out(home: Path, tmp_path: Path) -> None:
    tasks = [
        {
            "id": number, "data": {"text": example.text}, "annotations": [
                {
                    "id": number, "completed_by": 1, "was_cancelled": False, "updated_at": "2026-01-02T03:04:05Z",
                    "result": [{"from_name": "topic", "type": "choices", "value": {"choices": [example.label]}}],
                }
            ],
        }
        for number, example in enumerate(examples_of(9))
    ]  # fmt: skip
    tasks[0]["data"] = {"text": None}
    (tmp_path / "export.json").write_text(json.dumps(tasks), encoding="utf-8")
    done = prelabel(home, "train", tmp_path / "export.json", "--out", tmp_path / "m", "--json", expected=1)
    assert {name: result(done)[name] for name in ("n_trained", "n_rejected")} == {
        "n_trained": len(tasks) - 1,
        "n_rejected": 1,
    }
    assert (tmp_path / "m" / "manifest.json").exists()


def test_evaluate_writes_metrics_report_and_pictures(home: Path, data: Path, model: Path, tmp_path: Path) -> None:
    done = prelabel(
        home, "evaluate", data, "--model", model, "--out", tmp_path / "e", "--where", "split=test", "--no-llm", "--json"
    )
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    names = {
        "n", "accuracy", "macro_f1", "weighted_f1", "ece", "brier", "oos_auroc", "oos_recall_at_95_retention",
        "in_scope_accuracy", "precision_at_target", "coverage_at_target", "texts_per_s",
        "share_classify", "accuracy_classify", "seconds_per_1000_classify", "tokens_per_1000_classify",
    }  # fmt: skip
    assert names <= metrics.keys()
    assert metrics["accuracy"] > 0.9
    assert result(done)["accuracy"] == pytest.approx(metrics["accuracy"], abs=1e-4)
    report = Path(result(done)["report"]).read_text(encoding="utf-8")
    assert report.count("<svg") == 4
    assert all(f">{label}</td>" in report for label in ("cancel_order", "lost_card", "opening_hours", "other"))
    assert "What do more labels bring?" in report
    assert result(done)["promise"] == "needs at least 90 accepted labels for 0.95, has 17"


def test_a_label_config_gives_labels_without_examples_a_place(home: Path, data: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.xml"
    names = ["cancel_order", "lost_card", "opening_hours", "other", "refund"]
    choices = "".join(f'<Choice value="{name}"/>' for name in names)
    config.write_text(
        f'<View><Text name="t" value="$text"/><Choices name="c" toName="t">{choices}</Choices></View>', encoding="utf-8"
    )
    prelabel(home, "train", data, "--out", tmp_path / "m", "--label-config", config, "--oos-label", "other")
    texts = write_csv(tmp_path / "x.csv", [{"text": "i want a refund"}])
    prelabel(home, "predict", texts, "--model", tmp_path / "m", "--out", tmp_path / "o.jsonl", "--no-llm")
    assert json.loads((tmp_path / "o.jsonl").read_text())["predicted_label"] == "refund"


def test_explain_tells_why_a_text_gets_its_label(home: Path, model: Path) -> None:
    found = result(prelabel(home, "explain", "--model", model, "--text", "please stop my order one", "--json"))
    assert (found["decision"]["kind"], found["decision"]["predicted_label"]) == ("label", "cancel_order")
    assert found["candidates"][0]["probability"] == pytest.approx(found["decision"]["confidence"])
    assert found["neighbours"]


def test_a_trial_on_a_file_ends_with_its_verdict(home: Path, data: Path) -> None:
    few = prelabel(home, "trial", data, "--where", "split=test", "--oos-label", "other", expected=1)
    assert few.stdout.startswith("not known to be worth it: 17 labels are too few to tell, at least 50 are needed")
    assert "nothing ticked" in few.stdout


def test_what_resembles_no_label_is_told_in_groups(home: Path, data: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "groups.csv"
    found = result(prelabel(home, "missing-labels", data, "--model", model, "--out", out, "--json"))
    first = found["groups"][0]
    assert all(row.startswith("other-") for group in found["groups"] for row in group["rows"])
    assert {"how", "tall", "everest"} & set(first["words"])
    with out.open(newline="", encoding="utf-8") as file:
        assert [row["id"] for row in csv.DictReader(file) if row["group"] == "1"] == first["rows"]
    assert first["typical"][0] in prelabel(home, "missing-labels", data, "--model", model).stdout


BAD = [
    ("no data", ["train", "no_such.csv", "--out", "{tmp}/m"], "must be a file"),
    ("model there already", ["train", "{data}", "--out", "{tmp}"], "exists; choose another name"),
    ("out-of-scope", ["train", "{data}", "--out", "{tmp}/m", "--oos-label", "zzz"], "must be a label of the data"),
    ("no row left", ["train", "{data}", "--out", "{tmp}/m", "--where", "split=zzz"], "must hold a row with a label"),
    ("family", ["train", "{data}", "--out", "{tmp}/m", "--family", "zzz"], "family must be one of"),
    ("no model", ["predict", "{data}", "--model", "{tmp}", "--out", "{tmp}/o.csv"], "must be a model folder"),
    ("a trial of nothing", ["trial"], "exactly one of DATA and --project"),
    ("groups of nothing", ["missing-labels", "{data}"], "either DATA with --model or --project must be given"),
    ("no text", ["explain", "--model", "{model}"], "exactly one of --task and --text"),
    ("a generation alone", ["explain", "--text", "a", "--generation", "3"], "must go with the --version"),
    ("a column twice", ["train", "{twice}", "--out", "{tmp}/m"], "must differ, some stand twice: label; rename them"),
    ("format", ["train", "{data}", "--out", "{tmp}/m", "--format", "xls"], "--format must be one of csv, tsv, jsonl"),
    ("delimiter", ["train", "{data}", "--out", "{tmp}/m", "--delimiter", "ab"], "--delimiter must be one sign, or tab"),
    ("no table", ["predict", "{data}", "--model", "{model}", "--out", "{tmp}/o.jsonl", "--for-spreadsheet"],
     "--for-spreadsheet must go with a name that ends in .csv or .tsv"),
    ("output suffix", ["predict", "{data}", "--model", "{model}", "--out", "{tmp}/o.xlsx"], "must end in .csv"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_ends_with_2_and_one_line_that_helps(
    arguments: list[str], message: str, home: Path, data: Path, model: Path, tmp_path: Path
) -> None:
    twice = data.with_name("twice.csv")
    twice.write_text("text,label,label\ntea,a,b\n", encoding="utf-8")
    given = [argument.format(tmp=tmp_path, data=data, model=model, twice=twice) for argument in arguments]
    done = prelabel(home, *given, expected=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []

"""`prelabel export` out of a real Label Studio: what comes out, and that it goes back in without a change."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from backend.moving.columns import ADDED
from backend.moving.exporting import ReadPages, manifest_of
from backend.rows.reading import FileSource
from tests.moving.playground import Playground

pytestmark = [pytest.mark.label_studio]

ROWS = [
    {"id": 7, "text": "tea, hot", "label": "yes", "note": None, "weight": 1.5, "created_at": "1999"},
    {"text": "coffee\nblack", "label": None, "note": "x", "weight": 2.0, "tags": ["a", "b"]},
    {"text": "coffee\nblack", "label": "no", "note": "y"},
    {"text": "milk", "label": "no"},
]


@pytest.fixture
def filled(playground: Playground, tmp_path: Path) -> Playground:
    """Four tasks: accepted as it was ticked, corrected, skipped, untouched."""
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    playground.imported(data)
    first, second, third, _ = playground.tasks()
    playground.annotate(first.id, "y")
    playground.annotate(second.id, "no")
    playground.client.create_annotation(third.id, [], skipped=True)
    return playground


def records(path: Path) -> list[dict[str, Any]]:
    return [dict(record.columns) for record in FileSource(path).records()]


def test_labels_come_out_beside_the_columns_that_came_in(filled: Playground, tmp_path: Path) -> None:
    manifest = filled.exported(tmp_path / "out.jsonl")
    rows = records(tmp_path / "out.jsonl")
    assert [row["label"] for row in rows] == ["y", "no", "", ""]
    assert [row["imported_label"] for row in rows] == ["yes", None, "no", "no"]
    assert rows[0]["imported_created_at"] == "1999"
    assert {name: rows[0][name] for name in ("id", "text", "note", "weight")} == {
        "id": 7, "text": "tea, hot", "note": None, "weight": 1.5,
    }  # fmt: skip
    assert rows[1]["tags"] == ["a", "b"]
    assert [row["predicted_label"] for row in rows] == ["y", None, "no", "no"]
    assert (rows[0]["model_version"], rows[0]["lead_time_s"]) == ("imported", 2.0)
    assert not [name for row in rows for name in row if name.startswith("prelabel_")]
    assert (manifest.rows, manifest.labels) == (4, {"": 2, "no": 1, "y": 1})
    assert json.loads(manifest_of(tmp_path / "out.jsonl").read_text())["sha256"] == manifest.sha256


def test_what_trains_is_what_people_said(filled: Playground, tmp_path: Path) -> None:
    filled.exported(tmp_path / "training.csv", "training")
    assert [(row["text"], row["label"]) for row in records(tmp_path / "training.csv")] == [
        ("tea, hot", "y"),
        ("coffee\nblack", "no"),
    ]
    filled.exported(tmp_path / "annotations.csv", "annotations")
    assert [row["label"] for row in records(tmp_path / "annotations.csv")] == ["y", "no", ""]
    filled.exported(tmp_path / "predictions.csv", "predictions")
    assert [row["predicted_label"] for row in records(tmp_path / "predictions.csv")] == ["y", "no", "no"]


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.jsonl", "out.parquet"])
def test_what_was_exported_goes_back_in_without_a_change(filled: Playground, tmp_path: Path, name: str) -> None:
    first = filled.exported(tmp_path / name, split="0.5/0.5")
    before = [task.data for task in filled.tasks()]
    done = filled.imported(tmp_path / name)
    assert (done.new, done.known, done.changed, done.rejected) == (0, 4, 0, 0)
    assert [task.data for task in filled.tasks()] == before
    assert filled.exported(tmp_path / name, split="0.5/0.5").fingerprint == first.fingerprint
    filled.imported(tmp_path / name)
    assert sum(first.parts.values()) == 4


def test_an_export_goes_on_where_it_was_cut_off_unless_something_moved(filled: Playground, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    whole = filled.exported(out).sha256
    (folder,) = (filled.home / "moves").iterdir()
    spools: list[bytes] = []
    append = ReadPages.append

    def cut_off(spool: ReadPages, rows: list[dict[str, Any]], up_to: int) -> None:
        append(spool, rows[:2], rows[1]["task_id"])
        with spool.path.open("a") as file:
            file.write('[{"half": ')
        spools.append(spool.path.read_bytes())
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ReadPages, "append", cut_off)
        with pytest.raises(KeyboardInterrupt):
            filled.exported(out)
    assert filled.exported(out).sha256 == whole
    (folder / "export-tasks.jsonl").write_bytes(spools[0])
    filled.annotate(filled.tasks()[0].id, "no")
    filled.exported(out)
    assert records(out)[0]["label"] != "y", "an old page would say so still"


def test_a_row_of_an_export_names_every_added_column(filled: Playground, tmp_path: Path) -> None:
    done = filled.run("export", "--project", filled.project_id, "--out", tmp_path / "out.csv", "--json")
    assert json.loads(done.stdout)["rows"] == 2
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        assert set(ADDED) <= set(next(csv.reader(file)))


NASTY = [
    {"id": "1", "text": 'two\nlines, "quoted"; and\ta tab', "label": "yes", "note": "=1+1"},
    {"id": "2", "text": "a bare\rreturn\r\nand both", "label": "no", "note": "007"},
    {"id": "3", "text": "\u00a0шум \U0001f469\u200d\U0001f52c שלום", "flag": True, "n": 1.5, "none": None},
    {"text": "tea", "tags": ["a", {"b": None}], "label": "yes"},
    {"text": "tea", "imported_label": "mine", "confidence": "high"},
    {"text": "C:\\new\\N", "empty": "", "created_at": "1999"},
]


@pytest.fixture
def nasty(playground: Playground, tmp_path: Path) -> Playground:
    """Rows of every kind, two of them labelled, one by two people's words."""
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in NASTY), encoding="utf-8")
    assert playground.imported(data).new == len(NASTY)
    first, second, *_ = playground.tasks()
    playground.annotate(first.id, "no")
    playground.annotate(first.id, "no")
    playground.annotate(second.id, "no")
    return playground


def written(project: Playground, folder: Path) -> list[Path]:
    """The project in every format, prelabel's and Label Studio's own."""
    paths = [folder / f"out.{kind}" for kind in ("csv", "tsv", "jsonl", "parquet")]
    for path in paths:
        project.exported(path)
    packed, listed = folder / "out.csv.gz", folder / "out.json"
    packed.write_bytes(gzip.compress((folder / "out.csv").read_bytes()))
    lines = (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
    listed.write_text(f"[{','.join(lines)}]", encoding="utf-8")
    for kind in ("JSON", "JSON_MIN", "CSV"):
        paths.append(folder / f"{kind}.{'csv' if kind == 'CSV' else 'json'}")
        params = {"exportType": kind, "download_all_tasks": "true"}
        project.client.api.download(f"api/projects/{project.project_id}/export", params, paths[-1])
    return [*paths, packed, listed]


def test_rows_go_out_and_back_in_and_nothing_changes(nasty: Playground, tmp_path: Path) -> None:
    before = [task.data for task in nasty.tasks()]
    for path in written(nasty, tmp_path):
        done = nasty.imported(path)
        told = (done.new, done.left_out, done.known == done.read > 0)
        assert told == (0, 0, True), path.name
    assert [task.data for task in nasty.tasks()] == before

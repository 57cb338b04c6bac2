"""`prelabel import` into a real Label Studio: each row once, whatever happens."""

import csv
import gzip
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from backend.core.errors import LabelStudioError
from backend.core.settings import Settings
from backend.labelstudio.schema import ID_KEY, IMPORTED
from backend.moving.catalogue import open_catalogue
from backend.moving.importing import ImportOptions
from backend.rows.names import Names
from prelabel import import_texts
from tests.moving.playground import Playground

pytestmark = [pytest.mark.label_studio]

N_MANY = 11_000  # three requests


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


ROWS = 'id,text,label,note\n1,"tea, hot",yes,x\n2,coffee,no,\n,tea,,y\n,tea,no,y\n'


def test_rows_become_tasks_with_their_columns_and_labels_and_a_second_run_changes_nothing(
    playground: Playground, tmp_path: Path
) -> None:
    data = write(tmp_path / "a.csv", ROWS)
    planned = playground.imported(data, ImportOptions(dry_run=True))
    assert (planned.new, planned.known, playground.tasks()) == (4, 0, [])
    first = playground.imported(data)
    assert (first.read, first.new, first.rejected) == (4, 4, 0)
    tasks = playground.tasks()
    assert tasks[0].data == {"id": "1", "text": "tea, hot", "label": "yes", "note": "x", ID_KEY: "1"}
    assert [item["result"][0]["value"]["choices"] for item in tasks[0].predictions] == [["y"]]
    assert {item["model_version"] for task in tasks for item in task.predictions} == {IMPORTED}
    assert [len(task.predictions) for task in tasks] == [1, 1, 0, 1]
    again = playground.imported(data)
    assert (again.new, again.known, again.changed) == (0, 4, 0)
    (playground.home / "moves").rename(playground.home / "lost")
    without_memory = playground.imported(data)
    assert (without_memory.new, without_memory.known) == (0, 4)
    assert playground.rows() == dict.fromkeys(playground.rows(), 1)


def test_labels_come_in_as_annotations_that_are_no_ground_truth(playground: Playground, tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", '{"body": "tea", "intent": "y"}\n{"body": "coffee", "intent": null}\n')
    done = playground.imported(data, ImportOptions(Names(text="body", label="intent"), "annotations"))
    assert done.new == 2
    tea, coffee = playground.tasks()
    assert (tea.data["text"], tea.data["intent"]) == ("tea", "y")
    (annotation,) = tea.annotations
    assert (annotation.result[0]["value"]["choices"], annotation.ground_truth) == (["y"], False)
    assert coffee.annotations == ()


def test_what_changed_is_told_and_left_as_it_is_and_what_is_new_comes_in(
    playground: Playground, tmp_path: Path
) -> None:
    playground.imported(write(tmp_path / "a.csv", "id,text\n1,tea\n2,coffee\n"))
    done = playground.imported(write(tmp_path / "b.csv", "id,text\n1,green tea\n2,coffee\n3,milk\n"))
    assert (done.new, done.known, done.changed, done.changed_ids) == (1, 1, 1, ["1"])
    assert [task.data["text"] for task in playground.tasks()] == ["tea", "coffee", "milk"]


def test_labels_that_come_later_are_ticked_once_they_are_asked_for(playground: Playground, tmp_path: Path) -> None:
    playground.imported(write(tmp_path / "a.csv", "text\ntea\nmilk\nbeer\n"))
    labels = write(tmp_path / "b.csv", "text,label\ntea,yes\nmilk,no\nbeer,no\n")
    playground.annotate(playground.tasks()[2].id, "y")  # a person's word needs no other
    told = playground.imported(labels)
    assert (told.late, told.left_out, told.known) == (2, 2, 1)
    assert playground.imported(labels, ImportOptions(add_labels=True)).labels_added == 2
    ticked = [[item["result"][0]["value"]["choices"] for item in task.predictions] for task in playground.tasks()]
    assert ticked == [[["y"]], [["no"]], []]
    assert playground.client.project(playground.project_id).model_version == IMPORTED
    assert playground.imported(labels).left_out == 0


def test_a_row_that_a_person_deleted_comes_back(playground: Playground, tmp_path: Path) -> None:
    data = write(tmp_path / "a.csv", "id,text\n1,tea\n2,coffee\n")
    playground.imported(data)
    playground.client.delete_task(playground.tasks()[0].id)
    assert playground.imported(data).new == 1
    assert set(playground.rows()) == {"1", "2"}


def test_bad_rows_go_to_a_file_with_their_reasons_and_the_others_go_in(playground: Playground, tmp_path: Path) -> None:
    text = 'id,text,label\n1,tea,yes\n2,,no\n3,coffee,maybe\n4,milk\n1,beer,no\n1,tea,yes\n6,"nul\0",no\n'
    data = tmp_path / "a.csv"
    data.write_bytes(text.encode() + "7,caf\xe9,no\n".encode("latin-1") + b"8,water,no\n")
    options = ("--project", playground.project_id, "--rejects", tmp_path / "rejects.csv", "--json")
    done = json.loads(playground.run("import", data, *options, expected=1).stdout)
    assert (done["new"], done["repeated"], done["rejected"]) == (2, 1, 6)
    with Path(done["rejects"]).open(encoding="utf-8") as file:
        rejected = {int(row["row"]): row["reason"] for row in csv.DictReader(file)}
    assert rejected == {
        2: "text must hold a character, is empty",
        3: "label must be one of the label config; correct it, or add it there",
        4: "line 5: must have 3 fields like the header, has 2",
        5: "the id must be of one row, but row 1 has it too; make them differ, or say --no-id",
        7: "must hold no NUL character; remove it",
        8: "must be UTF-8, holds bytes or characters that are not; correct them, or say --encoding",
    }
    assert {task.data["text"] for task in playground.tasks()} == {"tea", "water"}


def test_standard_input_and_gzip_are_read(playground: Playground) -> None:
    given = gzip.compress(b'{"text": "tea"}\n{"text": "coffee"}\n')
    playground.run("import", "-", "--format", "jsonl", "--project", playground.project_id, given=given)
    assert [task.data["text"] for task in playground.tasks()] == ["tea", "coffee"]


def test_a_project_is_created_by_its_title_once(playground: Playground, tmp_path: Path) -> None:
    config = write(tmp_path / "config.xml", playground.client.project(playground.project_id).label_config)
    data, title = write(tmp_path / "a.csv", "text\ntea\n"), f"created {tmp_path.name}"
    options = ("import", data, "--title", title, "--label-config", config, "--json")
    assert json.loads(playground.run(*options, "--dry-run").stdout)["project"] is None
    assert not (playground.home / "moves").exists(), "a dry run leaves nothing in the state"
    first = json.loads(playground.run(*options).stdout)
    options = ("import", data, "--title", f" {title} ", "--label-config", config, "--json")
    second = json.loads(playground.run(*options).stdout)
    assert first["project"] == second["project"]
    assert (first["new"], second["new"], second["known"]) == (1, 0, 1)
    playground.client.delete_project(first["project"])


def test_a_new_project_has_the_labels_of_its_file(playground: Playground, tmp_path: Path) -> None:
    lines = [{"text": f"text {n}", "intent": f"intent {n % 12}"} for n in range(24)]
    data = write(tmp_path / "a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    options = ("import", data, "--title", f"labels {tmp_path.name}", "--label", "intent", "--json")
    done = json.loads(playground.run(*options).stdout)
    assert (done["new"], done["rejected"]) == (24, 0)
    tasks = list(playground.client.tasks(done["project"]))
    assert {label_in(task.predictions[0]) for task in tasks} == {f"intent {n}" for n in range(12)}
    playground.client.delete_project(done["project"])


def test_without_labels_to_find_a_new_project_is_not_made(playground: Playground, tmp_path: Path) -> None:
    title, data = f"unlabelled {tmp_path.name}", write(tmp_path / "a.csv", "text\ntea\n")
    refused = playground.run("import", data, "--title", title, expected=2)
    assert "--label-config" in refused.stderr.decode()
    assert title not in [project.title for project in playground.client.projects()]


def test_an_import_that_fails_leaves_no_project_behind(playground: Playground, tmp_path: Path) -> None:
    config = write(tmp_path / "config.xml", playground.client.project(playground.project_id).label_config)
    title, data = f"failed {tmp_path.name}", write(tmp_path / "a.csv", "body\ntea\n")
    refused = playground.run("import", data, "--title", title, "--label-config", config, expected=2)
    assert "must have the column 'text', have body" in " ".join(refused.stderr.decode().split())
    assert title not in [project.title for project in playground.client.projects()]


def test_the_label_config_of_a_project_that_exists_is_not_another_one(playground: Playground, tmp_path: Path) -> None:
    known = playground.client.project(playground.project_id)
    config = write(tmp_path / "config.xml", known.label_config.replace('"no"', '"perhaps"'))
    data = write(tmp_path / "a.csv", "text\ntea\n")
    refused = playground.run("import", data, "--title", known.title, "--label-config", config, expected=2)
    assert f"project {known.id}" in " ".join(refused.stderr.decode().split())
    assert not playground.tasks()


def label_in(prediction: dict[str, Any]) -> str:
    return str(prediction["result"][0]["value"]["choices"][0])


def test_an_import_that_is_killed_goes_on_and_says_how_much_was_left(playground: Playground, tmp_path: Path) -> None:
    data = write(tmp_path / "a.csv", "text\n" + "".join(f"text {n}\n" for n in range(N_MANY)))
    command = playground.command("import", data, "--project", playground.project_id)
    with subprocess.Popen(command, env=playground.environment, stderr=subprocess.DEVNULL) as killed:
        while playground.client.count(playground.project_id, []) == 0:
            time.sleep(0.05)
            assert killed.poll() is None
        killed.kill()
    done = playground.run("import", data, "--project", playground.project_id, "--json")
    assert "an import of a.csv stopped at row" in done.stderr.decode()
    assert json.loads(done.stdout)["new"] < N_MANY
    assert len(playground.rows()) == playground.client.count(playground.project_id, []) == N_MANY


def test_two_imports_at_once_double_nothing(playground: Playground, tmp_path: Path) -> None:
    data = write(tmp_path / "a.csv", "text\n" + "".join(f"text {n}\n" for n in range(N_MANY // 2)))
    command = playground.command("import", data, "--project", playground.project_id)
    with subprocess.Popen(command, env=playground.environment, stderr=subprocess.DEVNULL) as other:
        playground.imported(data)
    assert other.returncode == 0
    assert playground.client.count(playground.project_id, []) == len(playground.rows()) == N_MANY // 2


def test_a_request_that_arrives_after_its_sender_was_given_up_is_deleted_once(
    playground: Playground, tmp_path: Path
) -> None:
    data = write(tmp_path / "a.csv", "id,text\n1,tea\n2,coffee\n")
    playground.imported(data)
    late = [{"text": "tea", "id": "1", ID_KEY: "1"}]
    playground.client.import_tasks(playground.project_id, late)
    (catalogue,) = playground.home.glob("moves/*/catalogue.sqlite3")
    with open_catalogue(catalogue, "text") as opened:
        opened.keep(mark=opened.note("high"), source="a.csv", place="row 2")
        opened.commit()
    assert playground.imported(data).doubles_removed == 1
    assert playground.rows() == {"1": 1, "2": 1}


def test_a_token_that_is_wrong_says_what_to_do(playground: Playground, tmp_path: Path) -> None:
    data = write(tmp_path / "a.csv", "text\ntea\n")
    settings = Settings(**{**playground.settings.model_dump(), "label_studio_token": SecretStr("0" * 40)})
    with pytest.raises(LabelStudioError, match="make a new personal access token and set PRELABEL_LABEL_STUDIO_TOKEN"):
        import_texts(data, project=playground.project_id, settings=settings)

"""describe as a person runs it: a draft, edited, approved, used."""

import json
from pathlib import Path
from typing import Any

import pytest

from backend.core.artefacts import read_manifest
from backend.labelstudio.schema import label_space
from tests.commands.test_files import prelabel, result, write_csv
from tests.training.material import examples_of

CONFIG = """<View>
  <Text name="text" value="$text"/>
  <!-- kept -->
  <Choices name="c" toName="text"><Choice value="cancel_order"/><Choice value="lost_card" hint="&quot;gone&quot;"/>
    <Choice value="Opening hours" alias="opening_hours"/><Choice value="other"/></Choices>
</View>
"""


@pytest.fixture(scope="module")
def home(models_dir: Path) -> Path:
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install 'prelabel[llm]'")
    return models_dir.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled texts and a label config."""
    made = tmp_path_factory.mktemp("describe")
    write_csv(made / "data.csv", [{"id": e.id, "text": e.text, "label": e.label} for e in examples_of(6)])
    (made / "config.xml").write_text(CONFIG, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def draft(home: Path, folder: Path) -> Path:
    out = folder / "draft.jsonl"
    config = folder / "config.xml"
    done = prelabel(home, "describe", folder / "data.csv", "--label-config", config, "--k", 2, "--out", out)
    assert f"prelabel train ... --descriptions {out}" in done.stdout
    return out


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def approved(draft: Path, folder: Path, **descriptions: str) -> Path:
    """The draft as a person leaves it."""
    edited = [
        {**line, "description": descriptions[line["label"]], "approved": True}
        if line["label"] in descriptions
        else line
        for line in lines(draft)
    ]
    path = folder / "edited.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in edited), encoding="utf-8")
    return path


def test_the_draft_has_a_line_for_each_label_and_nothing_is_approved(draft: Path) -> None:
    found = lines(draft)
    assert [line["label"] for line in found] == ["cancel_order", "lost_card", "opening_hours"]
    assert all(line["description"] for line in found)
    assert set(found[0]["differences"]) == {"lost_card", "opening_hours"}
    assert {(line["format"], line["approved"], line["made_by"]["k"]) for line in found} == {(1, False, 2)}
    assert {line["made_by"]["model"] for line in found} == {"SmolLM2-135M-Instruct.Q4_1"}


def test_the_same_material_gives_the_same_draft_and_marks_what_was_invented(
    home: Path, folder: Path, draft: Path
) -> None:
    arguments = ("describe", folder / "data.csv", "--label-config", folder / "config.xml", "--k", 2)
    assert result(prelabel(home, *arguments, "--json"))["descriptions"] == lines(draft)
    printed = prelabel(home, *arguments).stdout
    words = {word for line in lines(draft) for word in line["not_in_examples"]}
    assert all(f"*{word}*" in printed.lower() for word in words)
    assert printed.count("*") >= 2 * len(words)


def test_approved_lines_are_hints_in_training_and_hints_of_the_config_win(
    home: Path, folder: Path, draft: Path, tmp_path: Path
) -> None:
    edited = approved(draft, tmp_path, cancel_order="The order is to stop.", lost_card="Not this.")
    arguments = ("--label-config", folder / "config.xml", "--descriptions", edited, "--out", tmp_path / "m")
    prelabel(home, "train", folder / "data.csv", *arguments)
    labels = read_manifest(tmp_path / "m").labels.labels
    assert [label.hint for label in labels] == ["The order is to stop.", '"gone"', ""]


def test_as_hints_writes_the_config_with_what_is_approved_and_all_else_as_it_was(
    home: Path, folder: Path, draft: Path, tmp_path: Path
) -> None:
    edited = approved(draft, tmp_path, opening_hours='When a shop is "open" & <closed>.')
    arguments = ("describe", "--label-config", folder / "config.xml", "--approve", edited, "--as-hints")
    printed = prelabel(home, *arguments).stdout
    prelabel(home, *arguments, "--out", tmp_path / "out.xml")
    assert (tmp_path / "out.xml").read_text(encoding="utf-8") == printed
    before, after = label_space(CONFIG), label_space(printed)
    assert [label.hint for label in after.labels] == ["", '"gone"', 'When a shop is "open" & <closed>.']
    assert (after.values, after.oos_value) == (before.values, before.oos_value)
    assert "<!-- kept -->" in printed


BAD: list[tuple[str, list[str], str]] = [
    ("nothing to describe", [], "either --project, or DATA, --label-config or both must be given"),
    ("both", ["{data}", "--project", "7"], "either --project, or DATA, --label-config or both must be given"),
    ("approving for files", ["{data}", "--approve", "{draft}"], "--approve must go with --project"),
    ("hints of nothing", ["--label-config", "{config}", "--as-hints"], "--as-hints must go with"),
    ("a language", ["{data}", "--language", "xx"], "--language must be a code of ISO 639"),
    ("a table", ["{data}", "--out", "{tmp}/o.csv"], "--out must end in .jsonl"),
    ("over what was edited", ["{data}", "--out", "{draft}"], "may hold what a person edited; name another"),
    ("no such model", ["{data}", "--model", "{tmp}/gone.gguf"], "must lie at {tmp}/gone.gguf, which is missing"),
    ("no file of lines", ["--label-config", "{config}", "--approve", "{tmp}/x", "--as-hints"], "must be a file"),
    ("nothing approved", ["--label-config", "{config}", "--approve", "{draft}", "--as-hints"], "none is; read and"),
    ("not connected", ["--project", "7", "--approve", "{draft}"], "project must be connected"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_ends_with_2_and_one_line_that_helps(
    arguments: list[str], message: str, home: Path, folder: Path, draft: Path, tmp_path: Path
) -> None:
    places = {"tmp": tmp_path, "data": folder / "data.csv", "config": folder / "config.xml", "draft": draft}
    done = prelabel(home, "describe", *(argument.format(**places) for argument in arguments), expected=2)
    assert message.format(**places) in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []

"""A project's key never becomes a path by itself; its settings and its current version say so when they are wrong."""

from pathlib import Path

import pytest

from backend.core.errors import BadInputError
from backend.core.projects import (
    ProjectFolder,
    ProjectKey,
    ProjectSettings,
    config_hash,
    is_blind,
    project_folder,
    showing_rank,
)

NOT_KEYS = [
    ("empty", ""),
    ("id alone", "84"),
    ("words", "abc"),
    ("a path", "../../etc"),
    ("a key with a path", "84.1795230264/../../etc"),
    ("a key with a line break", "84.1795230264\n"),
    ("three parts", "84.17.95"),
    ("negative", "-84.1795230264"),
    ("a fraction of a second", "84.1795230264.5"),
    ("more digits than an integer column holds", f"{'9' * 19}.1795230264"),
    ("spaces", " 84.1795230264"),
]


@pytest.mark.parametrize("text", [row[1] for row in NOT_KEYS], ids=[row[0] for row in NOT_KEYS])
def test_what_is_not_a_key_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="two integers"):
        ProjectKey.parse(text)
    with pytest.raises(BadInputError):
        project_folder(tmp_path, text)


def test_a_key_is_read_in_both_spellings_and_written_in_ours() -> None:
    assert ProjectKey.parse("84.1795230264") == ProjectKey.parse("84-1795230264") == ProjectKey(84, 1795230264)
    assert str(ProjectKey(84, 1795230264)) == "84-1795230264"
    assert str(ProjectKey.parse("0084.1795230264")) == "84-1795230264", "one project, one folder"


@pytest.mark.parametrize("created_at", ["2026-11-21T03:04:24.589051Z", "2026-11-21T06:04:24+03:00"])
def test_the_api_and_the_protocol_name_the_same_project(created_at: str) -> None:
    assert ProjectKey.of(84, created_at) == ProjectKey.parse("84.1795230264")


def test_a_missing_settings_file_means_the_defaults(tmp_path: Path) -> None:
    assert ProjectFolder(tmp_path).settings() == ProjectSettings()


def test_a_settings_file_changes_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('oos_label = "другое"\nblind_share = 0\nhead = 10\n', encoding="utf-8")
    settings = ProjectFolder(tmp_path).settings()
    assert (settings.oos_label, settings.blind_share, settings.head) == ("другое", 0, 10)
    assert settings.min_labels == ProjectSettings().min_labels


BAD_SETTINGS = [
    ("not TOML", b"head = ", "must be TOML"),
    ("not UTF-8", b'language = "\xff"', "must be TOML"),
    ("an unknown name", b"heads = 10", "must hold known settings .* has 'heads'"),
    ("a word for a number", b'head = "many"', "head must be of type int, was 'many'"),
    ("a fraction for a count", b"head = 1.5", "head must be of type int, was 1.5"),
    ("a number for a word", b"language = 1", "language must be of type str"),
    ("a number for a name", b"renamed = {refund = 7}", "renamed must name a label for 'refund'"),
    ("a word for words", b'keywords = {cancel = "stop"}', "keywords of 'cancel' must be a list of words"),
    ("a word that matches everything", b'keywords = {cancel = ["*"]}', "must be a list of words"),
    ("a word for a switch", b'train_on_bulk = "no"', "train_on_bulk must be of type bool"),
    ("an order that there is none of", b'order = "newest"', "order must be one of auto, .* random, was 'newest'"),
    ("a switch for a share", b"blind_share = true", "blind_share must be of type float, was True"),
    ("a switch for a count", b"head = true", "head must be of type int, was True"),
]


@pytest.mark.parametrize(
    ("content", "message"), [row[1:] for row in BAD_SETTINGS], ids=[row[0] for row in BAD_SETTINGS]
)
def test_a_wrong_settings_file_says_what_is_wrong(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(content)
    with pytest.raises(BadInputError, match=message):
        ProjectFolder(tmp_path).settings()


def test_only_a_published_version_becomes_current(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path)
    folder.artefact("pl-0-0123abcd").mkdir(parents=True)
    assert folder.current() == ""
    folder.switch("pl-0-0123abcd")
    assert folder.current() == "pl-0-0123abcd"
    with pytest.raises(BadInputError, match=r"published one \(pl-0-0123abcd\)"):
        folder.switch("pl-20260101T000000Z-ffffffff")
    assert folder.current() == "pl-0-0123abcd"


SERVED = [
    ("nothing was published", "", ""),
    ("the first", "a", ""),
    ("a second one", "a b", "a"),
    ("two cold ones and a trained one", "cold1 cold2 t1", "cold2"),
    ("rolled back once", "cold1 cold2 t1 <", "cold1"),
    ("rolled back twice", "cold1 cold2 t1 < <", ""),
    ("trained again after going back", "cold1 cold2 t1 < t2", "cold2"),
    ("a config that was changed back", "cold1 cold2 cold1", "cold2"),
    ("the same one again", "a b b", "a"),
    ("back to one by name", "a b c <a", ""),
    ("on to one that was left", "a b < b", "a"),
    ("one of them was deleted since", "a b c -b", "a"),
]


@pytest.mark.parametrize(("steps", "before"), [row[1:] for row in SERVED], ids=[row[0] for row in SERVED])
def test_the_version_before_is_the_one_that_really_served_before(steps: str, before: str, tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path)
    for step in steps.split():
        name = step.lstrip("<-")
        if step.startswith("-"):
            folder.artefact(name).rmdir()
        elif step.startswith("<"):
            folder.go_back(name or folder.previous())
        else:
            folder.artefact(name).mkdir(parents=True, exist_ok=True)
            folder.switch(name)
    assert folder.previous() == before


def test_a_switch_that_was_cut_off_changes_nothing_of_what_served_before(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path)
    for name in ("a", "b", "c"):
        folder.artefact(name).mkdir(parents=True)
        folder.switch(name)
    folder.current_file.write_text("b\n")  # as if the process had ended between the two files
    assert folder.previous() == "a"


def test_a_folder_of_an_earlier_prelabel_knows_what_serves_and_remembers_from_then_on(
    tmp_path: Path,
) -> None:
    folder = ProjectFolder(tmp_path)
    for name in ("a", "b"):
        folder.artefact(name).mkdir(parents=True)
    folder.current_file.write_text("a\n")
    assert folder.previous() == ""
    folder.switch("b")
    assert folder.previous() == "a"


@pytest.mark.parametrize("version", ["", ".", "..", "../../etc", "a/b", "pl 1", "pl-1\n"])
def test_a_version_is_never_a_path(version: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="letters, digits and dashes"):
        ProjectFolder(tmp_path).artefact(version)


def test_versions_are_listed_oldest_first_without_those_being_written(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path)
    assert folder.versions() == []
    for name in ("pl-20270101T000000Z-a", "pl-20260101T000000Z-f", "pl-0-eeee", ".pl-20280101T000000Z-a-xyz"):
        (tmp_path / "artefacts" / name).mkdir(parents=True)
    assert folder.versions() == ["pl-0-eeee", "pl-20260101T000000Z-f", "pl-20270101T000000Z-a"]


def test_the_blind_share_is_kept_and_never_changes() -> None:
    blind = [task for task in range(20_000) if is_blind("84-1", task, 0.03)]
    assert 0.025 < len(blind) / 20_000 < 0.035
    assert blind == [task for task in range(20_000) if is_blind("84-1", task, 0.03)]
    assert set(blind) <= {task for task in range(20_000) if is_blind("84-1", task, 0.06)}, "a larger share adds"
    assert not any(is_blind("84-1", task, 0.0) for task in range(1000))
    assert all(is_blind("84-1", task, 1.0) for task in range(1000))


def test_the_order_of_blind_tasks_does_not_follow_from_their_being_blind() -> None:
    ranks = [showing_rank("84-1", task) for task in range(20_000) if is_blind("84-1", task, 0.03)]
    assert 0.45 < sum(ranks) / len(ranks) < 0.55


def test_versions_are_made_anew_where_a_project_lets_its_texts_out_or_no_longer_does() -> None:
    kept, let_out = (config_hash("<View/>", ProjectSettings(allow_egress=allowed), ()) for allowed in (False, True))
    assert kept != let_out

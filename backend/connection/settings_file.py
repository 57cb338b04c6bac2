"""A project's settings.toml as `connect` writes it: every entry with its meaning, for a person to edit."""

from collections.abc import Mapping
from dataclasses import fields

import tomlkit

from backend.core.artefacts import write_atomically
from backend.core.projects import SETTINGS_FILE, ProjectFolder, ProjectSettings

HEAD = "# Settings of one project. Everything may be left out, and is then as prelabel has it.\n"
MEANINGS: Mapping[str, str] = {  # of every entry of ProjectSettings, in words for the people who edit the file
    "profile": 'models and parameters; "" takes the backend\'s own',
    "language": 'code of ISO 639, as "de", or "mixed"; "" detects it from the texts',
    "control": "the Choices to serve, where the label config has several",
    "oos_label": 'the choice that means "none of these"; "auto" guesses, "" says there is none',
    "blind_share": "of the open tasks get no pre-label, so that promises are measured fairly",
    "order": 'of showing: "auto", "uncertain", "typical" or "random"; score and head follow it',
    "head": "tasks at the head of the label stream that follow each accepted label",
    "train_on_bulk": "whether labels that were accepted in bulk train",
    "target_precision": "e.g. 0.98: what blind labels promise to be so right is accepted; 0: nothing",
    "auto_accept": 'how: "mark" (prelabel_auto in the task\'s data), or "annotation"',
    "train_on_auto": "whether such annotations train",
    "allow_egress": "whether its texts may go to a language model beyond this machine",
    "llm_tokens_a_day": "that language models may take for it, in a day of UTC; 0: without a limit",
    "llm_minutes_a_day": "the same of their time",
    "llm_cost_a_day": "the same of money, by the profile's prices",
    "min_labels": "labels before the first training",
    "growth": "share of new labels that makes a retraining worth it",
    "quiet_s": "seconds without an event before a retraining starts",
    "patience_s": "a retraining that is due waits no longer than this for quiet",
    "small": "up to so many labels the project counts as small",
    "small_interval_s": "seconds between two trainings of a small project",
    "large_interval_s": "and of a large one",
    "keywords": "words that speak for a label, in any case, also c++ or №; with a star, beginnings of words",
    "renamed": 'labels of older annotations and what they are called now; "" drops them',
}
EXAMPLES: Mapping[str, str] = {  # of the tables, which are empty
    "keywords": 'cancel_order = ["cancel*", "call off"]',
    "renamed": 'refund = "money_back"',
}
ENTRY_WIDTH = 28  # so that the meanings stand below each other


def write_project_settings(folder: ProjectFolder) -> None:
    """Write the file with every default where there is none; a person's file stays as it is."""
    path = folder.root / SETTINGS_FILE
    if not path.exists():
        write_atomically(path, settings_text())


def settings_text() -> str:
    """Every entry with its default and its meaning; tables, which TOML wants last, as examples."""
    defaults = ProjectSettings()
    names = [field.name for field in fields(ProjectSettings)]
    entries = [_entry(name, getattr(defaults, name)) for name in names if name not in EXAMPLES]
    tables = [f"\n{_line(f'# [{name}]', MEANINGS[name])}# {EXAMPLES[name]}\n" for name in names if name in EXAMPLES]
    return "".join([HEAD, *entries, *tables])


def _entry(name: str, value: str | bool | int | float) -> str:
    return _line(f"{name} = {tomlkit.item(value).as_string()}", MEANINGS[name])


def _line(entry: str, meaning: str) -> str:
    return f"{entry:<{ENTRY_WIDTH}}  # {meaning}\n"


def change_project_settings(folder: ProjectFolder, given: Mapping[str, str]) -> None:
    """Set entries of the file; all others, and a person's comments, stay as they are.

    Raises:
        BadInputError: the file is not TOML.
    """
    path = folder.root / SETTINGS_FILE
    before = folder.settings()
    changed = {name: value for name, value in given.items() if getattr(before, name) != value}
    if not changed:
        return
    document = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else "")
    document.update(changed)
    write_atomically(path, tomlkit.dumps(document))

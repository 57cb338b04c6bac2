"""A project's settings.toml as `connect` writes it: every entry with its meaning, for a person to edit."""

from collections.abc import Mapping

import tomlkit

from backend.core.artefacts import write_atomically
from backend.core.projects import SETTINGS_FILE, ProjectFolder, ProjectSettings

TEMPLATE = """\
# Settings of one project. Everything may be left out; the default stands behind the #.
profile = {profile}                 # models and parameters; "" takes the backend's own
language = {language}               # "en", "ru" or "mixed"; "" detects it from the texts
control = ""                        # the Choices to serve, where the label config has several
oos_label = {oos_label}             # the choice that means "none of these"; "auto" guesses, "" says there is none
blind_share = {blind_share}         # of the open tasks get no pre-label, so that promises are measured fairly
head = {head}                       # tasks at the head of the label stream that follow each accepted label
train_on_bulk = {train_on_bulk}     # whether labels accepted in bulk train

target_precision = {target_precision}  # e.g. 0.98: what blind labels promise to be so right is accepted; 0: nothing
auto_accept = "mark"                # how: "mark" (prelabel_auto in the task's data), or "annotation"
train_on_auto = false               # whether such annotations train

# [renamed]                         # labels of older annotations and what they are called now; "" drops them
# refund = "money_back"

# [keywords]                        # words that speak for a label; with a star, the beginnings of words
# cancel_order = ["cancel*", "call off"]
"""


def write_project_settings(folder: ProjectFolder) -> None:
    """Write the file with every default where there is none; a person's file stays as it is."""
    path = folder.root / SETTINGS_FILE
    if path.exists():
        return
    defaults = ProjectSettings()
    text = TEMPLATE.format(
        profile=_quoted(defaults.profile),
        language=_quoted(defaults.language),
        oos_label=_quoted(defaults.oos_label),
        blind_share=defaults.blind_share,
        head=defaults.head,
        target_precision=defaults.target_precision,
        train_on_bulk=str(defaults.train_on_bulk).lower(),
    )
    write_atomically(path, text)


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


def _quoted(value: str) -> str:
    """A TOML basic string."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

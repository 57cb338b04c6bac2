"""A project's folder in the state: its key, its settings, its models and which of them is current.

The file `current` is the truth about the version that serves; readers look at its mtime before each answer.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from backend.core.artefacts import oldest_first, remove, unfinished, unpublished, write_atomically
from backend.core.descriptions import Description, descriptions_from
from backend.core.errors import BadInputError
from backend.core.languages import checked_language
from backend.core.spending import Spend

KEY = re.compile(r"(\d{1,18})[.-](\d{1,18})")
UNCONFIGURED = "pl-unconfigured"  # the version of a project whose label config cannot be served
SETTINGS_FILE = "settings.toml"
CONTROL_FILE = "control"
SERVED_FILE = "served"
SERVED_KEPT = 100  # versions that are remembered as having served
DESCRIPTIONS_FILE = "descriptions.jsonl"
AUTO_ACCEPT = ("mark", "annotation")
ORDERS = ("auto", "uncertain", "typical", "random")
LIMITS = {
    "blind_share": 1.0,
    "target_precision": 0.999,
    "growth": 10.0,
    "head": 500,
}  # largest value; others end nowhere


@dataclass(frozen=True, slots=True)
class ProjectKey:
    """`<id>-<created unix>`: Label Studio uses ids again after a reset, so the id alone does not name a project."""

    id: int
    created: int  # seconds since 1970, UTC

    def __str__(self) -> str:
        return f"{self.id}-{self.created}"

    @classmethod
    def parse(cls, text: str) -> "ProjectKey":
        """From our own spelling or Label Studio's (with a dot).

        Raises:
            BadInputError: not two integers.
        """
        match = KEY.fullmatch(text)
        if match is None:
            raise BadInputError("project must be <id>.<created unix>, two integers")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, project_id: int, created_at: str) -> "ProjectKey":
        """From an id and an ISO 8601 time, as the API gives them."""
        return cls(project_id, int(datetime.fromisoformat(created_at).timestamp()))


def way_to_train(project_id: int, *, pinned: bool, frozen: bool) -> str:
    """The commands that make and serve a new version, whoever holds the present one."""
    project = f"--project {project_id}"
    unpin = [f"prelabel unpin {project}"] if pinned else []
    thaw = [f"prelabel freeze {project} --off"] if frozen else []
    return ", then ".join([*unpin, *thaw, f"prelabel retrain {project}"])


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """What a project may decide for itself, in its settings.toml. A missing entry has the default below."""

    profile: str = ""  # empty: the backend's own
    language: str = ""  # a code of ISO 639, or "mixed"; empty: detected from the texts
    control: str = ""  # the Choices to serve, where the config has several
    oos_label: str = "auto"  # the choice that means "none of these"; "auto" guesses from its name, "" says none
    blind_share: float = 0.03  # of the open tasks: no pre-label, so that promises are measured on unbiased labels
    order: str = "auto"  # of showing; "auto": typical texts before the first labels, then the least certain
    head: int = 50  # tasks at the head of the label stream that follow each accepted label
    train_on_bulk: bool = True  # whether labels that were accepted in bulk train (they never calibrate or count)
    target_precision: float = 0.0  # of labels accepted without a person, where blind labels promise it; 0: none are
    auto_accept: str = "mark"  # "mark": a filterable key in the task's data; "annotation": by the token's account
    train_on_auto: bool = False  # whether such annotations train (they never calibrate or count)
    allow_egress: bool = False  # whether its texts may go to a voter on a server beyond this machine
    llm_tokens_a_day: int = 0  # that language models may take for it, in a day of UTC; 0: without a limit
    llm_minutes_a_day: float = 0.0  # the same of their time
    llm_cost_a_day: float = 0.0  # the same of money, by the profile's prices
    min_labels: int = 10  # labels before the first training
    growth: float = 0.1  # share of new labels that makes a retraining worth it
    quiet_s: float = 5.0  # no event for so long before a retraining starts
    patience_s: float = 30.0  # a retraining that is due waits no longer than this for quiet
    small: int = 500  # up to so many labels the project counts as small
    small_interval_s: float = 20.0  # between two trainings of a small project
    large_interval_s: float = 300.0  # and of a large one
    keywords: Mapping[str, Sequence[str]] = field(default_factory=dict)  # label -> words; "cancel*" is a beginning
    renamed: Mapping[str, str] = field(default_factory=dict)  # a label that was -> what it is called now; "": dropped

    @property
    def llm_limits(self) -> Spend:
        """A day's, of its language models."""
        return Spend(self.llm_tokens_a_day, 60 * self.llm_minutes_a_day, self.llm_cost_a_day)


@dataclass(frozen=True, slots=True)
class ProjectFolder:
    """$PRELABEL_HOME/projects/<key>."""

    root: Path

    @property
    def key(self) -> str:
        return self.root.name

    @property
    def exists(self) -> bool:
        return self.root.is_dir()

    @property
    def current_file(self) -> Path:
        return self.root / "current"

    def artefact(self, version: str) -> Path:
        if not re.fullmatch(r"[A-Za-z0-9-]+", version):
            raise BadInputError(f"version must hold letters, digits and dashes, was {version!r}")
        return self.root / "artefacts" / version

    def report(self, version: str) -> Path:
        """The page that says how good a version is; it shows texts, and is there once the version was judged."""
        return self.root / "reports" / self.artefact(version).name / "report.html"

    def versions(self) -> list[str]:
        """Published versions, oldest first: the cold one sorts before all others."""
        folder = self.root / "artefacts"
        found = [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
        return sorted(found, key=oldest_first)

    def current(self) -> str:
        """The version that serves; empty where none was published yet."""
        try:
            return self.current_file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""

    def switch(self, version: str) -> None:
        """Make a published version current, and remember which one served before it.

        Raises:
            BadInputError: it was never published, or is gone.
        """
        self._make_current(version, [*self._served(), version])

    def go_back(self, version: str) -> None:
        """Make a version current that served before; those that served after it are none to go back to.

        Raises:
            BadInputError: it was never published, or is gone.
        """
        served = self._served()
        if version not in served:
            return self.switch(version)
        last = len(served) - 1 - served[::-1].index(version)
        return self._make_current(version, served[: last + 1])

    def previous(self) -> str:
        """The last of `earlier`; empty for none."""
        return next(iter(self.earlier()), "")

    def earlier(self) -> list[str]:
        """The versions that served before the current one and are still published; the last one first."""
        current, published = self.current(), set(self.versions())
        before = dict.fromkeys(version for version in reversed(self._served()) if version != current)
        return [version for version in before if version in published]

    def _make_current(self, version: str, served: Sequence[str]) -> None:
        if not self.artefact(version).is_dir():
            known = ", ".join(self.versions()) or "none"
            raise BadInputError(f"version must be a published one ({known}), was {version!r}")
        names = [name for name, _ in groupby(served)][-SERVED_KEPT:]
        write_atomically(self.root / SERVED_FILE, "".join(f"{name}\n" for name in names))
        write_atomically(self.current_file, version + "\n")

    def _served(self) -> list[str]:
        """The versions that served, one after the other, up to the current one."""
        try:
            names = (self.root / SERVED_FILE).read_text(encoding="utf-8").split()
        except FileNotFoundError:  # a folder of an earlier prelabel
            names = []
        current = self.current()
        while current in names[:-1] and names[-1] != current:  # written by who was killed before it switched
            names.pop()
        return names if current in ("", *names[-1:]) else [*names, current]

    def discard(self, version: str) -> None:
        """Remove a published version at once, also where it is large."""
        aside = self.artefact(version).with_name(f".{version}-discarded")
        self.artefact(version).rename(aside)
        remove(aside)

    def unfinished(self) -> list[Path]:
        """What killed processes have left half-written."""
        return [*unfinished(self.root), *unpublished(self.root / "artefacts")]

    def remove_unfinished(self) -> None:
        """Remove what killed processes have left half-written."""
        for path in self.unfinished():
            remove(path)

    def remember_control(self, name: str) -> None:
        """Keep the control that Label Studio named in /setup: /predict and the jobs are not told it again."""
        if name != self._named_control():
            write_atomically(self.root / CONTROL_FILE, name + "\n")

    def _named_control(self) -> str:
        try:
            return (self.root / CONTROL_FILE).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""

    def descriptions(self) -> tuple[Description, ...]:
        """Of labels, all of them approved.

        Raises:
            BadInputError: the file was changed into something else.
        """
        try:
            text = (self.root / DESCRIPTIONS_FILE).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ()
        except UnicodeDecodeError as err:
            raise BadInputError(f"projects/{self.key}/{DESCRIPTIONS_FILE} must be UTF-8; approve a file again") from err
        return descriptions_from(text, where=f"projects/{self.key}/{DESCRIPTIONS_FILE}")

    def keep_descriptions(self, approved: Sequence[Description]) -> None:
        """Replace those that were approved before.

        Raises:
            StateError: there is no room, or no right to write.
        """
        lines = (f"{description.to_json()}\n" for description in approved)
        write_atomically(self.root / DESCRIPTIONS_FILE, "".join(lines))

    def settings(self) -> ProjectSettings:
        """Raises BadInputError where settings.toml is not TOML, or holds an entry or type that does not exist."""
        where = f"projects/{self.key}/{SETTINGS_FILE}"  # annotators may read it: the state's path is not theirs
        try:
            raw = tomllib.loads((self.root / SETTINGS_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raw = {}
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
            raise BadInputError(f"{where} must be TOML; {err}") from err
        settings = _checked(raw, where)
        return settings if settings.control else replace(settings, control=self._named_control())


def checked_settings(given: Mapping[str, Any], before: ProjectSettings) -> ProjectSettings:
    """Settings with some entries changed.

    Raises:
        BadInputError: an entry that the settings file may not hold.
    """
    _checked(dict(given), "the options")
    return replace(before, **given)


def _checked(raw: dict[str, Any], where: str) -> ProjectSettings:
    known = {field.name: type(getattr(ProjectSettings(), field.name)) for field in fields(ProjectSettings)}
    for name, value in raw.items():
        if name not in known:
            raise BadInputError(f"{where} must hold known settings ({', '.join(known)}), has {name!r}")
        if type(value) is not known[name] and not (known[name] is float and type(value) is int):
            raise BadInputError(f"{where}: {name} must be of type {known[name].__name__}, was {value!r}")
        if isinstance(value, int | float) and not 0 <= value <= LIMITS.get(name, float("inf")):
            raise BadInputError(f"{where}: {name} must be in [0, {LIMITS.get(name, 'any')}], was {value}")
    language = checked_language(raw.get("language", ""), f"{where}: language")
    if raw.get("auto_accept", "mark") not in AUTO_ACCEPT:
        raise BadInputError(f"{where}: auto_accept must be one of {', '.join(AUTO_ACCEPT)}, was {raw['auto_accept']!r}")
    if raw.get("order", "auto") not in ORDERS:
        raise BadInputError(f"{where}: order must be one of {', '.join(ORDERS)}, was {raw['order']!r}")
    for label, now in raw.get("renamed", {}).items():
        if not isinstance(now, str):
            raise BadInputError(f'{where}: renamed must name a label for {label!r}, or "" for none, was {now!r}')
    for label, words in raw.get("keywords", {}).items():
        if not isinstance(words, list) or not all(isinstance(word, str) and word.strip("* ") for word in words):
            raise BadInputError(f"{where}: keywords of {label!r} must be a list of words, was {words!r}")
    return ProjectSettings(**{**raw, "language": language})


def project_folder(projects_dir: Path, key: str) -> ProjectFolder:
    """The folder of a key, which is parsed first and never used raw in a path."""
    return ProjectFolder(projects_dir / str(ProjectKey.parse(key)))


def config_hash(label_config: str, settings: ProjectSettings, descriptions: Sequence[Description]) -> str:
    """What a project's versions are made of besides its labels: where it changes, they are made anew."""
    parts = [label_config, settings.profile, settings.language, settings.control, settings.oos_label]
    rules = {label: list(words) for label, words in settings.keywords.items()}
    made_of = [*parts, rules, dict(settings.renamed), *(["egress"] if settings.allow_egress else [])]
    if settings.order != ORDERS[0]:  # no other prediction, but other scores
        made_of.append({"order": settings.order})
    if descriptions:
        made_of.append({each.label: each.description for each in descriptions})
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]


def is_blind(key: str, task_id: int, share: float) -> bool:
    """Whether a task is among the share that gets no pre-label; by hash, so for ever the same."""
    digest = hashlib.sha256(f"{key}/{task_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def showing_rank(key: str, task_id: int) -> float:
    """A task's place in an order of showing at random, 0-1, independent of its text and for ever the same."""
    digest = hashlib.sha256(f"rank/{key}/{task_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64

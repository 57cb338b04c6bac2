"""What somebody who mends a bug needs to know of an installation: versions, settings, doctor's findings, log lines.

Holds no text, no label and no secret: of faults the kind alone, of settings whether a secret is set, of logs only
lines of ours, which never hold them.
"""

import json
import platform
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from backend.connection.doctor.check import BROKEN, broken
from backend.connection.doctor.examination import desk_of_doctor, examine_all
from backend.core.code_version import code_version
from backend.core.package_index import without_credentials
from backend.core.projects import ProjectSettings
from backend.core.settings import Settings
from backend.logs import without_values
from backend.loop.desk import Desk

FORMAT = 1
LAST_LINES = 200  # of each log
OURS = ("web", "worker-*", "cron")  # logs of JSON lines; Label Studio's and the queue's are theirs
SUPERVISOR_LOG = "supervisor.log"
PERSONAL = frozenset({"label_studio_email"})
LIBRARIES = (
    "label-studio-sdk", "torch", "onnxruntime", "faiss-cpu", "sentence-transformers", "llama-cpp-python", "rq", "redis",
    "sqlalchemy", "flask", "gunicorn", "numpy", "scikit-learn",
)  # fmt: skip
HIDDEN = "(secret)"
SECRET_CHARACTERS = 6  # a shorter one is no secret, and stands in many a word


def bug_report(settings: Settings) -> Mapping[str, Any]:
    """Everything, as JSON's values; what cannot be looked at is told, and hides nothing else."""
    with desk_of_doctor(settings) as desk:
        found = {
            "format": FORMAT,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": _versions(),
            "settings": _settings(settings),
            "doctor": _or_why(lambda: _doctor(desk)),
            "projects": _or_why(lambda: _projects(desk)),
            "logs": _logs(settings.home / "logs"),
        }
    without: Mapping[str, Any] = json.loads(_without_secrets(json.dumps(found, ensure_ascii=False), settings))
    return without


def _versions() -> Mapping[str, Any]:
    libraries = {name: _version(name) for name in LIBRARIES}
    system = {"python": platform.python_version(), "system": platform.platform(), "machine": platform.machine()}
    return {"prelabel": code_version(), **system, **libraries}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _settings(settings: Settings) -> Mapping[str, Any]:
    return {name: _told(name, getattr(settings, name)) for name in sorted(type(settings).model_fields)}


def _told(name: str, value: object) -> object:
    if isinstance(value, SecretStr) or name in PERSONAL:
        return "set" if str(value) else "empty"
    return without_credentials(str(value)) if isinstance(value, str | Path) else value


def _doctor(desk: Desk) -> list[Mapping[str, Any]]:
    """Each check and the kind of its fault: findings may name projects and labels."""
    results = examine_all(desk)
    return [
        {"project": each.project or None, "check": each.name, "ok": each.ok, "fault": each.fault or None}
        for each in results
    ]


def _projects(desk: Desk) -> list[Mapping[str, Any]]:
    return [_project(desk, key) for key in desk.ledger.project_keys()]


def _project(desk: Desk, key: str) -> Mapping[str, Any]:
    folder, row = desk.loader.folder(key), desk.ledger.project(key)
    settings, defaults = folder.settings(), ProjectSettings()
    numbers = {
        each.name: value
        for each in fields(ProjectSettings)
        if isinstance(value := getattr(settings, each.name), int | float) and value != getattr(defaults, each.name)
    }
    state = {"frozen": row.frozen, "pinned": bool(row.pinned), "push_only": row.push_only} if row else {}
    trainings = len(desk.ledger.trainings(key))
    return {"key": key, "version": folder.current(), "n_trainings": trainings, **state, "settings": numbers}


def _logs(folder: Path) -> Mapping[str, Any]:
    paths = sorted(path for name in OURS for path in folder.glob(f"{name}.log"))
    found: dict[str, Any] = {path.name: list(_lines(path)) for path in paths}
    supervisor = folder / SUPERVISOR_LOG
    if supervisor.is_file():
        found[SUPERVISOR_LOG] = [_without_what_was_said(line) for line in _last(supervisor)]
    return found


def _lines(path: Path) -> Iterator[Any]:
    for line in _last(path):
        try:
            told = json.loads(line)
        except ValueError:  # a library's own words, or a traceback
            continue
        if isinstance(told, dict):
            yield told


def _last(path: Path) -> list[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        return [line.rstrip("\n") for line in deque(file, LAST_LINES)]


def _without_what_was_said(line: str) -> str:
    """A supervisor's line without the last words of the process that ended."""
    return without_values(line.partition(" (")[0])


def _without_secrets(text: str, settings: Settings) -> str:
    """The net below all this: no value of a secret, wherever it may have slipped in."""
    for secret in _secrets(settings):
        if len(secret) >= SECRET_CHARACTERS:
            text = text.replace(json.dumps(secret, ensure_ascii=False)[1:-1], HIDDEN)
    return text


def _secrets(settings: Settings) -> Iterator[str]:
    """Each secret, and of those that are addresses the password too."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
            yield urlsplit(value.get_secret_value()).password or ""


def _or_why(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except BROKEN as err:
        return {"not_seen": without_values(broken(err))}

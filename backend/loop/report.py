"""The report of each training of a project: it shows texts, so it stays in the project's folder."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import structlog

from backend.core.artefacts import read_manifest
from backend.core.errors import StateError
from backend.core.projects import ProjectFolder
from backend.logs import told
from backend.loop.desk import ProjectDesk
from training.curve import Point, outlook
from training.judge import Judged, read_judged
from training.report import METRICS, Report, write_report

log = structlog.get_logger()


def report_newest(work: ProjectDesk) -> None:
    """Write the report of the version that was trained last, where it was judged; a full disk is logged.

    Seconds of work that nobody waits for: the version serves already.
    """
    folder, version = work.folder, work.folder.versions()[-1]
    manifest, rows = read_manifest(folder.artefact(version)), read_judged(folder.artefact(version))
    if not rows or folder.report(version).exists():
        return
    title = f"{work.id} {work.project.title}".strip()
    judged = Judged(manifest.judged_on, [row.example for row in rows], [row.outcome for row in rows])
    metrics = {**manifest.metrics, "n_trained": float(manifest.data.n_examples)}
    n_labels = manifest.data.n_examples
    own = Point.of(n_labels, metrics["accuracy"], len(rows))
    curve = [*_earlier(folder, manifest.version, n_labels), own]
    try:
        write_report(folder.report(manifest.version).parent, Report(title, manifest, judged, metrics, curve))
    except StateError as err:
        log.warning("report_not_written", version=manifest.version, **told(err))


def told_outlook(folder: ProjectFolder) -> str:
    """What the next labels should bring, by what each version had; empty where that is not known."""
    versions = folder.versions()
    return outlook(_earlier(folder, versions[-1] + "~", sys.maxsize)) if versions else ""


def _earlier(folder: ProjectFolder, before: str, below: int) -> list[Point]:
    """One point for each number of labels that versions before one had, ascending."""
    points = {
        point.n_labels: point
        for version in folder.versions()
        if version < before
        for point in _point(folder.report(version).with_name(METRICS))
    }
    return [points[n] for n in sorted(points) if n < below]


def _point(path: Path) -> Iterator[Point]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return
    yield Point.of(int(found["n_trained"]), found["accuracy"], int(found["n"]))

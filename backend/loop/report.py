"""The report of each training of a project: it shows texts, so it stays in the project's folder."""

import json
from collections.abc import Iterator
from pathlib import Path

import structlog

from backend.core.artefacts import Manifest
from backend.core.errors import StateError
from backend.core.projects import ProjectFolder
from backend.logs import told
from training.curve import Point
from training.judge import Judged, read_judged
from training.report import METRICS, Report, write_report

log = structlog.get_logger()


def report_training(folder: ProjectFolder, manifest: Manifest, title: str) -> None:
    """Write it; a full disk keeps no version from serving."""
    rows = read_judged(folder.artefact(manifest.version))
    if not rows:
        return
    judged = Judged(manifest.judged_on, [row.example for row in rows], [row.outcome for row in rows])
    metrics = {**manifest.metrics, "n_trained": float(manifest.data.n_examples)}
    curve = [*_earlier(folder, manifest), Point.of(manifest.data.n_examples, metrics["accuracy"], len(rows))]
    try:
        write_report(folder.report(manifest.version).parent, Report(title, manifest, judged, metrics, curve))
    except StateError as err:
        log.warning("report_not_written", version=manifest.version, **told(err))


def _earlier(folder: ProjectFolder, manifest: Manifest) -> list[Point]:
    """One point for each number of labels that earlier versions had, ascending."""
    points = {
        point.n_labels: point
        for version in folder.versions()
        if version < manifest.version
        for point in _point(folder.report(version).with_name(METRICS))
    }
    return [points[n] for n in sorted(points) if n < manifest.data.n_examples]


def _point(path: Path) -> Iterator[Point]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return
    yield Point.of(int(found["n_trained"]), found["accuracy"], int(found["n"]))

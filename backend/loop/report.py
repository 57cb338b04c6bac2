"""The report of each training of a project: it shows texts, so it stays in the project's folder."""

import json
from collections.abc import Iterable, Iterator
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
    own = Point.of(n_labels, metrics["accuracy"], len(rows), manifest.judged_on)
    before = _points(folder, [name for name in folder.versions() if name < manifest.version])
    curve = [*(point for point in before if point.n_labels < n_labels), own]
    try:
        write_report(folder.report(manifest.version).parent, Report(title, manifest, judged, metrics, curve))
    except StateError as err:
        log.warning("report_not_written", version=manifest.version, **told(err))


def told_outlook(folder: ProjectFolder) -> str:
    """What the next labels should bring, by what each version had; empty where that is not known."""
    return outlook(_points(folder, folder.versions()))


def _points(folder: ProjectFolder, versions: Iterable[str]) -> list[Point]:
    """One point for each number of labels that these versions had, ascending."""
    points = {
        point.n_labels: point for version in versions for point in _point(folder.report(version).with_name(METRICS))
    }
    return [points[n] for n in sorted(points)]


def _point(path: Path) -> Iterator[Point]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return
    yield Point.of(int(found["n_trained"]), found["accuracy"], int(found["n"]), found.get("judged_on", ""))

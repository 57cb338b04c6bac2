"""Data in and out, for notebooks and cron: the commands import, predict --project and export as functions.

Each is idempotent: what was stopped, goes on when it is called again.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog

from backend.core.settings import Settings, load_settings
from backend.logs import configure_logs
from backend.loop.desk import Desk
from backend.moving import predicting
from backend.moving.dividing import shares_of
from backend.moving.exported import What, history_of
from backend.moving.exporting import ExportOptions, Manifest, export_project
from backend.moving.importing import ImportOptions, Source, import_rows
from backend.moving.predicting import Predicting
from backend.moving.sending import Imported
from backend.moving.target import open_project, opened_ledger
from backend.rows.reading import FileSource
from backend.rows.records import RowsSource

DEFAULTS = ImportOptions()


def import_texts(
    data: Path, *, project: int, options: ImportOptions = DEFAULTS, settings: Settings | None = None
) -> Imported:
    """Import a file's rows into a project, each once; CSV, TSV, JSONL, JSON, Parquet, or gzip of these.

    Raises:
        PrelabelError: the file cannot be read, or Label Studio refused.
    """
    return _imported(FileSource(data), project, options, settings)


def import_records(
    rows: Iterable[Mapping[str, Any]], *, project: int, options: ImportOptions = DEFAULTS,
    settings: Settings | None = None,
) -> Imported:  # fmt: skip
    """The same of rows that a script has already, as `frame.to_dict("records")` gives them."""
    return _imported(RowsSource(rows), project, options, settings)


def push_predictions(project: int, *, settings: Settings | None = None) -> Predicting:
    """Give every open task of a connected project a prediction of the present version; what is lacking afterwards.

    Raises:
        PrelabelError: the project is not connected, or Label Studio or Redis refused.
    """
    if not structlog.is_configured():  # a script that says nothing of logs wants warnings only
        configure_logs("WARNING")
    with Desk(settings or load_settings()) as desk:
        work = predicting.connected(desk, desk.client.project(project))
        return predicting.predict_here(work, lambda _: None)


def export_labels(
    project: int, out: Path, *, what: What = "training", split: str = "", settings: Settings | None = None
) -> Manifest:
    """Write a project's labels to CSV, TSV, JSONL or Parquet, and a manifest beside the file.

    Args:
        split: as in `0.8/0.1/0.1`; empty makes no parts.

    Raises:
        PrelabelError: the file cannot be written, or Label Studio refused.
    """
    chosen = settings or load_settings()
    options = ExportOptions(what, shares_of(split) if split else None)
    with open_project(chosen, project) as (client, goal), opened_ledger(chosen) as ledger:
        return export_project(
            client, goal, out, options, history=history_of(ledger, goal.key), report=lambda _: None,
            watch=lambda _, __: None,
        )  # fmt: skip


def _imported(source: Source, project: int, options: ImportOptions, settings: Settings | None) -> Imported:
    with open_project(settings or load_settings(), project) as (_, goal):
        return import_rows(
            source, goal.sink, goal.project_id, goal.control, folder=goal.folder, options=options,
            report=lambda _: None, watch=lambda _: None,
        )  # fmt: skip

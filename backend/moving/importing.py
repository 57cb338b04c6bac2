"""Rows into a project: each once, however often and by however many processes it is tried.

Label Studio deduplicates nothing. Which rows it holds is asked of it (see backend.moving.catalogue); a request whose
answer was lost may have been carried out, so what is on its way is noted before it is sent; and at the end rows that
arrived twice all the same are deleted once (see backend.moving.sending).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from filelock import FileLock

from backend.core.disk import writing
from backend.core.errors import BadInputError
from backend.labelstudio.schema import Control
from backend.labelstudio.wire import value_at
from backend.moving.catalogue import open_catalogue
from backend.moving.rows import LabelsAs, Row, RowReader
from backend.moving.sending import Imported, Report, Run, Sink
from backend.pipeline.language import detect_language
from backend.rows.cells import strings_in
from backend.rows.names import Names
from backend.rows.records import Record, Reject
from backend.rows.rejects import Rejects

CHUNK_ROWS = 5000  # of one request, about a second: with fewer Label Studio spends up to a quarter more on a row
LANGUAGE_TEXTS = 50  # that tell it well enough for a word about it
CHUNK_CHARACTERS = 8_000_000  # of one request's texts


class Source(Protocol):
    """Where rows come from; see backend.rows."""

    @property
    def name(self) -> str: ...

    @property
    def share(self) -> float | None: ...

    def records(self) -> Iterator[Record]: ...


@dataclass(frozen=True, slots=True)
class ImportOptions:
    names: Names = field(default_factory=Names)
    labels_as: LabelsAs = "predictions"
    dry_run: bool = False
    add_labels: bool = False  # to rows that are in the project without the label that they have now
    rejects: Path = Path("rejects.csv")  # appears only where there are any
    for_spreadsheet: bool = False  # the rejects; see backend.rows.writing


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is."""

    read: int
    new: int
    share: float | None  # of the source, 0-1; None where nobody knows


Watch = Callable[[Progress], None]


def import_rows(
    source: Source, sink: Sink, project_id: int, control: Control, *, folder: Path, options: ImportOptions,
    report: Report, watch: Watch,
) -> Imported:  # fmt: skip
    """Import what a project lacks; in a dry run, say what that is.

    Raises:
        BadInputError: the source holds no rows, or its first row lacks a column.
        LabelStudioError: Label Studio refused, or was away for long; what arrived stays, and a next run goes on.
        StateError: the state folder, or the place of the rejects, takes no writes.
    """
    with ExitStack() as stack:
        stack.enter_context(_alone(folder / "importing.lock", report))
        catalogue = stack.enter_context(open_catalogue(folder / "catalogue.sqlite3", control.text_key))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        rejects = stack.enter_context(Rejects(None if options.dry_run else options.rejects, options.for_spreadsheet))
        run = Run(
            sink,
            project_id,
            control,
            catalogue,
            options.labels_as,
            rejects.add,
            report,
            pool,
            options.dry_run,
            options.add_labels,
        )
        run.begin(source.name)
        reader = RowReader(control, options.names, catalogue.occurrence)
        for chunk in _chunks(_new_rows(source, reader, run)):
            run.send(chunk, _place(source, run.done.read))
            watch(Progress(run.done.read, run.done.new, source.share))
        done = run.end()
        for note in reader.spellings.notes():
            report(f"{source.name}: {note}")
        if not done.read:
            raise BadInputError(
                f"{source.name} must hold at least one row, but holds none; check that it is the right one"
            )
        return done


def _alone(path: Path, report: Report) -> FileLock:
    """The lock of imports into a project on this machine; a killed holder's is free at once."""
    lock = FileLock(path)
    try:
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
    except TimeoutError:
        report("another import into this project runs; this one begins when it is done")
    else:
        lock.release()
    return lock


def _new_rows(source: Source, reader: RowReader, run: Run) -> Iterator[Row]:
    first: list[str] = []  # texts, which tell the language
    for record in source.records():
        run.done.read += 1
        found = reader.read(record)
        if record.number == 1 and not record.problem:
            for remark in reader.remarks(record):
                run.report(remark)
        if isinstance(found, Reject):
            run.reject(found)
        elif run.lacks(found):
            if len(first) < LANGUAGE_TEXTS:
                first.append(str(value_at(found.data, reader.control.text_key)))
            yield found
    run.done.language = detect_language(first) if first else ""


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += sum(map(len, strings_in(row.data)))
        if len(chunk) >= CHUNK_ROWS or size >= CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _place(source: Source, read: int) -> str:
    share = source.share
    return f"row {read}" + (f", {1 - share:.0%} of it was left" if share is not None else "")

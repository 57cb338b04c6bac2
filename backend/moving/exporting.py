"""A project to a file: read page by page into a file that a kill cannot hurt, then written whole, with a manifest.

A second start goes on from there where nothing moved in the project since, and begins anew where anything did.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from backend.core.artefacts import sha256_of, write_atomically
from backend.core.disk import hand_over, writing
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.filters import id_above, labelled
from backend.labelstudio.records import Json, task_of
from backend.moving.columns import LABEL, SPLIT, text_in
from backend.moving.dividing import Division, division
from backend.moving.exported import FIELDS, History, TaskRows, What
from backend.moving.target import Target
from backend.rows.cells import as_cell
from backend.rows.writing import Kind, checked_target, kind_of, writing_table

FORMAT = 1
UP_TO = "up_to"  # the key of a line that ends a page; rows are in lists

Report = Callable[[str], None]
Watch = Callable[[int, int], None]  # tasks read, of how many


@dataclass(frozen=True, slots=True)
class ExportOptions:
    what: What = "training"
    shares: Mapping[str, float] | None = None  # of the parts; None makes none
    own_keys: bool = False
    for_spreadsheet: bool = False  # see backend.rows.writing


@dataclass(frozen=True, slots=True)
class Manifest:
    """What stands beside an exported file."""

    project: str
    what: str
    rows: int
    labels: dict[str, int]
    parts: dict[str, int]
    columns: list[str]
    sha256: str  # of the file
    fingerprint: str  # of the rows, whatever the format
    created: str  # UTC
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class ReadPages:
    """Rows that were read, page by page; a page that was cut off is read again."""

    path: Path

    def resume(self, state: Json) -> int:
        """The task up to which they go; 0 where they begin anew, because the project is in another state."""
        up_to = self._cut(state) if self.path.exists() else None
        if up_to is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(state) + "\n", encoding="utf-8")
        return up_to or 0

    def _cut(self, state: Json) -> int | None:
        """Cut off what follows the last whole page; None where they are of another state."""
        with self.path.open("rb+") as file:
            first = file.readline()
            if first != (json.dumps(state) + "\n").encode():
                return None
            place = end = len(first)
            up_to = 0
            for line in file:
                place += len(line)
                if line.startswith(b"{") and line.endswith(b"\n"):
                    up_to, end = json.loads(line)[UP_TO], place
            file.truncate(end)
        return int(up_to)

    def append(self, rows: list[Json], up_to: int) -> None:
        lines = [*([row] for row in rows), {UP_TO: up_to}]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))

    def rows(self) -> Iterator[Json]:
        with self.path.open(encoding="utf-8") as file:
            yield from (json.loads(line)[0] for line in file if line.startswith("["))


def export_project(
    client: LabelStudioClient, goal: Target, out: Path, options: ExportOptions, *, history: History, report: Report,
    watch: Watch,
) -> Manifest:  # fmt: skip
    """Write what a project holds to a file, and a manifest beside it.

    Args:
        history: what the ledger holds.

    Raises:
        BadInputError: the file's name ends in no known suffix.
        LabelStudioError: Label Studio refused or did not answer; a next run goes on.
        StateError: the state folder, or the place of the file, takes no writes.
    """
    checked_target(out, for_spreadsheet=options.for_spreadsheet)
    own = "-own" if options.own_keys else ""
    pages = ReadPages(goal.folder / f"export-{options.what}{own}.jsonl")
    with writing(goal.folder), ExitStack() as stack:
        goal.folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(FileLock(pages.path.with_suffix(".lock")))
        _read(client, goal, pages, options, history, report, watch)
        manifest = _write(pages, goal, out, options)
        write_atomically(manifest_of(out), json.dumps(asdict(manifest), ensure_ascii=False, indent=2))
        hand_over(manifest_of(out))
        pages.path.unlink()
    return manifest


def manifest_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.manifest.json")


def _read(
    client: LabelStudioClient, goal: Target, pages: ReadPages, options: ExportOptions, history: History, report: Report,
    watch: Watch,
) -> None:  # fmt: skip
    filters = [labelled()] if options.what == "training" else []
    total = client.count(goal.project_id, filters)
    project = client.project(goal.project_id)
    moved = asdict(client.pulse(goal.project_id)) | {"predictions": client.model_versions(goal.project_id)}
    state = {"format": FORMAT, "config": project.label_config, "shown": project.model_version, **moved}
    up_to = pages.resume({**state, "settings": repr(goal.settings)})
    n_left = client.count(goal.project_id, [*filters, id_above(up_to)])
    if up_to:
        report(f"an earlier export goes on: {n_left} of {total} tasks are left")
    rows = TaskRows(options.what, goal.control, goal.settings, project.model_version, options.own_keys)
    n_read = total - n_left
    for page in client.pages_above(goal.project_id, up_to, include=FIELDS, filters=filters):
        tasks = history.with_confidences([task_of(raw) for raw in page])
        accepted = history.accepted([item.id for task in tasks for item in task.annotations])
        pages.append([row for task in tasks for row in rows.of(task, accepted)], tasks[-1].id)
        n_read += len(tasks)
        watch(n_read, total)


def _write(pages: ReadPages, goal: Target, out: Path, options: ExportOptions) -> Manifest:
    columns: dict[str, Kind] = {}
    labels: Counter[str] = Counter()
    told = hashlib.sha256()
    with division() as parts:
        for row in pages.rows():
            columns |= {name: kind_of(value, columns.get(name, "none")) for name, value in row.items()}
            labels[row[LABEL]] += 1
            told.update(json.dumps({name: as_cell(value) for name, value in row.items()}, sort_keys=True).encode())
            if options.shares:
                parts.add(as_cell(text_in(row, goal.control.text_key)), row[LABEL])
        columns |= {SPLIT: "text"} if options.shares else {}
        sizes = _rows_out(pages, out, columns, parts, options)
    return Manifest(
        goal.key, options.what, labels.total(), dict(sorted(labels.items())), sizes, list(columns),
        sha256_of(out), told.hexdigest(), datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _rows_out(
    pages: ReadPages, out: Path, columns: Mapping[str, Kind], division: Division, options: ExportOptions
) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    with writing_table(out, columns, for_spreadsheet=options.for_spreadsheet) as write:
        if not options.shares:
            for row in pages.rows():
                write(row)
            return {}
        division.divide(options.shares)
        for row, part in zip(pages.rows(), division.parts(), strict=True):
            write({**row, SPLIT: part})
            sizes[part] += 1
    return {part: sizes[part] for part in options.shares}

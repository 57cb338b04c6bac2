"""One run of an import: what is sent, what may have arrived unseen, and what is put right at the end."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Protocol

from backend.core.errors import LabelStudioError
from backend.labelstudio.filters import id_above
from backend.labelstudio.records import Json, Task
from backend.labelstudio.schema import Control
from backend.moving.catalogue import Catalogue, Double, Known, Labelled
from backend.moving.cells import fingerprint
from backend.moving.late_labels import Labels, LateLabels
from backend.moving.rows import LabelsAs, Row, as_task
from backend.rows.records import Reject

ROWS_PER_S = 1000.0  # on an idle machine of two cores, before a project has a figure of its own
ENOUGH_ROWS = 1000  # for a figure of its own
SETTLE_S = 10.0  # in which a request whose sender is gone is carried out, or never will be
PATIENCE_S = 120.0  # for a Label Studio that is started again
LOOK_S = 1.0
ATTEMPTS = 3
SHOWN_IDS = 10
SHOWN_LABELS = 20
LATE = "task {task} is there without this label; say --add-labels to give it to the task"
CHANGED = "task {task} has this id and says something else; give the row an id of its own, or change the task"
REFUSED = 400

Report = Callable[[str], None]


class Sink(Labels, Protocol):
    """What an import asks of Label Studio."""

    def import_tasks(self, project_id: int, tasks: Sequence[Json]) -> list[int]: ...

    def task(self, task_id: int) -> Task: ...

    def delete_task(self, task_id: int) -> None: ...


@dataclass
class Imported:
    """What became of the rows."""

    read: int = 0
    new: int = 0  # tasks that were made, or, in a dry run, would be
    labelled: int = 0  # of these, with a label
    known: int = 0  # stood in the project already, and say the same
    late: int = 0  # stood in the project already, without the label that they have now; left as they are
    labels_added: int = 0  # the same, and their tasks have the label now, or, in a dry run, would
    changed: int = 0  # stood in the project already, and say something else there; left as they are
    repeated: int = 0  # stood in the file before, and say the same
    rejected: int = 0
    doubles_removed: int = 0
    changed_ids: list[str] = field(default_factory=list)  # the first few
    unknown_labels: dict[str, int] = field(default_factory=dict)  # of rejected rows: the first few, and how many rows
    language: str = ""  # of the first new rows, a code or "mixed"; empty where there are none
    seconds: float = 0.0  # in a dry run, how long it should take

    @property
    def left_out(self) -> int:
        """Rows that say something which the project does not hold now."""
        return self.rejected + self.changed + self.late

    def figures(self) -> Json:
        return {**asdict(self), "seconds": round(self.seconds, 1)}


@dataclass
class Run:
    """For one thread; requests go out from another, one at a time, while the next rows are read."""

    client: Sink
    project_id: int
    control: Control
    catalogue: Catalogue
    labels_as: LabelsAs
    write_reject: Callable[[Reject], None]
    report: Report
    pool: ThreadPoolExecutor
    dry: bool = False
    add_labels: bool = False
    done: Imported = field(default_factory=Imported)
    _pending: tuple[list[Row], Future[list[int]]] | None = None
    _started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._late = LateLabels(self.client, self.project_id, self.control, self.catalogue, self.add_labels)

    def begin(self, source: str) -> None:
        """Find out what the project holds, and what an earlier run left behind."""
        self.catalogue.catch_up(self.client, self.project_id)
        self._settle(self.catalogue.note("on_its_way"))
        if self.catalogue.note("place"):
            self.report(f"an import of {self.catalogue.note('source')} stopped at {self.catalogue.note('place')}")
        if not self.dry:
            mark = self.catalogue.note("mark") or self.catalogue.note("high") or "0"
            self.catalogue.keep(mark=mark, source=source, place="")
            self.catalogue.commit()

    def lacks(self, row: Row) -> bool:
        """Whether a row is to be sent; counts it where not."""
        before = self.catalogue.see(row.identity, row.number, row.fingerprint)
        if before is not None and before[1] == row.fingerprint:
            self.done.repeated += 1
            return False
        if before is not None:
            taken = f"the id must be of one row, but row {before[0]} has it too; make them differ, or say --no-id"
            self.reject(Reject(row.number, taken, row.identity))
            return False
        known = self.catalogue.known(row.identity) or self._under_its_id(row)
        if known is None:
            return True
        same = _same(known, row)
        if not same and (known.fingerprint != row.unlabelled or not row.label):
            self._leave(row, known.task_id)
            return False
        self.done.known += 1
        if row.label:
            label = Labelled(known.task_id, row.label, row.number, row.identity)
            self._late.note(label, unlabelled=not same)
        return False

    def _under_its_id(self, row: Row) -> Known | None:
        """The same row, where it came in by its column `id` before that was said to be no identity."""
        known = self.catalogue.known(row.id) if row.id else None
        return known if known and known.fingerprint == fingerprint(row.data, row.id) else None

    def reject(self, reject: Reject) -> None:
        """Count a row that cannot come in, and write down why."""
        self.done.rejected += 1
        self.write_reject(reject)
        label, counts = reject.unknown_label, self.done.unknown_labels
        if label and (label in counts or len(counts) < SHOWN_LABELS):
            counts[label] = counts.get(label, 0) + 1

    def _leave(self, row: Row, task_id: int) -> None:
        self.done.changed += 1
        self.done.changed_ids += [row.identity] if len(self.done.changed_ids) < SHOWN_IDS else []
        self.write_reject(Reject(row.number, CHANGED.format(task=task_id), row.identity))

    def send(self, rows: list[Row], place: str) -> None:
        """Send rows once those before them have arrived."""
        if self.dry:
            self._count(rows)
            return
        self.arrive()
        self.catalogue.keep(on_its_way=rows[0].identity, place=place)
        self.catalogue.commit()
        self._pending = rows, self.pool.submit(self._import, rows)

    def arrive(self) -> None:
        """Wait for what was sent last."""
        if self._pending is None:
            return
        rows, sent = self._pending
        self._pending = None
        try:
            self._enter(rows, sent.result())
        except LabelStudioError as err:
            self._mend(rows, err)

    def end(self) -> Imported:
        """Wait for the last rows, delete what came twice, and close the run."""
        took = time.monotonic() - self._started
        self._add_labels()
        rate = float(self.catalogue.note("rows_per_s") or ROWS_PER_S)
        if self.dry:
            self.done.seconds = self.done.new / rate
            return self.done
        self.arrive()
        self.catalogue.catch_up(self.client, self.project_id)
        self._remove_doubles(self.catalogue.doubles(above=int(self.catalogue.note("mark") or 0)))
        self.done.seconds = time.monotonic() - self._started
        rate = self.done.new / took if self.done.new >= ENOUGH_ROWS else rate
        self.catalogue.keep(mark="", on_its_way="", source="", place="", rows_per_s=str(rate))
        self.catalogue.commit()
        return self.done

    def _add_labels(self) -> None:
        lacking = self._late.lacking()
        if self.add_labels and lacking:
            self.done.labels_added = len(lacking) if self.dry else self._late.send(lacking)
        else:
            for each in lacking:
                self.write_reject(Reject(each.number, LATE.format(task=each.task_id), each.identity))
        self.done.late = len(lacking) - self.done.labels_added
        self.done.known -= len(lacking)

    def _import(self, rows: Sequence[Row]) -> list[int]:
        return self.client.import_tasks(self.project_id, [as_task(row, self.control, self.labels_as) for row in rows])

    def _enter(self, rows: Sequence[Row], ids: Sequence[int]) -> None:
        made = zip(rows, ids, strict=True)
        self.catalogue.add([(row.identity, Known(id_, row.fingerprint, row.text)) for row, id_ in made])
        self._count(rows)

    def _count(self, rows: Sequence[Row]) -> None:
        self.done.new += len(rows)
        self.done.labelled += sum(bool(row.label) for row in rows)

    def _mend(self, rows: Sequence[Row], err: LabelStudioError) -> None:
        if err.status == REFUSED:
            self._part(rows, err)
        elif err.unanswered:
            self._again(rows, err)
        else:
            raise self._stopped(err) from err

    def _again(self, rows: Sequence[Row], err: LabelStudioError) -> None:
        """Send what did not arrive, once Label Studio answers."""
        for _ in range(ATTEMPTS):
            self.report(f"Label Studio did not answer; waiting up to {PATIENCE_S:.0f} s for it")
            self._wait_for_answer(err)
            self._settle(rows[0].identity)
            self.catalogue.catch_up(self.client, self.project_id)
            self._count([row for row in rows if self.catalogue.known(row.identity) is not None])
            rows = [row for row in rows if self.catalogue.known(row.identity) is None]
            if not rows:
                return
            try:
                self._enter(rows, self._import(rows))
            except LabelStudioError as again:
                err = again
            else:
                return
        raise self._stopped(err) from err

    def _part(self, rows: Sequence[Row], err: LabelStudioError) -> None:
        """One bad row has all refused: find it. Where the first, the middle and the last are refused alone, all are."""
        probes = (rows[0], rows[len(rows) // 2], rows[-1])
        if len(rows) > len(probes) and all(self._refused(row) for row in probes):
            raise self._stopped(err) from err
        self._halve([row for row in rows if self.catalogue.known(row.identity) is None], err)

    def _halve(self, rows: Sequence[Row], err: LabelStudioError) -> None:
        if len(rows) == 1:
            refused = f"Label Studio must take it, but: {err.summary or err}"  # its own words quote the text
            self.reject(Reject(rows[0].number, refused, rows[0].identity))
            return
        for part in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            try:
                self._enter(part, self._import(part))
            except LabelStudioError as again:
                self._halve(part, again) if again.status == REFUSED else self._mend(part, again)

    def _refused(self, row: Row) -> bool:
        """Whether a row is refused by itself; it is in where not."""
        try:
            self._enter([row], self._import([row]))
        except LabelStudioError as err:
            return err.status == REFUSED
        return False

    def _wait_for_answer(self, err: LabelStudioError) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.client.project(self.project_id)
            except LabelStudioError as away:
                if time.monotonic() > deadline or not away.unanswered:
                    raise self._stopped(away) from err
                time.sleep(LOOK_S)
            else:
                return

    def _settle(self, identity: str) -> None:
        """Give a request whose answer was lost the time to be carried out."""
        deadline = time.monotonic() + SETTLE_S
        while identity and self.catalogue.known(identity) is None and time.monotonic() < deadline:
            time.sleep(LOOK_S)
            if self.client.count(self.project_id, [id_above(int(self.catalogue.note("high") or 0))]):
                self.catalogue.catch_up(self.client, self.project_id)

    def _stopped(self, err: LabelStudioError) -> LabelStudioError:
        told = f"{self.done.new} rows came in; run the same command again for the others"
        return LabelStudioError(f"{err}; {told}", status=err.status, summary=err.summary)

    def _remove_doubles(self, doubles: Sequence[Double]) -> None:
        """Of a row's two tasks the older one stays, unless only the younger is labelled."""
        for double in doubles:
            young, old = self.client.task(double.task_id), self.client.task(double.first_id)
            if not young.unlabelled and not old.unlabelled:
                self.report(f"tasks {old.id} and {young.id} are one row, and both are labelled; both stay")
                continue
            self.client.delete_task(young.id if young.unlabelled else old.id)
            self.done.doubles_removed += 1
        if doubles:
            self.catalogue.forget_doubles()
            self.catalogue.keep(n_tasks="-1")  # read all of them again


def _same(known: Known, row: Row) -> bool:
    """Whether a task says what a row does; of an export of Label Studio's the text alone tells."""
    if row.id and known.fingerprint == fingerprint(row.data, row.id):
        return True
    return known.fingerprint == row.fingerprint or (row.retold and known.text == row.text)

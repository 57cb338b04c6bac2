"""Where a project stands: version, queue, coverage, trainings, acceptance; as figures, and in lines."""

import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from backend.connection.doctor.examination import glance, glance_at_queue
from backend.connection.languages import Reading, reading_of
from backend.connection.spending import LlmSpending, llm_spending
from backend.core.clock import age_s, lies_ahead
from backend.core.errors import PrelabelError, QueueError
from backend.core.projects import ProjectKey
from backend.health.agreement import Agreement, Band, blind_agreement, ticks_kept
from backend.health.notes import Coverage
from backend.health.sight import ProjectSight, look_at_project
from backend.job_queue import JobQueue, WaitingJob
from backend.ledger import Training
from backend.loop.desk import Desk
from backend.loop.outside import told_outside
from backend.loop.promised import standing
from backend.loop.report import told_outlook
from backend.loop.spool import spool_of

NAME_WIDTH = 15


@dataclass(frozen=True, slots=True)
class ProjectStatus:
    """One project. Times are unix seconds, None for never."""

    key: str
    title: str  # empty where Label Studio does not answer
    state: tuple[str, ...]  # pinned, frozen, push-only
    problem: str  # why Label Studio tells nothing of it; empty where it does
    faults: tuple[str, ...]  # what doctor finds at a glance: label config, settings, the way of events
    version: str  # that serves; empty where none was published
    reading: Reading | None  # in which language, and by whom; None where no version can be read
    shown: bool  # whether Label Studio shows it
    n_tasks: int
    n_annotated: int
    n_waiting: int | None  # jobs; None where Redis does not answer
    oldest_waiting_s: float | None
    last_event_at: float | None
    reconciled_at: float | None
    reconcile_found: tuple[str, ...]  # what no webhook had said: config, labels, predictions
    coverage: Coverage | None  # as last counted
    n_computed: int  # predictions that are computed, and pushed when all are
    training: Training | None  # the last one
    n_changed: int  # labels since then
    ticks: Agreement  # of the version that serves
    previous_ticks: Agreement
    blind: Agreement
    bands: tuple[Band, ...]  # the same by confidence
    outside: str  # a word about texts that fit no label; empty where there are few
    outlook: str  # what more labels should bring; empty where that is not known
    llm: LlmSpending
    auto: str  # where auto-accept stands, in a line; empty where Label Studio does not answer

    @property
    def name(self) -> str:
        return f"{ProjectKey.parse(self.key).id} {self.title}".strip()

    def figures(self) -> Mapping[str, Any]:
        """Everything, for programs: times in ISO 8601, UTC."""
        shares = {"ticks": self.ticks, "previous_ticks": self.previous_ticks, "blind": self.blind}
        derived = {
            name: {**asdict(each), "share": each.share, "interval": each.interval, "needs": each.needs}
            for name, each in shares.items()
        }
        told = [{**asdict(band), "under": band.under} for band in self.bands]
        coverage = {**asdict(self.coverage), "share": self.coverage.share} if self.coverage else None
        found = {**asdict(self), **derived, "coverage": coverage, "bands": told}
        for part, name in ((found, "last_event_at"), (found, "reconciled_at"), (coverage, "at")):
            _to_iso(part, name)
        _to_iso(found["training"], "started_at")
        return found

    def lines(self, now: float) -> Iterator[tuple[str, str]]:
        """What a person reads, by name."""
        for fault in self.faults:
            yield "FAULT", fault
        shown = "shown" if self.shown else "not shown by Label Studio"
        yield "version", f"{self.version}, {shown}" if self.version else "none yet"
        if self.reading is not None:
            yield "language", self.reading.line
        yield "tasks", f"{self.n_annotated} of {self.n_tasks} annotated"
        yield "open tasks", _coverage(self.coverage, now)
        if self.n_computed:
            yield "predicting", f"{_computed(self.n_computed, self.version, self.coverage)}, and pushed when all are"
        yield "queue", _queue(self.n_waiting, self.oldest_waiting_s)
        yield "last event", _ago(self.last_event_at, now)
        yield "last reconcile", f"{_ago(self.reconciled_at, now)}, found {_found(self.reconcile_found)}"
        yield "last training", _training(self.training, now)
        if self.training is not None:
            yield "", f"{self.training.reason}; {self.n_changed} labels changed since"
        if self.outside:
            yield "labels", self.outside
        if self.outlook:
            yield "more labels", self.outlook
        yield "ticks kept", f"{_agreement(self.ticks)}; version before: {_agreement(self.previous_ticks)}"
        yield "blind agreement", _agreement(self.blind)
        if self.bands:
            yield "by confidence", ", ".join(_band(band) for band in self.bands)
        for band in self.bands:
            if band.under:
                yield "WARNING", f"confidence {_band(band)} agree, {band.promised:.0%} were promised"
        yield "language models", self.llm.line
        if self.auto:
            yield "auto-accept", self.auto


def project_status(desk: Desk, key: str) -> ProjectStatus:
    """The status of a connected project; where Label Studio does not answer, what is known without it."""
    seen, waiting = _seen(desk, key)
    told = _told_by_label_studio(desk, key)
    row = seen.row
    words = ((f"pinned to {row.pinned}", row.pinned), ("frozen", row.frozen), ("push-only", row.push_only))
    return ProjectStatus(
        key=key,
        title=told.title,
        state=tuple(word for word, holds in words if holds),
        problem=told.problem,
        faults=told.faults,
        version=seen.current,
        reading=reading_of(desk.loader.folder(key)),
        shown=bool(seen.current) and told.shown_version == seen.current,
        n_tasks=told.counters.get("task_number", 0),
        n_annotated=told.counters.get("num_tasks_with_annotations", 0),
        n_waiting=None if waiting is None else len(waiting),
        oldest_waiting_s=None if waiting is None else max((job.waits_s for job in waiting), default=0.0),
        last_event_at=row.webhook_at or None,
        reconciled_at=row.reconciled_at or None,
        reconcile_found=seen.reconciled.found if seen.reconciled else (),
        coverage=seen.coverage,
        n_computed=spool_of(desk.loader.folder(key), seen.current).count(),
        training=seen.trainings[-1] if seen.trainings else None,
        n_changed=row.changed_labels,
        ticks=ticks_kept(seen.acceptance, seen.current),
        previous_ticks=ticks_kept(seen.acceptance, seen.previous),
        blind=blind_agreement(seen.acceptance),
        bands=tuple(seen.bands),
        outside=told_outside(ProjectKey.parse(key).id, seen.current, desk.ledger.decided_as(key, seen.current)),
        outlook=told_outlook(desk.loader.folder(key)),
        llm=llm_spending(desk.ledger, key),
        auto=told.auto,
    )


def _seen(desk: Desk, key: str) -> tuple[ProjectSight, Sequence[WaitingJob] | None]:
    waiting = _waiting(desk.queue, key)
    return look_at_project(desk.ledger, None if waiting is None else desk.queue, desk.loader, key), waiting


def _waiting(queue: JobQueue, key: str) -> Sequence[WaitingJob] | None:
    try:
        return [job for job in queue.waiting() if job.project == key]
    except QueueError:
        return None


@dataclass(frozen=True, slots=True)
class Told:
    """What Label Studio tells of a project; `problem` says why it tells nothing."""

    title: str = ""
    shown_version: str = ""
    counters: Mapping[str, int] = field(default_factory=dict)
    auto: str = ""
    faults: tuple[str, ...] = ()
    problem: str = ""


def _told_by_label_studio(desk: Desk, key: str) -> Told:
    try:
        work = desk.project(key)
        project = work.project
        return Told(
            project.title,
            project.model_version,
            project.counters,
            standing(work).message,
            tuple(f"{each.name}: {each.finding}; {each.remedy}" for each in glance(work)),
        )
    except PrelabelError as err:
        row = desk.ledger.project(key)
        return Told(counters=dict(row.counters or {}) if row else {}, problem=str(err))


def _to_iso(part: dict[str, Any] | None, name: str) -> None:
    """Write a time that is there, in unix seconds, as ISO 8601."""
    if part and part[name] is not None:
        part[name] = datetime.fromtimestamp(part[name], UTC).isoformat(timespec="seconds")


def _computed(n: int, version: str, coverage: Coverage | None) -> str:
    """How many of those that lacked it when they were last counted."""
    if coverage is None or coverage.version != version:
        return f"{n} are computed"
    return f"{n} of {max(n, coverage.n_open - coverage.n_predicted)} are computed"


def _coverage(coverage: Coverage | None, now: float) -> str:
    if coverage is None:
        return "not counted yet"
    of = f"{coverage.n_open} have a prediction of that version"
    share = "none" if coverage.share is None else f"{coverage.share:.0%} of {of}"
    textless = f", {coverage.n_textless} more hold no text" if coverage.n_textless else ""
    return f"{share}{textless}, as of {_ago(coverage.at, now)}"


def _queue(n_waiting: int | None, oldest_s: float | None) -> str:
    if n_waiting is None:
        return "Redis does not answer"
    return f"{n_waiting} waiting, the oldest for {oldest_s or 0.0:.0f} s" if n_waiting else "nothing waits"


def _found(found: Sequence[str]) -> str:
    return f"new: {', '.join(found)}" if found else "nothing missing"


def _training(training: Training | None, now: float) -> str:
    if training is None:
        return "never"
    verdict = "promoted" if training.promoted else "not promoted"
    when = _ago(training.started_at, now)
    return f"{when}, {training.why}, on {training.n_examples} labels in {training.seconds:.0f} s: {verdict}"


def _agreement(agreement: Agreement) -> str:
    if agreement.share is None:
        return f"none, needs {agreement.needs}"
    low, high = agreement.interval
    said = f"{agreement.share:.0%} of {agreement.n} ({low:.0%} to {high:.0%})"
    return f"{said}, needs {agreement.needs} more" if agreement.needs else said


def _band(band: Band) -> str:
    return f"{band.name}: {band.agreement.n_agreed} of {band.agreement.n}"


def _ago(unix: float | None, now: float) -> str:
    if not unix:
        return "never"
    if lies_ahead(unix, now):
        return "at a time that lies ahead: the clock was set back"
    seconds = int(age_s(unix, now))
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago" if seconds < 7200 else _days(seconds)


def _days(seconds: int) -> str:
    return f"{seconds // 3600} h ago" if seconds < 48 * 3600 else f"{seconds // 86400} days ago"


def all_well(statuses: Sequence[ProjectStatus]) -> bool:
    """Whether Label Studio tells of every project, and no fault was seen in any."""
    return not any(status.problem or status.faults for status in statuses)


def problems(statuses: Sequence[ProjectStatus]) -> list[str]:
    """Why Label Studio tells nothing of some projects, each reason once."""
    return list(dict.fromkeys(status.problem for status in statuses if status.problem))


def shared_faults(desk: Desk) -> list[str]:
    """What keeps all projects waiting: nobody works, or keeps time, or jobs stand or were given up."""
    return [f"{each.name}: {each.finding}; {each.remedy}" for each in glance_at_queue(desk)]


def report(statuses: Sequence[ProjectStatus], *, shared: Sequence[str] = (), columns: int) -> str:
    """All projects, a block each, after what is wrong with some or all of them.

    Args:
        columns: of the terminal; no line is longer, but for a word that is.
    """
    now = time.time()
    wrong = [*problems(statuses), *(f"FAULT  {fault}" for fault in shared)]
    blocks = ["\n".join(_wrapped(each, columns)) for each in wrong]
    for status in statuses:
        states = (*status.state, *(["Label Studio tells nothing of it"] if status.problem else []))
        faulty = f"{len(status.faults)} faults" if len(status.faults) > 1 else "1 fault"
        states = (*states, *([faulty] if status.faults else []))
        head = f"{status.name}: {', '.join(states) or ('waits, see above' if shared else 'ok')}"
        blocks.append("\n".join([*_wrapped(head, columns), *(_line(*each, columns) for each in status.lines(now))]))
    return "\n\n".join(blocks) or "no project is connected; run: prelabel connect"


def _wrapped(text: str, columns: int) -> list[str]:
    return textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False)


def _line(name: str, text: str, columns: int) -> str:
    margin = " " * (NAME_WIDTH + 4)
    first, *others = _wrapped(text, max(1, columns - len(margin))) or [""]
    return "\n".join([f"  {name:<{NAME_WIDTH}}  {first}".rstrip(), *(margin + other for other in others)])

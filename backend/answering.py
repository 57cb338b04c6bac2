"""What the backend answers to each call of Label Studio, without HTTP: from memory, at once, one state a call."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from backend.assembly import Assembly
from backend.core.artefacts import cold_version
from backend.core.deadline import BATCH_S, INTERACTIVE_S, SINGLE_TASK_S
from backend.core.errors import BadInputError, PrelabelError, StateError
from backend.core.memory import STAY_S, Memory
from backend.core.projects import UNCONFIGURED, ProjectKey, config_hash, is_blind
from backend.core.settings import Settings
from backend.core.types import Decision
from backend.health.watch import Watch
from backend.job_queue import UNVOTED, WEBHOOK_ANSWER_S, JobQueue, connect
from backend.labelstudio.schema import Control, Unusable, served_control
from backend.labelstudio.wire import (
    LABEL_EVENTS,
    Json,
    PredictRequest,
    SetupRequest,
    prediction,
    reads_so,
    shown_data,
    tells,
    text_of,
    textless,
)
from backend.ledger import Ledger, ProjectRow, Shown, hash_of_text, open_ledger
from backend.logs import told
from backend.serving import Loader, Served, ServedProjects
from backend.telemetry.asked import AnswerCollector, ServerCollector
from backend.telemetry.instruments import Telemetry
from backend.telemetry.loaded import MemoryCollector

JOB_OF_EVENT = {
    **dict.fromkeys(LABEL_EVENTS, "follow"),
    "TASKS_CREATED": "follow",
    "TASKS_DELETED": "reconcile",
    "PROJECT_UPDATED": "refresh",
    "START_TRAINING": "retrain",
}
WRITE_WITHIN_S = 2.0  # Label Studio waits for the answer meanwhile; what was not written down is only logged

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answering:
    """Meets backend.labelstudio.routes.Backend."""

    settings: Settings
    projects: ServedProjects
    ledger: Ledger
    queue: JobQueue
    telemetry: Telemetry
    watch: Watch

    def begin(self) -> None:
        """Begin to load the connected projects, the one used last first, as many as there is room for."""
        rows = [(key, self.ledger.project(key)) for key in self.ledger.project_keys()]
        latest = sorted(rows, key=lambda row: _last_moved(row[1]), reverse=True)
        self.projects.warm([key for key, _ in latest], after=self.watch.seen)

    def setup(self, request: SetupRequest) -> str:
        """The version that serves the project; asks for a refresh where its label config is new.

        A project that nobody connected is answered, too, or Label Studio would not take the backend,
        but nothing of it is kept.

        Raises:
            LabelConfigError: the config is not well-formed XML.
        """
        key = str(request.key)
        folder, row = self.projects.loader.folder(key), self._row(key)
        if row is not None:
            with _carrying_on("control", key):
                folder.remember_control(request.control)
        settings = folder.settings()
        settings = replace(settings, control=settings.control or request.control)
        if isinstance(served_control(request.label_config, settings), Unusable):
            return UNCONFIGURED
        present = config_hash(request.label_config, settings, folder.descriptions())
        if row is not None and row.config_hash != present:
            self._ask("refresh", key)
        return self.projects.version(key) or cold_version(present, settings.profile or self.settings.profile)

    def predict(self, request: PredictRequest) -> list[Json | None]:
        """One prediction a task, in order; None for "none yet"."""
        key = str(request.key)
        served, settings = self.projects.get(key), self.projects.loader.folder(key).settings()
        control = served_control(request.label_config, settings)
        if served is None or isinstance(control, Unusable):
            self.telemetry.unanswered.labels("not_ready" if served is None else "config").inc(len(request.tasks))
            return [None] * len(request.tasks)
        share = settings.blind_share
        texts: dict[int, str] = {}
        for place, task in enumerate(request.tasks):
            data = task.data
            text = text_of(data, control)
            if text is None:
                self.telemetry.unanswered.labels(textless(data, control)).inc()
            elif is_blind(key, task.id, share):
                self.telemetry.unanswered.labels("blind").inc()
            else:
                texts[place] = text
        decided = served.pipeline.run(list(texts.values()), deadline_s=_seconds(request))
        decisions = dict(zip(texts, decided, strict=True))
        answers = self._predictions(key, served, control, decisions, request)
        given = {place: each for place, each in decisions.items() if answers[place] is not None}
        if self._row(key) is not None:
            self._record(key, served, request, texts, given)
            self._refine_later(key, request, decisions)
        return answers

    def event(self, action: str, key: ProjectKey) -> str:
        """Ask for the job that a webhook hints at; its id, or an empty string where there is nothing to do."""
        structlog.contextvars.bind_contextvars(project=str(key))
        self.telemetry.events.labels(action if action in JOB_OF_EVENT else "other").inc()
        job = JOB_OF_EVENT.get(action)
        if job is None or self.ledger.project(str(key)) is None:
            return ""
        return self.queue.enqueue(job, str(key))

    def train(self, key: ProjectKey) -> str:
        """Ask for a training.

        Raises:
            BadInputError: the project was never connected.
        """
        if self.ledger.project(str(key)) is None:
            raise BadInputError(f"project must be connected, {key} is not; run: prelabel connect")
        return self.queue.enqueue("retrain", str(key))

    def job_status(self, job_id: str) -> str:
        return self.queue.status(job_id)

    def versions(self) -> list[str]:
        """The versions that answer, of all projects; the call names none."""
        return sorted({version for key in self.ledger.project_keys() if (version := self.projects.version(key))})

    def state(self) -> Mapping[str, str]:
        return self.projects.ready()

    def degraded(self) -> list[Json]:
        """What is wrong, since when, and what to do."""
        return [
            {
                "kind": fault.kind,
                "what": fault.what,
                **({"about": fault.about} if fault.about else {}),
                "since": datetime.fromtimestamp(self.watch.since(fault), UTC).isoformat(timespec="seconds"),
                "remedy": fault.remedy,
            }
            for fault in self.watch.faults()
        ]

    def obstacles(self) -> list[str]:
        return self.watch.obstacles()

    def _row(self, key: str) -> ProjectRow | None:
        """What is known of a project; None where nobody connected it, or the database is away."""
        with _carrying_on("config", key):
            return self.ledger.project(key)
        return None

    def _predictions(
        self,
        key: str,
        served: Served,
        control: Control,
        decisions: Mapping[int, Decision | None],
        request: PredictRequest,
    ) -> list[Json | None]:
        answers: list[Json | None] = [None] * len(request.tasks)
        self.telemetry.decided(key, decisions.values())
        for place, decision in decisions.items():
            if decision is None:
                self.telemetry.unanswered.labels("deadline").inc()
                continue
            if _contradicted(request.tasks[place].data, shown_data(decision, control)):
                self.telemetry.unanswered.labels("stale").inc()
                continue
            region_id = shown_row(0, served, decision, "").region_id
            answers[place] = prediction(decision, control, served.version, region_id)
        return answers

    def _refine_later(self, key: str, request: PredictRequest, decisions: Mapping[int, Decision | None]) -> None:
        """Have a job ask the language models where there was no time for them, and push what they make better."""
        unvoted = [place for place, decision in decisions.items() if decision is not None and decision.unvoted]
        task_ids = [request.tasks[place].id for place in unvoted if request.tasks[place].id]
        if not task_ids:
            return
        try:
            self.queue.put_aside(UNVOTED, key, task_ids)
        except PrelabelError as err:
            log.warning("not_refined", project=key, **told(err))  # the answer stands
            return
        self._ask("refine", key)

    def _record(
        self,
        key: str,
        served: Served,
        request: PredictRequest,
        texts: Mapping[int, str],
        decisions: Mapping[int, Decision | None],
    ) -> None:
        rows = [
            shown_row(request.tasks[place].id, served, decision, texts[place])
            for place, decision in decisions.items()
            if decision is not None and request.tasks[place].id
        ]
        if request.interactive:  # Label Studio stores nothing of it: what it stores is of an older text
            rows = [replace(row, text_hash="") for row in rows]
        with _carrying_on("shown", key):
            self.ledger.add_shown(key, rows)

    def _ask(self, job: str, key: str) -> None:
        try:
            self.queue.enqueue(job, key)
        except PrelabelError as err:
            log.warning("job_not_queued", asked=job, project=key, **told(err))  # reconcile asks again


def answering_of(settings: Settings) -> Answering:
    """What answers in this process; nothing is loaded yet."""
    ledger, telemetry = open_ledger(settings, patience_s=WRITE_WITHIN_S), Telemetry()
    telemetry.watch_database(ledger.engine)
    assembly = Assembly(settings, Memory(settings.memory_bytes, stay_s=STAY_S), telemetry.timed)
    telemetry.registry.register(MemoryCollector(assembly.memory))
    telemetry.registry.register(ServerCollector(assembly.servers))
    telemetry.registry.register(AnswerCollector(assembly.recalled))
    projects = ServedProjects(Loader(settings, assembly, ledger))
    queue = JobQueue(connect(settings, answer_within_s=WEBHOOK_ANSWER_S))
    return Answering(settings, projects, ledger, queue, telemetry, Watch(projects, queue, assembly))


@contextmanager
def _carrying_on(what: str, key: str) -> Iterator[None]:
    """A full disk keeps nobody from a prediction; what could not be written down is logged."""
    try:
        yield
    except StateError as err:
        log.warning("not_written_down", what=what, project=key, **told(err))


def _last_moved(row: ProjectRow | None) -> float:
    return max(row.webhook_at, row.trained_at) if row else 0.0


def shown_row(task_id: int, served: Served, decision: Decision, text: str) -> Shown:
    """What the ledger keeps of a prediction, and of the text that it was made of."""
    ticked = decision.predicted_label if decision.kind != "abstain" else ""
    said = (ticked, decision.confidence, decision.stage, decision.kind)
    return Shown(task_id, served.version, served.generation, *said, hash_of_text(text))


def _contradicted(data: Mapping[str, Any], shown: Json) -> bool:
    """Whether a task tells percents or a reason that say otherwise: no tick goes beside them."""
    return tells(data) and not reads_so(data, shown)


def _seconds(request: PredictRequest) -> float:
    if request.interactive:
        return INTERACTIVE_S
    return SINGLE_TASK_S if len(request.tasks) == 1 else BATCH_S

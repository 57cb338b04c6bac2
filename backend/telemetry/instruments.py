"""What one process counts; no text and no label of a task is a metric's label.

The web process and the workers count with the same instruments; /metrics shows both, told apart by the label `process`.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from backend.core.errors import StateError
from backend.core.types import Decision

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 3.0, 10.0, 60.0, 100.0)
STAGE_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
JOB_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0)
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
OUTCOMES = ("done", "failed")


class Telemetry:
    """A process's instruments."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Histogram(
            "prelabel_request_seconds", "Time to answer, by route and status.", ["route", "status"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.unanswered = Counter(
            "prelabel_unanswered", "Tasks answered with no prediction, by cause.", ["cause"], registry=registry
        )
        self.events = Counter("prelabel_events", "Webhook events, by action.", ["action"], registry=registry)
        self.stages = Histogram(
            "prelabel_stage_seconds", "Time of a pipeline stage for up to 32 texts.", ["stage"],
            buckets=STAGE_SECONDS, registry=registry,
        )  # fmt: skip
        self.decisions = Counter(
            "prelabel_decisions", "Decisions, by what was decided and the stage.", ["project", "kind", "stage"],
            registry=registry,
        )  # fmt: skip
        self.tokens = Counter("prelabel_tokens", "Tokens that language models evaluated.", registry=registry)
        self.cut = Histogram(
            "prelabel_cut_share", "Share of a text's end that no model read, over the texts that were too long.",
            buckets=SHARES, registry=registry,
        )  # fmt: skip
        self.jobs = Histogram(
            "prelabel_job_seconds", "Time of a job, by its name and outcome.", ["name", "outcome"],
            buckets=JOB_SECONDS, registry=registry,
        )  # fmt: skip
        self.pushed = Counter(
            "prelabel_pushed_predictions", "Predictions written to Label Studio.", ["project"], registry=registry
        )
        self.missed = Counter(
            "prelabel_reconcile_found", "What reconciling found that no webhook had said.", ["project", "what"],
            registry=registry,
        )  # fmt: skip
        self.database_errors = Counter(
            "prelabel_database_errors", "Statements that the database did not carry out.", registry=registry
        )
        ProcessCollector(registry=registry)

    def timed(self, stage: str) -> AbstractContextManager[object]:
        """Times one call of a pipeline stage."""
        return self.stages.labels(stage).time()

    def decided(self, project: str, decisions: Iterable[Decision | None]) -> None:
        """Count decisions as they leave a pipeline."""
        for decision in decisions:
            if decision is None:
                continue
            self.decisions.labels(project, decision.kind, decision.stage).inc()
            self.tokens.inc(decision.tokens)
            if decision.share_cut:
                self.cut.observe(decision.share_cut)

    def expect_jobs(self, names: Sequence[str]) -> None:
        """Start the jobs' figures at 0: the first failure is an increase only beside a 0 before it."""
        for name in names:
            for outcome in OUTCOMES:
                self.jobs.labels(name, outcome)

    def watch_database(self, engine: sa.Engine) -> None:
        """Count what a database refuses or does not answer: what its ledger makes a StateError of."""
        sa.event.listen(engine, "handle_error", self._on_database_error)

    def _on_database_error(self, context: sa.ExceptionContext) -> None:
        if isinstance(context.chained_exception, StateError):
            self.database_errors.inc()

"""What Prometheus reads at /metrics; no text and no label of a task is a metric's label.

What the web process does is counted here. What the workers do stands in the ledger and the queue, and is read there:
the workers need no port of their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.core.errors import QueueError
from backend.core.memory import Memory
from backend.job_queue import JobQueue
from backend.ledger import Ledger

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 3.0, 10.0, 60.0, 100.0)
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True)
class Telemetry:
    """The web process's instruments."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Histogram = field(init=False)
    decisions: Counter = field(init=False)
    unanswered: Counter = field(init=False)
    cut: Histogram = field(init=False)
    events: Counter = field(init=False)

    def __post_init__(self) -> None:
        instruments = {
            "requests": Histogram(
                "prelabel_request_seconds", "Time to answer, by route and status.", ["route", "status"],
                buckets=SECONDS, registry=self.registry,
            ),
            "decisions": Counter(
                "prelabel_decisions", "Decisions, by what was decided and the stage.", ["project", "kind", "stage"],
                registry=self.registry,
            ),
            "unanswered": Counter(
                "prelabel_unanswered", "Tasks answered with no prediction, by cause.", ["cause"], registry=self.registry
            ),
            "cut": Histogram(
                "prelabel_cut_share", "Share of a text's end that no model read, over the texts that were too long.",
                buckets=SHARES, registry=self.registry,
            ),
            "events": Counter("prelabel_events", "Webhook events, by action.", ["action"], registry=self.registry),
        }  # fmt: skip
        for name, instrument in instruments.items():
            object.__setattr__(self, name, instrument)

    def exposition(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)


@dataclass(frozen=True)
class MemoryCollector(Collector):
    """What the web process keeps loaded, and what it put away."""

    memory: Memory[Any]

    def collect(self) -> Iterator[Metric]:
        usage = self.memory.usage()
        loads = CounterMetricFamily("prelabel_model_loads", "Times that a model was loaded.", labels=["model"])
        for name, n in usage.loads.items():
            loads.add_metric([name], n)
        evictions = CounterMetricFamily("prelabel_evictions", "What was put away for want of memory.", labels=["kind"])
        nbytes = GaugeMetricFamily("prelabel_loaded_bytes", "Bytes that loaded things take.", labels=["kind"])
        for kind in usage.n:
            evictions.add_metric([kind], usage.evictions[kind])
            nbytes.add_metric([kind], usage.nbytes[kind])
        yield from (loads, evictions, nbytes)
        yield GaugeMetricFamily("prelabel_models_loaded", "Models in memory.", usage.n["model"])
        yield GaugeMetricFamily("prelabel_projects_loaded", "Projects that answer at once.", usage.n["state"])
        yield GaugeMetricFamily("prelabel_memory_limit_bytes", "Bytes that may be loaded.", self.memory.limit)


@dataclass(frozen=True)
class LoopCollector(Collector):
    """The workers' side, as it stands at the moment of asking."""

    ledger: Ledger
    queue: JobQueue

    def collect(self) -> Iterator[Metric]:
        yield self._jobs()
        yield from self._projects()

    def _jobs(self) -> Metric:
        """Empty where Redis does not answer: the other figures are still worth reading."""
        jobs = GaugeMetricFamily("prelabel_jobs", "Jobs, by queue and state.", labels=["queue", "state"])
        try:
            counts = self.queue.counts()
        except QueueError:
            return jobs
        for names, n in counts.items():
            jobs.add_metric(names, n)
        return jobs

    def _projects(self) -> Iterator[Metric]:
        trainings = GaugeMetricFamily(
            "prelabel_trainings", "Trainings, by whether the model was promoted.", labels=["project", "promoted"]
        )
        labels = GaugeMetricFamily(
            "prelabel_labels",
            "Annotations, by how they came about and whether the shown label was kept.",
            labels=["project", "how", "kept"],
        )
        waiting = GaugeMetricFamily(
            "prelabel_changed_labels", "Labels changed since the last training.", labels=["project"]
        )
        for key in self.ledger.project_keys():
            done = [training.promoted for training in self.ledger.trainings(key)]
            for promoted in (True, False):
                trainings.add_metric([key, str(promoted).lower()], done.count(promoted))
            for how, kept, n in self.ledger.acceptance(key):
                labels.add_metric([key, how, str(kept).lower()], n)
            row = self.ledger.project(key)
            waiting.add_metric([key], row.changed_labels if row else 0)
        yield from (trainings, labels, waiting)

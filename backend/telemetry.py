"""What Prometheus reads at /metrics: one registry a process; no text and no label of a task is a metric's label."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 3.0, 10.0, 60.0, 100.0)


@dataclass(frozen=True)
class Telemetry:
    """The web process's instruments."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Histogram = field(init=False)
    decisions: Counter = field(init=False)
    unanswered: Counter = field(init=False)
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
            "events": Counter("prelabel_events", "Webhook events, by action.", ["action"], registry=self.registry),
        }  # fmt: skip
        for name, instrument in instruments.items():
            object.__setattr__(self, name, instrument)

    def exposition(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)

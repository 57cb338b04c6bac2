"""The workers' figures: each worker leaves its own in Redis after each job, and /metrics shows all of them.

So workers need no port, on whatever machine they run. What is lost with Redis begins again at 0, as after a restart.
"""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from backend.core.clock import age_s
from backend.core.errors import QueueError
from backend.job_queue import JobQueue

KEPT_S = 24 * 3600.0  # a worker that was silent for so long is gone


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """A worker's metrics in the text format, as of `at` (unix)."""

    at: float
    text: str


def publish(queue: JobQueue, worker: str, registry: CollectorRegistry) -> None:
    """Leave this worker's figures for the web process. Nobody waits for them, so a Redis that is away is no error."""
    figures = {"at": time.time(), "text": generate_latest(registry).decode()}
    try:
        queue.put_figures(worker, json.dumps(figures))
    except QueueError:
        return


def published(queue: JobQueue) -> dict[str, WorkerFigures]:
    """The figures of all workers, by worker; what is too old is removed.

    Raises:
        QueueError: Redis did not answer.
    """
    found = {name: WorkerFigures(**json.loads(kept)) for name, kept in queue.figures().items()}
    stale = [name for name, each in found.items() if age_s(each.at, time.time()) > KEPT_S]
    queue.drop_figures(stale)
    return {name: each for name, each in found.items() if name not in stale}


def families(figures: Mapping[str, WorkerFigures]) -> dict[str, list[Metric]]:
    """The figures by worker as metrics again."""
    return {name: list(text_string_to_metric_families(each.text)) for name, each in figures.items()}


def merged(by_process: Mapping[str, Iterable[Metric]]) -> list[Metric]:
    """One family a name, whose samples tell their process."""
    found: dict[str, Metric] = {}
    for process, metrics in by_process.items():
        for metric in metrics:
            family = found.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            for sample in metric.samples:
                if not sample.name.endswith("_created"):
                    family.add_sample(sample.name, {**sample.labels, "process": process}, sample.value)
    return list(found.values())

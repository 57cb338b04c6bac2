"""What a process keeps loaded, and what it put away, as metrics."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.core.memory import Memory


@dataclass(frozen=True)
class MemoryCollector(Collector):
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

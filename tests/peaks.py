"""What the suite's own processes took in memory at most, told at the end of a run; pytest's hooks."""

import gc
import resource
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from backend.core.weighing import give_back, resident

PEAK = "peak_mb"
MOST_MB = 2_000  # a process: two of them and a demo have room on 8 GB
KB = 1 if sys.platform == "darwin" else 1024  # bytes of a unit of ru_maxrss

GROWN_BYTES = 150_000_000  # since the last collection: about a model

peaks: dict[str, int] = {}  # of xdist's workers
freed = {"at": 0}  # resident bytes after the last collection


def peak_mb() -> int:
    """Of this process since it began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KB // 1024**2


def pytest_runtest_logfinish() -> None:
    """Collect what a test left behind: models hang in cycles, and Python does not see their size."""
    if resident() > freed["at"] + GROWN_BYTES:
        gc.collect()
        give_back()
        freed["at"] = resident()


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[PEAK] = peak_mb()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    output: Mapping[str, Any] = getattr(node, "workeroutput", {})
    peaks[node.gateway.id] = output.get(PEAK, 0)  # 0: it was killed


def pytest_terminal_summary(terminalreporter: Any) -> None:
    found = peaks or {"this process": peak_mb()}
    told = ", ".join(f"{name} {peak or '?'} MB" for name, peak in sorted(found.items()))
    over = any(peak > MOST_MB for peak in found.values())
    terminalreporter.write_line(f"peak memory: {told}, of {MOST_MB} MB", red=over)

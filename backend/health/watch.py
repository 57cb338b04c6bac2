"""A thread that looks again and again, so that /health, /ready and /metrics answer from memory whatever is away."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from backend.assembly import Assembly
from backend.health.faults import Fault, faults, unsettled
from backend.health.sight import Sight, look
from backend.job_queue import JobQueue
from backend.logs import told
from backend.serving import ServedProjects

LOOK_EVERY_S = 5.0
SHARE_OF_TIME = 0.05  # that looking may take: large ledgers are looked at less often
STALE_S = 60.0  # a look that takes longer hangs in the database or on the disk

log = structlog.get_logger()


def _is_set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass
class Watch:
    """What the last look saw. Thread-safe; nothing here waits but `look`."""

    projects: ServedProjects
    queue: JobQueue
    assembly: Assembly
    sight: Sight | None = None
    seen: threading.Event = field(default_factory=_is_set)  # unless the first look is awaited
    _looked_at: float = 0.0  # by time.monotonic(), which nobody sets back
    _since: dict[tuple[str, str], float] = field(default_factory=dict)  # unix, by kind and what it is about
    _stopped: threading.Event = field(default_factory=threading.Event)

    def start(self, begin: Callable[[], None]) -> None:
        """Look again and again, after `begin`, which may have work wait for the first look."""
        self.seen.clear()
        begin()
        threading.Thread(target=self._look_forever, daemon=True, name="watch").start()

    def stop(self) -> None:
        self._stopped.set()

    def look(self) -> Sight:
        """Look now, and have loaded what is new."""
        loader = self.projects.loader
        before = self.sight.projects if self.sight else ()
        begun = time.monotonic()
        self.sight = seen = look(loader.settings, loader.ledger, self.queue, loader, before)
        self._looked_at = begun
        if not seen.database:
            for project in seen.projects:
                self.projects.keep_up(project.key)
        self._note(self.faults())
        return seen

    def faults(self) -> list[Fault]:
        """What is wrong, the worst first."""
        if self.sight is None:
            return []
        stale = time.monotonic() - self._looked_at
        hangs = Fault("database", f"nothing could be looked at for {stale:.0f} s", "check the database and the disk")
        missing = sorted(self.assembly.missing_voters | self.assembly.missing_rerankers)
        return [*([hangs] if stale > STALE_S else []), *faults(self.sight, self.projects, missing)]

    def since(self, fault: Fault) -> float:
        """When a fault was seen first, unix."""
        return self._since.get((fault.kind, fault.about), time.time())

    def obstacles(self) -> list[str]:
        """Why the process is not ready; empty where it is."""
        if self.sight is None:
            return ["it has only just started"]
        broken = [fault.what for fault in self.faults() if fault.kind == "database"]
        return broken + [f"project {key} is being loaded" for key in unsettled(self.sight, self.projects)]

    def _note(self, present: list[Fault]) -> None:
        now, before = time.time(), self._since
        self._since = {(fault.kind, fault.about): before.get((fault.kind, fault.about), now) for fault in present}
        for kind, about in self._since.keys() - before.keys():
            log.warning("degraded", kind=kind, about=about)
        for kind, about in before.keys() - self._since.keys():
            log.info("recovered", kind=kind, about=about)

    def _look_forever(self) -> None:
        self._try_to_look()
        self.seen.set()
        pause = LOOK_EVERY_S
        while not self._stopped.wait(pause):
            took = _seconds(self._try_to_look)
            pause = max(LOOK_EVERY_S, took / SHARE_OF_TIME - took)

    def _try_to_look(self) -> None:
        try:
            self.look()
        except Exception as err:  # noqa: BLE001  (the next look may succeed; a sight that stays old is a fault)
            log.error("look_failed", **told(err))


def _seconds(what: Callable[[], None]) -> float:
    started = time.perf_counter()
    what()
    return time.perf_counter() - started

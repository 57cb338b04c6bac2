"""What one process keeps loaded, within a budget: models, which projects share, and projects' states.

Decides what is put away where there is no room; knows nothing of what a model or a state is. Both are immutable: who
still uses one that was put away keeps it alive that long, and it is found again rather than loaded twice.
"""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from weakref import WeakValueDictionary

import structlog

from backend.core.weighing import give_back, resident, weigh

STAY_S = 20.0  # a state that was just loaded answers for so long, also where projects with no room for all take turns
MB = 1024 * 1024

Kind = Literal["state", "model"]
State = TypeVar("State")
Model = TypeVar("Model")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """A model or a state."""

    thing: Any
    nbytes: int
    uses: frozenset[str] = frozenset()  # names of the models that a state uses
    since: float = 0.0  # by time.monotonic()


@dataclass(frozen=True, slots=True)
class Usage:
    """What is held."""

    n: dict[Kind, int]
    nbytes: dict[Kind, int]
    evictions: dict[Kind, int]  # since the process began
    loads: dict[str, int]  # of each model, since the process began


@dataclass(eq=False)
class Memory(Generic[State]):
    """Thread-safe; only loading a model waits, for other loads."""

    limit: float = float("inf")  # bytes
    stay_s: float = 0.0  # a state is not put away before
    _models: OrderedDict[str, Held] = field(default_factory=OrderedDict, repr=False)  # last used, last
    _states: OrderedDict[str, Held] = field(default_factory=OrderedDict, repr=False)  # last used, last
    _alive: WeakValueDictionary[str, Any] = field(default_factory=WeakValueDictionary, repr=False)
    _weights: dict[str, int] = field(default_factory=dict, repr=False)  # of models, as measured last
    _loads: Counter[str] = field(default_factory=Counter, repr=False)
    _evictions: Counter[Kind] = field(default_factory=Counter, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _loading: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def model(self, name: str, load: Callable[[], Model], *, later: Callable[[Model], int] = lambda _: 0) -> Model:
        """The model of a name, loaded where nobody has it. One is loaded at a time, so that each is weighed alone.

        Args:
            load: makes it; it must allow weak references.
            later: bytes that it will take by and by: a cache that fills.
        """
        found: Model | None = self._found(name)
        if found is not None:
            return found
        with self._loading:
            found = self._found(name)
            if found is not None:
                return found
            before = resident()
            model = load()
            give_back()  # what loading took in passing is no part of the model
            self._weights[name] = max(0, resident() - before) + later(model)
            with self._lock:
                self._alive[name] = model
                self._loads[name] += 1
                self._keep_model(name, model)
                self._make_room(model=name)
        log.info("model_loaded", model=name, mb=self._weights[name] // MB)
        return model

    def state(self, key: str) -> State | None:
        """A project's state, used now; None where none is held."""
        with self._lock:
            held = self._states.get(key)
            if held is None:
                return None
            self._states.move_to_end(key)
            self._touch(held.uses)
            self._make_room(state=key)
            state: State = held.thing
            return state

    def states(self) -> dict[str, State]:
        """All states, by project; none of them counts as used."""
        with self._lock:
            return {key: held.thing for key, held in self._states.items()}

    def put(self, key: str, state: State) -> None:
        """Hold a project's state in place of an older one; what was used least recently makes room for it."""
        with self._lock:
            names = {id(model): name for name, model in self._alive.items()}
        nbytes, uses = weigh(state, names)  # outside the lock: 50 ms for a vocabulary of 30,000 terms
        with self._lock:
            old = self._states.get(key)
            self._states[key] = Held(state, nbytes, uses, old.since if old else time.monotonic())
            self._states.move_to_end(key)
            self._touch(uses)
            self._make_room(state=key)

    def would_help(self, key: str) -> bool:
        """Whether a project's state, loaded now, would stay: it is held, there is room, or another can go."""
        with self._lock:
            stayed = any(self._stayed(held) for held in self._states.values())
            return key in self._states or stayed or not self._states or self._used() < self.limit

    def room_for_another(self) -> bool:
        """Whether a state as large as the largest so far would fit without putting anything away."""
        with self._lock:
            largest = max((held.nbytes for held in self._states.values()), default=0)
            return self._used() + largest <= self.limit

    def clear(self) -> None:
        """Put everything away; who still uses something keeps it alive that long."""
        with self._lock:
            self._states.clear()
            self._models.clear()
        give_back()

    def usage(self) -> Usage:
        with self._lock:
            kinds: dict[Kind, OrderedDict[str, Held]] = {"state": self._states, "model": self._models}
            return Usage(
                {kind: len(held) for kind, held in kinds.items()},
                {kind: sum(one.nbytes for one in held.values()) for kind, held in kinds.items()},
                {kind: self._evictions[kind] for kind in kinds},
                dict(self._loads),
            )

    def _found(self, name: str) -> Any:
        with self._lock:
            model = self._alive.get(name)
            if model is not None:
                self._keep_model(name, model)
            return model

    def _keep_model(self, name: str, model: object) -> None:
        self._models[name] = Held(model, self._weights[name])
        self._models.move_to_end(name)

    def _touch(self, uses: frozenset[str]) -> None:
        for name in uses:
            if (model := self._alive.get(name)) is not None:
                self._keep_model(name, model)

    def _used(self) -> int:
        return sum(held.nbytes for part in (self._states, self._models) for held in part.values())

    def _stayed(self, held: Held) -> bool:
        return time.monotonic() - held.since >= self.stay_s

    def _make_room(self, *, state: str = "", model: str = "") -> None:
        """Put away models that no state uses, then the states that were used least recently, and so on, but never
        what is named. Where that is not enough, the budget is exceeded: who asked is served."""
        evicted = False
        while self._used() > self.limit and self._put_away_one(state, model):
            evicted = True
        if evicted:
            give_back()

    def _put_away_one(self, state: str, model: str) -> bool:
        used = frozenset[str]().union(*(held.uses for held in self._states.values()))
        unused = next((name for name in self._models if name not in used and name != model), None)
        if unused is not None:
            del self._models[unused]
            self._note("model", unused)
            return True
        oldest = next((key for key, held in self._states.items() if key != state and self._stayed(held)), None)
        if oldest is None:
            return False
        del self._states[oldest]
        self._note("state", oldest)
        return True

    def _note(self, kind: Kind, name: str) -> None:
        self._evictions[kind] += 1
        log.info("evicted", kind=kind, name=name, used_mb=self._used() // MB, limit_mb=self.limit // MB)

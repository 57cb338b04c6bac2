"""What serves: per project one atomic state of version and pipeline, swapped whole.

Answers come from memory. Loading happens in a thread of its own; until it is done the old state answers, or nothing. So
it is for a project that was put away because there was no room for all.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from backend.assembly import Assembly
from backend.core.artefacts import Manifest, read_manifest
from backend.core.errors import BadInputError, ModelFolderError, PrelabelError, StateError
from backend.core.memory import Memory
from backend.core.projects import ProjectFolder, ProjectKey, project_folder, way_to_train
from backend.core.settings import Settings
from backend.core.types import Example, Pipeline
from backend.ledger import IndexRow, Ledger, ProjectRow
from backend.logs import told
from backend.pipeline.budget import Budget, MeteredBudget

KEPT_VERSIONS = 2  # the newest and the one to go back to: what others have beside their folders is deleted
AFTER_S = 5.0  # a look at 20 projects takes one second, and half a minute while others load
HOLDOUT_BUCKETS = 10  # of 100; never in the index of a model that is judged on them

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Served:
    """What answers for a project: these belong together."""

    version: str
    pipeline: Pipeline
    manifest: Manifest
    generation: int  # of the neighbour index


@dataclass(frozen=True, slots=True)
class Loader:
    """Reads a version from the state folder, with the labels that were accepted since it was trained."""

    settings: Settings
    assembly: Assembly
    ledger: Ledger

    def folder(self, key: str) -> ProjectFolder:
        return project_folder(self.settings.projects_dir, key)

    def load(self, key: str, version: str) -> Served:
        """Read a version.

        Raises:
            ModelFolderError: its folder cannot be used.
            ArtefactError: a model of its profile cannot be used.
            VectorIndexError: its vectors lie in a Chroma that does not answer.
        """
        folder = self.folder(key)
        path = folder.artefact(version)
        with self._saying_what_helps(key, version):
            manifest = read_manifest(path)
            pipeline = self.assembly.pipeline(path, project=key).with_budget(self.budget(key))
        fresh = Served(version, pipeline, manifest, trained_generation(manifest))
        self.assembly.sweep(key, {version, folder.current(), *folder.versions()[-KEPT_VERSIONS:]})
        return self.follow(key, fresh)

    def follow(self, key: str, served: Served) -> Served:
        """The same version with the neighbour index of now; cheap where nothing changed."""
        row = self.ledger.project(key)
        generation = row.generation if row else 0
        if generation == served.generation:
            return served
        rows = self.ledger.index_rows(key, after=trained_generation(served.manifest))
        return _with(served, rows, generation)

    def replay(self, key: str, version: str, generation: int) -> Served:
        """A version with the neighbour index as it was at a generation.

        Raises:
            BadInputError: the version never had it, or tasks that it held were deleted since.
            ModelFolderError, ArtefactError: as `load`.
        """
        path = self.folder(key).artefact(version)
        with self._saying_what_helps(key, version):
            manifest = read_manifest(path)
        row, trained = self.ledger.project(key), trained_generation(manifest)
        newest = row.generation if row else 0
        if not trained <= generation <= newest:
            raise BadInputError(f"the generation of {version} must be in [{trained}, {newest}], was {generation}")
        with self._saying_what_helps(key, version):
            pipeline = self.assembly.pipeline(path).with_budget(self.budget(key))  # its vectors stay in this process
        served = Served(version, pipeline, manifest, trained)
        return _with(served, self.ledger.index_rows_at(key, generation, after=trained), generation)

    @contextmanager
    def _saying_what_helps(self, key: str, version: str) -> Iterator[None]:
        """Add to what is wrong with a folder the commands that mend it: they are those of its project."""
        try:
            yield
        except ModelFolderError as err:
            row, number = self.ledger.project(key) or ProjectRow(key), ProjectKey.parse(key).id
            way = way_to_train(number, pinned=bool(row.pinned), frozen=row.frozen)
            if version != self.folder(key).current():
                way = f"or name another version, of prelabel models list --project {number}"
            raise ModelFolderError(f"{err}: {way}") from err

    def budget(self, key: str) -> Budget:
        """What a project's language models may take in a day, for all processes together."""
        return MeteredBudget(self.ledger.spending, key, lambda: self.folder(key).settings().llm_limits)


def _with(served: Served, rows: list[IndexRow], generation: int) -> Served:
    live = live_examples(rows, judged_on_holdout=served.manifest.judged_on == "holdout")
    return Served(served.version, served.pipeline.with_live(live), served.manifest, generation)


def trained_generation(manifest: Manifest) -> int:
    """The index generation that a version was trained at."""
    return int(manifest.parameters.get("generation", 0))


def live_examples(rows: list[IndexRow], *, judged_on_holdout: bool) -> list[Example]:
    """Accepted labels as the index takes them, without what gold rows say.

    The holdout stays out of the index of a model judged on it.
    """
    return [
        Example(str(row.task_id), row.text, row.label)
        for row in rows
        if row.bucket >= (HOLDOUT_BUCKETS if judged_on_holdout else 0)
    ]


@dataclass(frozen=True, slots=True)
class Failure:
    """A version that could not be loaded."""

    version: str
    why: str


@dataclass
class ServedProjects:
    """The states of all projects in this process. Thread-safe; nothing here waits for a model."""

    loader: Loader
    _seen: set[str] = field(default_factory=set)  # loaded once, or left out at the start: loaded for a prediction only
    _failures: dict[str, Failure] = field(default_factory=dict)
    _loading: set[str] = field(default_factory=set)
    _waiting: set[str] = field(default_factory=set)  # have their turn at the start, unless they are asked before
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def memory(self) -> Memory[Served]:
        return self.loader.assembly.memory

    def get(self, key: str) -> Served | None:
        """What answers now; asks for a swap in the background where the state folder has moved on."""
        served = self.memory.state(key)
        self._refresh(key, served, self.loader.folder(key).current())
        return served

    def version(self, key: str) -> str:
        """The version that answers; where nothing is loaded, the one that will. Empty for unknown projects.

        Does not count as use, and does not bring back a project that was put away for want of memory.
        """
        served, current = self.memory.states().get(key), self.loader.folder(key).current()
        if served is not None or key not in self._seen:
            self._refresh(key, served, current)
        return served.version if served else current

    def keep_up(self, key: str) -> None:
        """Load what is newer than what answers; a project whose turn is to come keeps its turn."""
        with self._lock:
            waits = key in self._waiting
        if not waits:
            self.version(key)

    def waiting(self) -> frozenset[str]:
        """Projects that nobody has asked for since the start: loaded in their turn, or on demand."""
        with self._lock:
            return frozenset(self._waiting)

    def ready(self) -> dict[str, str]:
        """Version by project, for those that answer."""
        return {key: served.version for key, served in self.memory.states().items()}

    def failures(self) -> dict[str, Failure]:
        """By project, the current version where it could not be loaded the last time."""
        with self._lock:
            return dict(self._failures)

    def put_away(self) -> frozenset[str]:
        """Projects for which there was no room; they come back when they are asked for a prediction."""
        return frozenset(self._seen - self.memory.states().keys())

    def warm(self, keys: Sequence[str], *, after: threading.Event | None = None) -> None:
        """Begin to load projects in the background, one after the other, until there is no room for another.

        The first is the one that the process waits for before it is ready.

        Args:
            after: what should come before, but not for longer than AFTER_S: loading slows it down.
        """
        with self._lock:
            self._waiting.update(key for key in keys[1:] if self.loader.folder(key).current())
        threading.Thread(target=self._warm, args=(keys, after), daemon=True, name="warm").start()

    def _warm(self, keys: Sequence[str], after: threading.Event | None) -> None:
        if after is not None:
            after.wait(AFTER_S)
        for place, key in enumerate(keys):
            if not self.memory.room_for_another():
                with self._lock:
                    self._seen.update(keys[place:])
                    self._waiting.clear()
                log.info("projects_left_out", n=len(keys) - place)
                return
            if (current := self.loader.folder(key).current()) and self._claim(key):
                self._load(key, current)

    def _refresh(self, key: str, served: Served | None, current: str) -> None:
        """Load in the background what is current, where that is not what answers."""
        with self._lock:
            self._waiting.discard(key)
            if key in self._failures and self._failures[key].version != current:
                del self._failures[key]  # somebody switched away from it
        if current and self._stale(key, served, current) and self.memory.would_help(key) and self._claim(key):
            threading.Thread(target=self._load, args=(key, current), daemon=True, name=f"load-{key}").start()

    def _stale(self, key: str, served: Served | None, current: str) -> bool:
        if served is None or served.version != current:
            return True
        try:
            row = self.loader.ledger.project(key)
        except StateError as err:  # what is loaded goes on answering
            log.warning("ledger_not_read", project=key, **told(err))
            return False
        return row is not None and row.generation != served.generation

    def _claim(self, key: str) -> bool:
        """Whether nobody loads this project yet; from here on, the caller does."""
        with self._lock:
            if key in self._loading:
                return False
            self._loading.add(key)
            return True

    def _load(self, key: str, version: str) -> None:
        try:
            served = self.memory.states().get(key)
            if served and served.version == version:
                fresh = self.loader.follow(key, served)
            else:
                fresh = self.loader.load(key, version)
            self.memory.put(key, fresh)
            with self._lock:
                self._seen.add(key)
                self._failures.pop(key, None)
        except Exception as err:  # noqa: BLE001  (nobody waits for this thread: what it raised would be lost)
            self._note_failure(key, version, err)
        finally:
            with self._lock:
                self._loading.discard(key)
                self._waiting.discard(key)

    def _note_failure(self, key: str, version: str, err: Exception) -> None:
        """Logged once: it is tried again and again."""
        failure = Failure(version, str(err) if isinstance(err, PrelabelError) else type(err).__name__)
        with self._lock:
            known, self._failures[key] = self._failures.get(key), failure
        if failure != known:
            log.error("version_not_loaded", project=key, version=version, **told(err))

"""What a job has on its desk: collaborators that live as long as the worker, and one project as it stands now."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

from backend.assembly import Assembly
from backend.core.descriptions import Description, described
from backend.core.errors import BadInputError
from backend.core.memory import Memory
from backend.core.projects import ProjectFolder, ProjectKey, ProjectSettings, config_hash
from backend.core.settings import Settings
from backend.core.types import LabelSpace
from backend.job_queue import LEASE_WAIT_S, JobQueue, connect
from backend.labelstudio.client import LabelStudioClient, open_client
from backend.labelstudio.records import Project
from backend.labelstudio.schema import Control, Unusable, served_control
from backend.ledger import Ledger, ProjectRow, open_ledger
from backend.serving import Loader, Served
from backend.telemetry.asked import AnswerCollector, ServerCollector
from backend.telemetry.instruments import Telemetry
from backend.telemetry.loaded import MemoryCollector


@dataclass
class Desk:
    """One worker's collaborators; models are loaded on first use and kept as long as there is room."""

    settings: Settings
    telemetry: Telemetry = field(default_factory=Telemetry)
    queue_answers_within_s: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close what was opened, and give back what was loaded."""
        opened = vars(self)
        if "loader" in opened:
            self.memory.clear()
        if "client" in opened:
            self.client.close()
        if "queue" in opened:
            self.queue.connection.close()
        if "ledger" in opened:
            self.ledger.engine.dispose()

    @cached_property
    def client(self) -> LabelStudioClient:
        return open_client(self.settings)

    @cached_property
    def ledger(self) -> Ledger:
        ledger = open_ledger(self.settings)
        self.telemetry.watch_database(ledger.engine)
        return ledger

    @cached_property
    def queue(self) -> JobQueue:
        return JobQueue(connect(self.settings, answer_within_s=self.queue_answers_within_s))

    @cached_property
    def loader(self) -> Loader:
        assembly = Assembly(self.settings, Memory(self.settings.memory_bytes), self.telemetry.timed)
        self.telemetry.registry.register(MemoryCollector(assembly.memory))
        self.telemetry.registry.register(ServerCollector(assembly.servers))
        self.telemetry.registry.register(AnswerCollector(assembly.recalled))
        return Loader(self.settings, assembly, self.ledger)

    def project(self, key: str) -> "ProjectDesk":
        """A connected project, read from Label Studio now.

        Raises:
            BadInputError: it is not connected, or its id belongs to another project by now.
        """
        row = self.connected_row(key)
        folder = self.loader.folder(key)
        project = self.client.project(ProjectKey.parse(key).id)
        if str(project.key) != key:
            raise BadInputError(f"project {key} must still exist; its id belongs to {project.key} now: disconnect it")
        settings = folder.settings()
        control = served_control(project.label_config, settings)
        return ProjectDesk(self, key, folder, settings, folder.descriptions(), project, control, row)

    @contextmanager
    def lease(self, what: str, key: str, *, wait_s: float = LEASE_WAIT_S) -> Iterator[bool]:
        """The queue's lease on a connected project.

        False where another keeps it longer than `wait_s`, or the project was disconnected while
        this one waited: then nothing may be written to it any more.
        """
        with self.queue.lease(what, key, wait_s=wait_s) as held:
            yield held and self.connected(key)

    def connected(self, key: str) -> bool:
        """Whether a project is ours: a job may have waited while it was disconnected."""
        return self.ledger.project(key) is not None

    def connected_row(self, key: str) -> ProjectRow:
        """Where a connected project stands. Raises BadInputError where it is not connected."""
        row = self.ledger.project(key)
        if row is None:
            raise BadInputError(f"project must be connected, {key} is not; prelabel status lists those that are")
        return row

    def served(self, key: str) -> Served | None:
        """The current version, loaded, with the neighbour index of now; None where none was published."""
        version = self.loader.folder(key).current()
        if not version:
            return None
        held: Served | None = self.memory.state(key)
        known = held if held is not None and held.version == version else self.loader.load(key, version)
        fresh = self.loader.follow(key, known)
        if fresh is not held:
            self.memory.put(key, fresh)
        return fresh

    def warm(self, key: str) -> None:
        """Load a project before it is needed, unless another would have to go for it."""
        if key in self.memory.states() or self.memory.room_for_another():
            self.served(key)

    @property
    def memory(self) -> Memory[Served]:
        return self.loader.assembly.memory


@dataclass(frozen=True)
class ProjectDesk:
    """One project while a job works on it."""

    desk: Desk
    key: str
    folder: ProjectFolder
    settings: ProjectSettings
    descriptions: tuple[Description, ...]  # of labels, approved
    project: Project
    found: Control | Unusable
    row: ProjectRow

    @property
    def id(self) -> int:
        return self.project.id

    @property
    def usable(self) -> bool:
        return isinstance(self.found, Control)

    @cached_property
    def control(self) -> Control:
        """With the project's descriptions as the hints of labels that have none.

        Raises:
            BadInputError: the label config cannot be served.
        """
        space = described(self.offered, self.descriptions)
        return replace(self._served, space=space, renamed=self.settings.renamed)

    @property
    def offered(self) -> LabelSpace:
        """The labels as the label config has them: without descriptions."""
        return self._served.space

    @property
    def _served(self) -> Control:
        if isinstance(self.found, Unusable):
            raise BadInputError(self.found.message)
        return self.found

    @property
    def profile(self) -> str:
        return self.settings.profile or self.desk.settings.profile

    @property
    def config_hash(self) -> str:
        return config_hash(self.project.label_config, self.settings, self.descriptions)

    @property
    def keywords(self) -> dict[str, Sequence[str]]:
        """The project's keyword rules for labels that its config has; doctor names the others."""
        rules: dict[str, Sequence[str]] = {}
        for label, words in self.settings.keywords.items():
            if value := self.control.labels.value_of(label):
                rules[value] = [*rules.get(value, ()), *words]
        return rules

    def served(self) -> Served | None:
        return self.desk.served(self.key)

    def shows(self, version: str) -> bool:
        """Whether a version is the one that Label Studio shows now."""
        return self.desk.client.project(self.id).model_version == version

    def update(self, **values: object) -> "ProjectDesk":
        """Write to the project's row."""
        self.desk.ledger.update_project(self.key, **values)
        return replace(self, row=self.desk.ledger.project(self.key) or self.row)

    def remember(self, **values: object) -> None:
        """Keep what connecting made, beside what the project was before."""
        row = self.desk.ledger.project(self.key) or self.row
        self.update(snapshot={**(row.snapshot or {}), **values})

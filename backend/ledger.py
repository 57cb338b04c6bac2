"""The database: who was shown what, what people said, and where each project stands.

`shown` and `ledger` are append-only, because Label Studio forgets which label a machine proposed. Rows are plain
values; what they mean for training is decided in training.dataset.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from filelock import FileLock
from sqlalchemy.exc import IntegrityError

from backend.core.artefacts import writing
from backend.core.errors import StateError
from backend.core.settings import Settings

How = Literal["seen", "bulk", "blind", "unaided", "imported"]
WHY_CHARACTERS = 100  # of the database's own words, which end before any value
CHUNK = 500  # rows of one IN clause: SQLite takes 32,766 variables, PostgreSQL 65,535

metadata = sa.MetaData()

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("key", sa.String(40), primary_key=True),
    sa.Column("config_hash", sa.String(16), nullable=False, server_default=""),
    sa.Column("watermark", sa.String(40), nullable=False, server_default=""),  # updated_at of the last task read
    sa.Column("counters", sa.JSON, nullable=False),  # of Label Studio, at the last reconcile
    sa.Column("generation", sa.Integer, nullable=False, server_default="0"),  # of the neighbour index
    sa.Column("pinned", sa.String(60), nullable=False, server_default=""),
    sa.Column("frozen", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("changed_labels", sa.Integer, nullable=False, server_default="0"),  # since the last training
    sa.Column("changed_at", sa.Float, nullable=False, server_default="0"),  # unix; the last accepted label
    sa.Column("due_at", sa.Float, nullable=False, server_default="0"),  # unix; since when a training is worth it
    sa.Column("trained_at", sa.Float, nullable=False, server_default="0"),
    sa.Column("trained_labels", sa.Integer, nullable=False, server_default="0"),
    sa.Column("webhook_at", sa.Float, nullable=False, server_default="0"),
    sa.Column("reconciled_at", sa.Float, nullable=False, server_default="0"),
    sa.Column(
        "snapshot", sa.JSON, nullable=False
    ),  # the project's own settings before `connect`, our ids, and whether it is push-only
)
shown = sa.Table(
    "shown",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project", sa.String(40), nullable=False),
    sa.Column("task_id", sa.BigInteger, nullable=False),
    sa.Column("version", sa.String(60), nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("label", sa.Text, nullable=False),  # ticked, or, of a blind task, what would have been; empty for nothing
    sa.Column("confidence", sa.Float, nullable=False),
    sa.Column("stage", sa.String(20), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),  # label, out_of_scope, abstain, blind
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Index("shown_by_task", "project", "task_id", "id"),
)
ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project", sa.String(40), nullable=False),
    sa.Column("task_id", sa.BigInteger, nullable=False),
    sa.Column("annotation_id", sa.BigInteger, nullable=False),
    sa.Column("annotation_updated_at", sa.String(40), nullable=False),
    sa.Column("annotator", sa.Integer, nullable=False),
    sa.Column("label", sa.Text, nullable=False),  # as accepted; empty for a skip
    sa.Column("how", sa.String(20), nullable=False),
    sa.Column("lead_time_s", sa.Float, nullable=True),
    sa.Column("version", sa.String(60), nullable=False),  # what was shown at that moment; empty where nothing was
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("shown_label", sa.Text, nullable=False),  # where `how` is blind, nobody saw it
    sa.Column("confidence", sa.Float, nullable=True),
    sa.Column("stage", sa.String(20), nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.UniqueConstraint("project", "annotation_id", "annotation_updated_at", name="one_row_a_state"),
)
examples = sa.Table(
    "examples",
    metadata,
    sa.Column("project", sa.String(40), primary_key=True),
    sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),  # empty: forgotten
    sa.Column("bucket", sa.Integer, nullable=False),  # 0-99, of the holdout rule
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Index("examples_by_generation", "project", "generation"),
)
trainings = sa.Table(
    "trainings",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project", sa.String(40), nullable=False),
    sa.Column("version", sa.String(60), nullable=False),
    sa.Column("why", sa.String(20), nullable=False),  # due, asked
    sa.Column("started_at", sa.Float, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("n_examples", sa.Integer, nullable=False),
    sa.Column("promoted", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Training:
    """One training and what became of it."""

    version: str
    why: str
    started_at: float
    seconds: float
    n_examples: int
    promoted: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A prediction as it was pushed."""

    task_id: int
    version: str
    generation: int
    label: str
    confidence: float
    stage: str
    kind: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """One state of one annotation, beside what was shown when it was made."""

    task_id: int
    annotation_id: int
    annotation_updated_at: str
    annotator: int
    label: str
    how: How
    lead_time_s: float | None
    version: str
    generation: int
    shown_label: str
    confidence: float | None
    stage: str


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How often annotations of one kind went with what a version said."""

    version: str  # empty where none had said anything
    how: str
    ticked: bool  # whether the version named a label; shown to nobody where `how` is blind
    kept: bool  # whether it is the label that people gave
    n: int


@dataclass(frozen=True, slots=True)
class IndexRow:
    """An accepted label that the neighbour index holds, or (empty label) must forget."""

    task_id: int
    text: str
    label: str
    bucket: int
    generation: int


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """Where a project stands."""

    key: str
    config_hash: str = ""
    watermark: str = ""
    counters: dict[str, Any] | None = None
    generation: int = 0
    pinned: str = ""
    frozen: bool = False
    changed_labels: int = 0
    changed_at: float = 0.0
    due_at: float = 0.0
    trained_at: float = 0.0
    trained_labels: int = 0
    webhook_at: float = 0.0
    reconciled_at: float = 0.0
    snapshot: dict[str, Any] | None = None

    @property
    def push_only(self) -> bool:
        """Whether Label Studio does not call us for this project, so that it is polled."""
        return bool((self.snapshot or {}).get("push_only"))


@dataclass(frozen=True, slots=True)
class Ledger:
    """All reads and writes of the database."""

    engine: sa.Engine

    def project(self, key: str) -> ProjectRow | None:
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(projects).where(projects.c.key == key)).mappings().first()
        return ProjectRow(**row) if row else None

    def project_keys(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(projects.c.key).order_by(projects.c.key)).scalars())

    def add_project(self, key: str) -> ProjectRow:
        """The project's row, made where it does not exist."""
        known = self.project(key)
        if known is None:
            with suppress(IntegrityError), self.engine.begin() as connection:  # another process was faster
                connection.execute(projects.insert().values(key=key, counters={}, snapshot={}))
        return self.project(key) or ProjectRow(key)

    def remove_project(self, key: str) -> None:
        """Forget where a project stands and its texts; what was shown and accepted stays."""
        with self.engine.begin() as connection:
            connection.execute(projects.delete().where(projects.c.key == key))
            connection.execute(examples.delete().where(examples.c.project == key))

    def update_project(self, key: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(projects.update().where(projects.c.key == key).values(**values))

    def add_shown(self, key: str, rows: Sequence[Shown]) -> None:
        if not rows:
            return
        now = datetime.now(UTC).timestamp()
        values = [{**asdict(row), "project": key, "created_at": now} for row in rows]
        with self.engine.begin() as connection:
            connection.execute(shown.insert(), values)

    def last_shown(self, key: str, task_ids: Iterable[int]) -> dict[int, Shown]:
        """The newest prediction of each task, where it has one."""
        found: dict[int, Shown] = {}
        columns = [shown.c[name] for name in Shown.__slots__]
        with self.engine.connect() as connection:
            for part in _chunks(list(task_ids)):
                newest = (
                    sa.select(sa.func.max(shown.c.id))
                    .where(shown.c.project == key, shown.c.task_id.in_(part))
                    .group_by(shown.c.task_id)
                )
                for row in connection.execute(sa.select(*columns).where(shown.c.id.in_(newest))).mappings():
                    found[row["task_id"]] = Shown(**row)
        return found

    def known_states(self, key: str, annotation_ids: Iterable[int]) -> set[tuple[int, str]]:
        """Which (annotation, updated_at) the ledger holds already."""
        found: set[tuple[int, str]] = set()
        with self.engine.connect() as connection:
            for part in _chunks(list(annotation_ids)):
                query = sa.select(ledger.c.annotation_id, ledger.c.annotation_updated_at).where(
                    ledger.c.project == key, ledger.c.annotation_id.in_(part)
                )
                found.update((row[0], row[1]) for row in connection.execute(query))
        return found

    def add_accepted(self, key: str, rows: Sequence[Accepted]) -> None:
        if not rows:
            return
        now = datetime.now(UTC).timestamp()
        values = [{**asdict(row), "project": key, "created_at": now} for row in rows]
        with self.engine.begin() as connection:
            connection.execute(ledger.insert(), values)

    def how_accepted(self, key: str) -> dict[int, How]:
        """How each annotation was accepted when it was first seen."""
        query = (
            sa.select(ledger.c.annotation_id, ledger.c.how).where(ledger.c.project == key).order_by(ledger.c.id.desc())
        )
        with self.engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def accepted(self, key: str) -> list[Accepted]:
        """The newest state of each annotation, oldest first."""
        newest = sa.select(sa.func.max(ledger.c.id)).where(ledger.c.project == key).group_by(ledger.c.annotation_id)
        query = sa.select(*[ledger.c[name] for name in Accepted.__slots__]).where(ledger.c.id.in_(newest))
        with self.engine.connect() as connection:
            return [Accepted(**row) for row in connection.execute(query.order_by(ledger.c.id)).mappings()]

    def tasks_labelled_otherwise(self, key: str, known: Iterable[str]) -> list[int]:
        """Tasks with an annotation whose newest state held none of these labels; it may be deleted by now."""
        newest = sa.select(sa.func.max(ledger.c.id)).where(ledger.c.project == key).group_by(ledger.c.annotation_id)
        query = (
            sa.select(ledger.c.task_id)
            .where(ledger.c.id.in_(newest), ledger.c.label.not_in([*known, ""]))
            .distinct()
            .order_by(ledger.c.task_id)
        )
        with self.engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def acceptance(self, key: str) -> list[tuple[str, bool, int]]:
        """Counts of (how, whether the shown label was kept) over all annotations that are not skips."""
        counts: Counter[tuple[str, bool]] = Counter()
        for row in self.acceptance_by_version(key):
            counts[row.how, row.kept] += row.n
        return [(how, kept, n) for (how, kept), n in counts.items()]

    def acceptance_by_version(self, key: str) -> list[Acceptance]:
        """The same, by version and by whether there was a label to keep."""
        kept, ticked = ledger.c.label == ledger.c.shown_label, ledger.c.shown_label != ""
        query = (
            sa.select(ledger.c.version, ledger.c.how, ticked, kept, sa.func.count())
            .where(ledger.c.project == key, ledger.c.label != "")
            .group_by(ledger.c.version, ledger.c.how, ticked, kept)
        )
        with self.engine.connect() as connection:
            return [Acceptance(row[0], row[1], bool(row[2]), bool(row[3]), row[4]) for row in connection.execute(query)]

    def require_writable(self) -> None:
        """Raises SQLAlchemyError where the database does not answer, or takes no writes."""
        with self.engine.begin() as connection:
            connection.execute(projects.update().where(projects.c.key == "").values(key=""))

    def add_training(self, key: str, training: Training) -> None:
        with self.engine.begin() as connection:
            connection.execute(trainings.insert().values(project=key, **asdict(training)))

    def trainings(self, key: str) -> list[Training]:
        """All trainings of a project, oldest first."""
        query = sa.select(*[trainings.c[name] for name in Training.__slots__]).where(trainings.c.project == key)
        with self.engine.connect() as connection:
            return [Training(**row) for row in connection.execute(query.order_by(trainings.c.id)).mappings()]

    def index_rows(self, key: str, *, after: int = -1) -> list[IndexRow]:
        """The accepted labels whose generation is above `after`, oldest first."""
        query = (
            sa.select(*[examples.c[name] for name in IndexRow.__slots__])
            .where(examples.c.project == key, examples.c.generation > after)
            .order_by(examples.c.generation, examples.c.task_id)
        )
        with self.engine.connect() as connection:
            return [IndexRow(**row) for row in connection.execute(query).mappings()]

    def put_index(self, key: str, rows: Sequence[tuple[int, str, str, int]]) -> int:
        """Set (task, text, label, bucket) of accepted labels; returns the new generation. An empty label forgets."""
        if not rows:
            row = self.project(key)
            return row.generation if row else 0
        mine = projects.c.key == key
        with self.engine.begin() as connection:
            # first of all, so that two writers come one after the other and never share a generation
            connection.execute(projects.update().where(mine).values(generation=projects.c.generation + 1))
            generation = connection.execute(sa.select(projects.c.generation).where(mine)).scalar() or 1
            for part in _chunks([task_id for task_id, *_ in rows]):
                connection.execute(examples.delete().where(examples.c.project == key, examples.c.task_id.in_(part)))
            names = ("task_id", "text", "label", "bucket")
            fixed = {"project": key, "generation": generation}
            connection.execute(examples.insert(), [{**dict(zip(names, row, strict=True)), **fixed} for row in rows])
        return int(generation)


def open_ledger(settings: Settings) -> Ledger:
    """Connect, and bring the database to the present format.

    Raises:
        StateError: the state folder or the database takes no writes; so do all methods of a Ledger.
    """
    with writing(settings.home):
        settings.home.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(settings.sqlalchemy_url, pool_pre_ping=True, hide_parameters=True)  # texts and labels
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _tune_sqlite)
    sa.event.listen(engine, "handle_error", _as_state_error)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with (
        writing(settings.home),
        FileLock(settings.home / "prelabel.migrating"),  # all processes start at once
        engine.begin() as connection,
    ):
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return Ledger(engine)


def _as_state_error(context: sa.engine.ExceptionContext) -> None:
    """Raises StateError for what the database could not do; a broken constraint stays what it is."""
    if isinstance(context.sqlalchemy_exception, sa.exc.OperationalError):
        why = str(context.original_exception).partition("\n")[0][:WHY_CHARACTERS]
        raise StateError(
            f"the database must answer and take writes, but it says: {why}; look at its disk, its rights, its log"
        ) from context.original_exception


def _tune_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=30000")
    cursor.close()


def _chunks(values: list[int]) -> Iterable[list[int]]:
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))

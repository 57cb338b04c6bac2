"""All reads and writes of the database: who was shown what, what people said, and where each project stands."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from backend.core.artefacts import COLD_PREFIX
from backend.core.errors import BadInputError
from backend.ledger.auto import AutoLedger
from backend.ledger.rows import Acceptance, Accepted, How, IndexRow, ProjectRow, Shown, Training
from backend.ledger.spending import SpendingLedger
from backend.ledger.tables import examples, ledger, past, projects, shown, trainings

BLIND = 5_000  # labels of blind tasks that are looked at
SHOWN_OF_TASK = 200  # predictions of one task: months, where each label brings another
CHUNK = 500  # rows of one IN clause: SQLite takes 32,766 variables, PostgreSQL 65,535


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
            for table in (examples, past):
                connection.execute(table.delete().where(table.c.project == key))

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

    def text_hashes(self, key: str, task_ids: Iterable[int]) -> dict[int, str]:
        """The hash of the text that each task's newest prediction was made of, where one is known."""
        found: dict[int, str] = {}
        with self.engine.connect() as connection:
            for part in _chunks(list(task_ids)):
                newest = (
                    sa.select(sa.func.max(shown.c.id))
                    .where(shown.c.project == key, shown.c.task_id.in_(part), shown.c.text_hash != "")
                    .group_by(shown.c.task_id)
                )
                rows = connection.execute(sa.select(shown.c.task_id, shown.c.text_hash).where(shown.c.id.in_(newest)))
                found.update((row[0], row[1]) for row in rows)
        return found

    def decided_as(self, key: str, version: str) -> Counter[str]:
        """How many tasks a version decided last as what: label, out_of_scope, abstain, blind."""
        mine = shown.c.project == key
        first = sa.select(sa.func.min(shown.c.id)).where(mine, shown.c.version == version).scalar_subquery()
        newest = sa.select(sa.func.max(shown.c.id)).where(mine, shown.c.id >= first).group_by(shown.c.task_id)
        query = (
            sa.select(shown.c.kind, sa.func.count().label("n"))
            .where(shown.c.id.in_(newest), shown.c.version == version)
            .group_by(shown.c.kind)
        )
        with self.engine.connect() as connection:
            return Counter({row.kind: row.n for row in connection.execute(query)})

    def all_shown(self, key: str, task_ids: Iterable[int]) -> dict[int, list[Shown]]:
        """What each task was given to show, oldest first: the last SHOWN_OF_TASK."""
        found: dict[int, list[Shown]] = defaultdict(list)
        columns = [shown.c[name] for name in Shown.__slots__]
        place = sa.func.row_number().over(partition_by=shown.c.task_id, order_by=shown.c.id.desc())
        with self.engine.connect() as connection:
            for part in _chunks(list(task_ids)):
                mine = shown.c.project == key, shown.c.task_id.in_(part)
                placed = sa.select(*columns, shown.c.id, place.label("place")).where(*mine).subquery()
                kept = sa.select(*[placed.c[name] for name in Shown.__slots__]).where(placed.c.place <= SHOWN_OF_TASK)
                for row in connection.execute(kept.order_by(placed.c.id)).mappings():
                    found[row["task_id"]].append(Shown(**row))
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

    def blind_tasks(self, key: str, task_ids: Collection[int] | None = None) -> list[int]:
        """Tasks that were once kept without a tick, by rising id; of all tasks or of some."""
        query = sa.select(shown.c.task_id).where(shown.c.project == key, shown.c.kind == "blind")
        with self.engine.connect() as connection:
            parts = (connection.execute(query.where(each)).scalars() for each in _among(shown, task_ids))
            return sorted(set(chain.from_iterable(parts)))

    def touched(self, key: str, *, after: tuple[int, int]) -> tuple[set[int], tuple[int, int]]:
        """Tasks that were kept blind, or whose annotations changed, after such rows; and the last rows now."""
        new = (
            sa.select(shown.c.id, shown.c.task_id).where(
                shown.c.project == key, shown.c.kind == "blind", shown.c.id > after[0]
            ),
            sa.select(ledger.c.id, ledger.c.task_id).where(ledger.c.project == key, ledger.c.id > after[1]),
        )
        with self.engine.connect() as connection:
            blind, accepted = ([(row[0], row[1]) for row in connection.execute(query)] for query in new)
        last = max((row for row, _ in blind), default=after[0]), max((row for row, _ in accepted), default=after[1])
        return {task_id for _, task_id in (*blind, *accepted)}, last

    def shown_tasks(self, key: str) -> set[int]:
        """All tasks that were ever given anything to show."""
        query = sa.select(shown.c.task_id).where(shown.c.project == key).distinct()
        with self.engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def drop_shown(self, key: str, task_ids: Iterable[int]) -> None:
        """Drop what was shown of tasks that do not exist."""
        with self.engine.begin() as connection:
            for part in _chunks(list(task_ids)):
                connection.execute(shown.delete().where(shown.c.project == key, shown.c.task_id.in_(part)))

    def add_accepted(self, key: str, rows: Sequence[Accepted]) -> None:
        if not rows:
            return
        now = datetime.now(UTC).timestamp()
        values = [{**asdict(row), "project": key, "created_at": now} for row in rows]
        with self.engine.begin() as connection:
            connection.execute(ledger.insert(), values)

    def how_accepted(self, key: str) -> dict[int, How]:
        """How each annotation was accepted when it was first seen, or when a person first changed what we accepted."""
        query = sa.select(ledger.c.annotation_id, ledger.c.how).where(ledger.c.project == key).order_by(ledger.c.id)
        found: dict[int, How] = {}
        with self.engine.connect() as connection:
            for annotation_id, how in connection.execute(query):
                if found.get(annotation_id, "auto") == "auto":
                    found[annotation_id] = how
        return found

    def accepted_as(self, key: str, annotation_ids: Iterable[int]) -> dict[int, Accepted]:
        """The newest state of each of these annotations, with how it was accepted when it was first seen."""
        columns = [ledger.c[name] for name in Accepted.__slots__]
        found: dict[int, Accepted] = {}
        with self.engine.connect() as connection:
            for part in _chunks(list(annotation_ids)):
                mine = sa.select(*columns).where(ledger.c.project == key, ledger.c.annotation_id.in_(part))
                for row in connection.execute(mine.order_by(ledger.c.id)).mappings():
                    state = Accepted(**row)
                    first = found.get(state.annotation_id, state)
                    found[state.annotation_id] = replace(state, how=first.how)
        return found

    def accepted(self, key: str, task_ids: Collection[int] | None = None) -> list[Accepted]:
        """The newest state of each annotation of all tasks or of some; those of a task oldest first."""
        columns = [ledger.c[name] for name in Accepted.__slots__]
        with self.engine.connect() as connection:
            return [
                Accepted(**row)
                for each in _among(ledger, task_ids)
                for row in connection.execute(
                    sa.select(*columns).where(ledger.c.id.in_(_newest(key).where(each))).order_by(ledger.c.id)
                ).mappings()
            ]

    def blind_labels(self, key: str, *, since: float = 0.0) -> list[Accepted]:
        """Labels of blind tasks, entered after a time (unix), beside what a trained version would have shown.

        The newest BLIND of them, oldest first: what was long ago tells little of the version that serves.
        """
        query = sa.select(*[ledger.c[name] for name in Accepted.__slots__]).where(
            ledger.c.id.in_(_newest(key)), ledger.c.how == "blind", ledger.c.label != "", ledger.c.version != "",
            ledger.c.version.not_like(f"{COLD_PREFIX}%"), ledger.c.created_at > since,
        )  # fmt: skip
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(ledger.c.id.desc()).limit(BLIND)).mappings().all()
        return [Accepted(**row) for row in reversed(rows)]

    @property
    def auto(self) -> AutoLedger:
        """What was accepted without a person."""
        return AutoLedger(self.engine)

    @property
    def spending(self) -> SpendingLedger:
        """What language models took."""
        return SpendingLedger(self.engine)

    def tasks_labelled_otherwise(self, key: str, known: Iterable[str]) -> list[int]:
        """Tasks with an annotation whose newest state held none of these labels; it may be deleted by now."""
        query = (
            sa.select(ledger.c.task_id)
            .where(ledger.c.id.in_(_newest(key)), ledger.c.label.not_in([*known, ""]))
            .distinct()
            .order_by(ledger.c.task_id)
        )
        with self.engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def acceptance(self, key: str) -> list[tuple[str, bool, int]]:
        """Counts of (how, whether the shown label was kept) over all annotations whose newest state is no skip."""
        counts: Counter[tuple[str, bool]] = Counter()
        for row in self.acceptance_by_version(key):
            counts[row.how, row.kept] += row.n
        return [(how, kept, n) for (how, kept), n in counts.items()]

    def acceptance_by_version(self, key: str) -> list[Acceptance]:
        """The same, by version and by whether there was a label to keep."""
        kept, ticked = ledger.c.label == ledger.c.shown_label, ledger.c.shown_label != ""
        query = (
            sa.select(ledger.c.version, ledger.c.how, ticked, kept, sa.func.count())
            .where(ledger.c.id.in_(_newest(key)), ledger.c.label != "")
            .group_by(ledger.c.version, ledger.c.how, ticked, kept)
        )
        with self.engine.connect() as connection:
            return [Acceptance(row[0], row[1], bool(row[2]), bool(row[3]), row[4]) for row in connection.execute(query)]

    def require_writable(self) -> None:
        """Raises StateError where the database does not answer, or takes no writes."""
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

    def index_rows_at(self, key: str, generation: int, *, after: int) -> list[IndexRow]:
        """What `index_rows` gave at an earlier generation.

        Raises:
            BadInputError: tasks of it were deleted since, and their texts with them.
        """
        held, then = examples.c, past.c
        now = sa.select(*[held[name] for name in IndexRow.__slots__], sa.false().label("erased")).where(
            held.project == key, held.generation > after, held.generation <= generation
        )
        since = sa.select(*[then[name] for name in IndexRow.__slots__], then.erased).where(
            then.project == key, then.generation > after, then.generation <= generation, then.replaced_at > generation
        )
        with self.engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(sa.union_all(now, since)).mappings()]
        n_erased = sum(bool(row.pop("erased")) for row in rows)
        if n_erased:
            raise BadInputError(
                f"all tasks of generation {generation} must still exist, but {n_erased} were deleted since; "
                "explain a later generation"
            )
        return sorted((IndexRow(**row) for row in rows), key=lambda row: (row.generation, row.task_id))

    def erase(self, key: str, task_ids: Iterable[int]) -> None:
        """Forget what the index once held of tasks that are gone."""
        with self.engine.begin() as connection:
            for part in _chunks(list(task_ids)):
                mine = (past.c.project == key) & past.c.task_id.in_(part)
                connection.execute(past.update().where(mine).values(text="", label="", erased=True))

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
                mine = (examples.c.project == key) & examples.c.task_id.in_(part)
                names = ("project", *IndexRow.__slots__)
                held = sa.select(*[examples.c[name] for name in names], sa.literal(generation)).where(mine)
                connection.execute(past.insert().from_select([*names, "replaced_at"], held))
                connection.execute(examples.delete().where(mine))
            fixed = {"project": key, "generation": generation}
            columns = ("task_id", "text", "label", "bucket")
            connection.execute(examples.insert(), [{**dict(zip(columns, row, strict=True)), **fixed} for row in rows])
        return int(generation)


def _newest(key: str) -> sa.Select[tuple[int]]:
    """The newest state of each annotation, by its row."""
    return sa.select(sa.func.max(ledger.c.id)).where(ledger.c.project == key).group_by(ledger.c.annotation_id)


def _among(table: sa.Table, task_ids: Collection[int] | None) -> Iterable[sa.ColumnElement[bool]]:
    """Conditions that choose some tasks between them, or one that chooses all."""
    if task_ids is None:
        return [sa.true()]
    return [table.c.task_id.in_(part) for part in _chunks(list(task_ids))]


def _chunks(values: list[int]) -> Iterable[list[int]]:
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))

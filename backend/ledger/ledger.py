"""All reads and writes of the database: who was shown what, what people said, and where each project stands."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from backend.ledger.rows import Acceptance, Accepted, How, IndexRow, ProjectRow, Shown, Training
from backend.ledger.tables import examples, ledger, projects, shown, trainings

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

    def accepted(self, key: str) -> list[Accepted]:
        """The newest state of each annotation, oldest first."""
        query = sa.select(*[ledger.c[name] for name in Accepted.__slots__]).where(ledger.c.id.in_(_newest(key)))
        with self.engine.connect() as connection:
            return [Accepted(**row) for row in connection.execute(query.order_by(ledger.c.id)).mappings()]

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


def _newest(key: str) -> sa.Select[tuple[int]]:
    """The newest state of each annotation, by its row."""
    return sa.select(sa.func.max(ledger.c.id)).where(ledger.c.project == key).group_by(ledger.c.annotation_id)


def _chunks(values: list[int]) -> Iterable[list[int]]:
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))

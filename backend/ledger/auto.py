"""What was accepted without a person: entered before Label Studio is told, so that it is never taken for a person's."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from backend.ledger.rows import AutoAccepted
from backend.ledger.tables import auto_accepted

FEW = 500  # tasks that are asked for by name; more by reading all


@dataclass(frozen=True, slots=True)
class AutoLedger:
    """Reads and writes of one table. At most one row of a task stands."""

    engine: sa.Engine

    def add(self, key: str, rows: Sequence[AutoAccepted]) -> None:
        if not rows:
            return
        now = datetime.now(UTC).timestamp()
        with self.engine.begin() as connection:
            connection.execute(
                auto_accepted.insert(), [{**asdict(row), "project": key, "created_at": now} for row in rows]
            )

    def name_annotation(self, key: str, task_id: int, annotation_id: int) -> None:
        """Note what Label Studio calls an annotation that was announced."""
        with self.engine.begin() as connection:
            connection.execute(
                auto_accepted.update().where(_stands(key), auto_accepted.c.task_id == task_id).values(
                    annotation_id=annotation_id
                )
            )  # fmt: skip

    def take_back(self, key: str, task_ids: Iterable[int]) -> None:
        """Note that these do not stand any more."""
        now = datetime.now(UTC).timestamp()
        with self.engine.begin() as connection:
            for task_id in task_ids:
                mine = _stands(key) & (auto_accepted.c.task_id == task_id)
                connection.execute(auto_accepted.update().where(mine).values(taken_back_at=now))

    def standing(self, key: str, task_ids: Collection[int] | None = None) -> dict[int, AutoAccepted]:
        """By task, what stands; of some tasks, or of all."""
        query = sa.select(*[auto_accepted.c[name] for name in AutoAccepted.__slots__]).where(_stands(key))
        if task_ids is not None and len(task_ids) <= FEW:
            query = query.where(auto_accepted.c.task_id.in_(task_ids))
        with self.engine.connect() as connection:
            rows = [AutoAccepted(**row) for row in connection.execute(query).mappings()]
        return {row.task_id: row for row in rows}


def _stands(key: str) -> sa.ColumnElement[bool]:
    return (auto_accepted.c.project == key) & (auto_accepted.c.taken_back_at == 0)

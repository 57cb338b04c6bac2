"""What language models took, by scope (a project, a run) and day, counted for all processes of a database."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from backend.core.spending import Spend, Spent
from backend.ledger.tables import ledger, spending

AMOUNTS = (spending.c.tokens, spending.c.seconds, spending.c.cost)


@dataclass(frozen=True, slots=True)
class SpendingLedger:
    """Reads and writes of one table. Meets backend.pipeline.budget.Book."""

    engine: sa.Engine

    def spent(self, scope: str, day: str) -> Spent:
        """What a scope took in a day."""
        return self._sum(_row(scope, day))

    def total(self, scope: str) -> Spent:
        """What it took in all."""
        return self._sum(spending.c.scope == scope)

    def reserve(self, scope: str, day: str, spend: Spend, *, limits: Spend) -> bool:
        """Enter an amount, unless that would be over a limit: whether it was entered. One step for all processes."""
        wanted, allowed = asdict(spend), asdict(limits)
        within = [each + wanted[each.name] <= allowed[each.name] for each in AMOUNTS if allowed[each.name]]
        return self._enter(scope, day, spend, 0, within)

    def add(self, scope: str, day: str, spend: Spend, *, n_over: int = 0) -> None:
        """Enter an amount, which may be negative, and texts that nobody was asked about."""
        self._enter(scope, day, spend, n_over, [])

    def forget(self, scope: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(spending.delete().where(spending.c.scope == scope))

    def ticks_after_votes(self, key: str) -> tuple[int, int]:
        """Of a project's ticks that language models had voted on: how many were kept, and how many there were.

        Of all states of an annotation the last one counts, skips left out.
        """
        newest = sa.select(sa.func.max(ledger.c.id)).where(ledger.c.project == key).group_by(ledger.c.annotation_id)
        query = sa.select(sa.func.sum(sa.case((ledger.c.label == ledger.c.shown_label, 1), else_=0)), sa.func.count())
        mine = (ledger.c.how == "seen") & (ledger.c.stage == "vote") & (ledger.c.label != "")
        with self.engine.connect() as connection:
            kept, n = connection.execute(query.where(ledger.c.id.in_(newest), mine)).one()
        return int(kept or 0), int(n)

    def _enter(self, scope: str, day: str, spend: Spend, n_over: int, within: Sequence[sa.ColumnElement[bool]]) -> bool:
        more = {each: each + getattr(spend, each.name) for each in AMOUNTS}
        grown = spending.update().where(_row(scope, day), *within)
        grown = grown.values({**more, spending.c.n_over: spending.c.n_over + n_over})
        return self._done(grown) or (self._begin(scope, day) and self._done(grown))

    def _done(self, statement: sa.Update) -> bool:
        with self.engine.begin() as connection:
            return bool(connection.execute(statement).rowcount)

    def _begin(self, scope: str, day: str) -> bool:
        """Make the row of a day; whether it was not there, or somebody was faster."""
        with self.engine.connect() as connection:
            if connection.execute(sa.select(spending.c.scope).where(_row(scope, day))).first():
                return False
        with suppress(IntegrityError), self.engine.begin() as connection:
            connection.execute(spending.insert().values(scope=scope, day=day))
        return True

    def _sum(self, where: sa.ColumnElement[bool]) -> Spent:
        columns = [sa.func.coalesce(sa.func.sum(each), 0) for each in (*AMOUNTS, spending.c.n_over)]
        with self.engine.connect() as connection:
            tokens, seconds, cost, n_over = connection.execute(sa.select(*columns).where(where)).one()
        return Spent(Spend(int(tokens), float(seconds), float(cost)), int(n_over))


def _row(scope: str, day: str) -> sa.ColumnElement[bool]:
    return (spending.c.scope == scope) & (spending.c.day == day)

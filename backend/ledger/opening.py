"""Connecting to the database, bringing it to the present format, and what is said when it does not work."""

from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from filelock import FileLock

from backend.core.disk import writing
from backend.core.errors import StateError
from backend.core.settings import Settings
from backend.ledger.ledger import Ledger

MIGRATIONS = Path(__file__).parents[1] / "migrations"
PATIENCE_S = 30.0  # with other writers
WHY_CHARACTERS = 100  # of the database's own words, which end before any value
OUT_OF_ORDER = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.DatabaseError)  # these, and nothing under them


def open_ledger(settings: Settings, *, patience_s: float = PATIENCE_S) -> Ledger:
    """Connect, and bring the database to the present format.

    Args:
        patience_s: how long a write to SQLite waits for those of other processes before it fails.

    Raises:
        StateError: the state folder or the database takes no writes; so do all methods of a Ledger.
    """
    with writing(settings.home):
        settings.home.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(settings.sqlalchemy_url, pool_pre_ping=True, hide_parameters=True)  # texts and labels
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", partial(_tune_sqlite, patience_s))
    sa.event.listen(engine, "handle_error", _as_state_error)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with (
        writing(settings.home),
        FileLock(settings.home / "prelabel.migrating"),  # all processes start at once
        engine.begin() as connection,
    ):
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return Ledger(engine)


def _as_state_error(context: sa.engine.ExceptionContext) -> StateError | None:
    """StateError in place of what the database could not do; a broken constraint stays what it is.

    Returned, not raised: whoever else listens hears of it, too.
    """
    if type(context.sqlalchemy_exception) not in OUT_OF_ORDER:
        return None
    why = str(context.original_exception).partition("\n")[0][:WHY_CHARACTERS]
    return StateError(
        f"the database must answer and take writes, but it says: {why}; look at its disk, its rights, its log"
    )


def _tune_sqlite(patience_s: float, connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute(f"PRAGMA busy_timeout={1000 * patience_s:.0f}")
    cursor.close()

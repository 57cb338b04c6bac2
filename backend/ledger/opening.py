"""Connecting to the database, bringing it to the present format, and what is said when it does not work."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from filelock import FileLock

from backend.core.code_version import code_version
from backend.core.disk import PRIVATE_FOLDER, writing
from backend.core.errors import BadInputError, MissingExtraError, StateError
from backend.core.settings import Settings
from backend.ledger.ledger import Ledger

MIGRATIONS = Path(__file__).parents[1] / "migrations"
PATIENCE_S = 30.0  # with other writers
WHY_CHARACTERS = 100  # of the database's own words, which end before any value
OUT_OF_ORDER = (  # these, and nothing under them
    sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.DatabaseError,
    sa.exc.InternalError,  # PostgreSQL's word for a database that takes no writes
)  # fmt: skip
DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}  # names that are no driver's
MIGRATING = 7_072_656_108  # PostgreSQL's advisory lock while tables are made; a number of our own


def open_ledger(settings: Settings, *, patience_s: float = PATIENCE_S) -> Ledger:
    """Connect, and bring the database to the present format.

    Args:
        patience_s: how long a write to SQLite waits for those of other processes before it fails.

    Raises:
        StateError: the state folder or the database takes no writes; so do all methods of a Ledger.
        BadInputError: the settings name no database.
        MissingExtraError: the library that speaks to it is not installed.
    """
    with writing(settings.home):
        settings.home.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    engine = _engine(settings.sqlalchemy_url)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", partial(_tune_sqlite, patience_s))
    sa.event.listen(engine, "handle_error", _as_state_error)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with (
        ExitStack() as opened,
        writing(settings.home),
        FileLock(settings.home / "prelabel.migrating"),  # all processes start at once
        engine.begin() as connection,
    ):
        opened.callback(engine.dispose)
        if engine.dialect.name == "postgresql":  # those on other machines do not see the file
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATING)))
        config.attributes["connection"] = connection
        _upgrade(config)
        opened.pop_all()
    return Ledger(engine)


def _upgrade(config: Config) -> None:
    """Bring the tables to the present format.

    Raises:
        StateError: a newer prelabel has brought them to a format that this one does not know.
    """
    try:
        command.upgrade(config, "head")
    except CommandError as err:
        known = ScriptDirectory.from_config(config).get_current_head()
        raise StateError(
            f"the database must be of a format that prelabel {code_version()} knows, up to {known}, but a newer "
            "prelabel has changed it; install that one again, or name another state folder with PRELABEL_HOME"
        ) from err


def _engine(url: str) -> sa.Engine:
    try:
        named = sa.make_url(url)
        known = named.set(drivername=DRIVERS.get(named.drivername, named.drivername))
        return sa.create_engine(known, pool_pre_ping=True, hide_parameters=True)  # which are texts and labels
    except sa.exc.ArgumentError as err:  # its words quote the URL, and so the password
        raise BadInputError(
            "PRELABEL_DATABASE_URL must be postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:///FILE, is neither; "
            "correct it, or unset it to keep the state in SQLite"
        ) from err
    except ModuleNotFoundError as err:
        raise MissingExtraError(
            f"PRELABEL_DATABASE_URL needs {err.name}, which is not installed; run `pip install 'prelabel[postgres]'`"
        ) from err


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

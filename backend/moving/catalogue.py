"""Which rows a project holds already: a cache of what Label Studio says, which is the truth.

A SQLite file in the state folder, so that memory does not grow with a project. Each run begins by catching up: tasks
above the highest id that was read, and all of them again where the number of those below is not what it was. A file
that is damaged or of another format is made anew.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Protocol

from backend.core.errors import StateError
from backend.labelstudio.filters import id_above
from backend.labelstudio.records import Json
from backend.labelstudio.schema import ID_KEY
from backend.labelstudio.wire import value_at
from backend.moving.cells import fingerprint, text_fingerprint

FORMAT = "2"
TABLES = """
CREATE TABLE IF NOT EXISTS tasks (identity TEXT PRIMARY KEY, task_id INTEGER NOT NULL, fingerprint BLOB NOT NULL,
    text BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS doubles (task_id INTEGER PRIMARY KEY, first_id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
OF_THIS_RUN = """
PRAGMA temp_store = FILE;
CREATE TEMP TABLE seen (identity TEXT PRIMARY KEY, number INTEGER NOT NULL, fingerprint BLOB NOT NULL) WITHOUT ROWID;
CREATE TEMP TABLE late (task_id INTEGER PRIMARY KEY, label TEXT NOT NULL, number INTEGER NOT NULL,
    identity TEXT NOT NULL);
CREATE TEMP TABLE texts (digest TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
"""


class Tasks(Protocol):
    """What Label Studio tells of a project's tasks."""

    def count(self, project_id: int, filters: Sequence[Json]) -> int: ...

    def pages_above(
        self, project_id: int, task_id: int, *, include: str, filters: Sequence[Json] = ()
    ) -> Iterator[list[Json]]: ...


@dataclass(frozen=True, slots=True)
class Known:
    """A row that the project holds."""

    task_id: int
    fingerprint: bytes
    text: bytes  # the fingerprint of its text alone


@dataclass(frozen=True, slots=True)
class Double:
    """A row that the project holds twice."""

    task_id: int
    first_id: int


@dataclass(frozen=True, slots=True)
class Labelled:
    """A label for a task that stands there already."""

    task_id: int
    label: str
    number: int  # of the row that has it
    identity: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The rows of one project. For one thread."""

    connection: sqlite3.Connection
    text_key: str  # of the task data

    def catch_up(self, tasks: Tasks, project_id: int) -> None:
        """Read what Label Studio has and this does not."""
        high, known = int(self.note("high") or 0), int(self.note("n_tasks") or 0)
        n_above = tasks.count(project_id, [id_above(high)])
        if tasks.count(project_id, []) - n_above != known:  # tasks were deleted, or made by others meanwhile
            self.connection.executescript("DELETE FROM tasks; DELETE FROM doubles;")
            high, known, n_above = 0, 0, -1
        if n_above == 0:
            return
        for page in tasks.pages_above(project_id, high, include="id,data"):
            with self.connection:
                for task in page:
                    self._enter(task)
                known += len(page)
                high = page[-1]["id"]
                self.keep(high=str(high), n_tasks=str(known))

    def _enter(self, task: Json) -> None:
        data = task.get("data") or {}
        identity = data.get(ID_KEY)
        if not isinstance(identity, str):
            return
        text = text_fingerprint(value_at(data, self.text_key))
        entry = (identity, task["id"], fingerprint(data, identity), text)
        if not self.connection.execute("INSERT OR IGNORE INTO tasks VALUES (?, ?, ?, ?)", entry).rowcount:
            first = self.connection.execute("SELECT task_id FROM tasks WHERE identity = ?", (identity,)).fetchone()[0]
            self.connection.execute("INSERT OR IGNORE INTO doubles VALUES (?, ?)", (task["id"], first))

    def add(self, entries: Sequence[tuple[str, Known]]) -> None:
        """Enter tasks that were made now, by their identities; they are no longer on their way."""
        with self.connection:
            rows = [(identity, *astuple(known)) for identity, known in entries]
            self.connection.executemany("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?)", rows)
            high = max([int(self.note("high") or 0), *(known.task_id for _, known in entries)])
            self.keep(high=str(high), n_tasks=str(int(self.note("n_tasks") or 0) + len(entries)), on_its_way="")

    def known(self, identity: str) -> Known | None:
        row = self.connection.execute(
            "SELECT task_id, fingerprint, text FROM tasks WHERE identity = ?", (identity,)
        ).fetchone()
        return Known(*row) if row else None

    def see(self, identity: str, number: int, told: bytes) -> tuple[int, bytes] | None:
        """Note a row of this run; number and fingerprint of an earlier one of the same identity."""
        entry = (identity, number, told)
        if self.connection.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", entry).rowcount:
            return None
        row = self.connection.execute("SELECT number, fingerprint FROM seen WHERE identity = ?", (identity,)).fetchone()
        return int(row[0]), bytes(row[1])

    def occurrence(self, digest: str) -> int:
        """How often this run asked for a digest, this time included."""
        query = "INSERT INTO texts VALUES (?, 1) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n"
        return int(self.connection.execute(query, (digest,)).fetchone()[0])

    def note_label(self, labelled: Labelled) -> None:
        """Note that a task that stands there should have a label of this run."""
        self.connection.execute("INSERT OR REPLACE INTO late VALUES (?, ?, ?, ?)", astuple(labelled))

    def forget_labels(self, task_ids: Iterable[int]) -> None:
        self.connection.executemany("DELETE FROM late WHERE task_id = ?", [(task_id,) for task_id in task_ids])

    def noted_labels(self) -> Iterator[Labelled]:
        for row in self.connection.execute("SELECT * FROM late ORDER BY number"):
            yield Labelled(*row)

    def doubles(self, *, above: int) -> list[Double]:
        """Rows that stand twice, the second time in a task above `above`."""
        query = "SELECT task_id, first_id FROM doubles WHERE task_id > ? ORDER BY task_id"
        return [Double(*row) for row in self.connection.execute(query, (above,))]

    def forget_doubles(self) -> None:
        with self.connection:
            self.connection.execute("DELETE FROM doubles")

    def note(self, name: str) -> str:
        """What was kept under a name; empty where nothing was."""
        row = self.connection.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def keep(self, **notes: str) -> None:
        """Keep notes; outside a transaction of the caller, `commit` makes them last."""
        self.connection.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?)", list(notes.items()))

    def commit(self) -> None:
        self.connection.commit()


@contextmanager
def open_catalogue(path: Path, text_key: str) -> Iterator[Catalogue]:
    """A project's catalogue, made where it is missing, or where the label config reads another text by now.

    Its folder exists, and whoever opens it is alone there.

    Raises:
        StateError: the state folder takes no writes.
    """
    try:
        connection = _connected(path, text_key)
    except sqlite3.DatabaseError:  # a cache: what it held is read again
        for part in ("", "-wal", "-shm"):
            path.with_name(path.name + part).unlink(missing_ok=True)
        connection = _connected(path, text_key)
    try:
        yield Catalogue(connection, text_key)
    except sqlite3.OperationalError as err:
        raise StateError(f"{path} must take what is written, but it says: {err}; look at its disk") from err
    finally:
        connection.close()


def _connected(path: Path, text_key: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30.0)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(TABLES + OF_THIS_RUN)
    catalogue, wanted = Catalogue(connection, text_key), f"{FORMAT} {text_key}"
    found = catalogue.note("format")
    if found not in ("", wanted):
        connection.close()
        raise sqlite3.DatabaseError(f"format {found}")
    catalogue.keep(format=wanted)
    connection.commit()
    return connection

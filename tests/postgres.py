"""A real PostgreSQL, from PATH or Debian's folder, that lives as long as the session; a database for each test."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from backend.supervisor.process import Service
from tests.stack import free_port, running

DEBIAN = Path("/usr/lib/postgresql")
ACCOUNTS = ("postgres", "nobody")  # PostgreSQL refuses to run as root
NUMBERS = count(1)


def programs() -> Path:
    """The folder of initdb and postgres."""
    pytest.importorskip("psycopg", reason="needs psycopg: `make test-environment` installs it")
    found = shutil.which("initdb")
    folders = [*([Path(found).resolve().parent] if found else []), *sorted(DEBIAN.glob("*/bin"), reverse=True)]
    whole = [folder for folder in folders if (folder / "postgres").is_file()]
    if not whole:
        pytest.skip("needs PostgreSQL's initdb on PATH: Debian's package postgresql has it")
    return whole[0]


def own_folder() -> tuple[Path, tuple[str, ...]]:
    """A folder that the server may own, outside of pytest's, and what makes a command run as its owner."""
    folder = Path(tempfile.mkdtemp(prefix="prelabel-postgres-"))
    if os.getuid():
        return folder, ()
    known = {account.pw_name for account in pwd.getpwall()}
    account = pwd.getpwnam(next(name for name in ACCOUNTS if name in known))
    os.chown(folder, account.pw_uid, account.pw_gid)
    return folder, ("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a server, without a database."""
    found, (folder, as_owner) = programs(), own_folder()
    options = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
    try:
        subprocess.run([*as_owner, found / "initdb", *options, folder / "data"], check=True, capture_output=True)
        port = free_port()
        command = (
            *as_owner, str(found / "postgres"), "-D", str(folder / "data"), "-h", "127.0.0.1", "-p", str(port),
            "-k", str(folder), "-F",
        )  # fmt: skip
        ready = [str(found / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        service = Service(
            "postgres", command, os.environ, lambda _pid: not subprocess.run(ready, check=False).returncode
        )
        with running(service, folder / "logs"):
            yield f"postgresql://postgres@127.0.0.1:{port}"
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgresql_database(postgresql: str) -> str:
    """The URL of an empty database."""
    import psycopg

    name = f"test_{next(NUMBERS)}"
    with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{postgresql}/{name}"

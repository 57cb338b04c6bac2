"""Caches on disk, for all processes of a state folder, that hold numbers, texts and bytes, and never a pickle."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diskcache
import structlog

from backend.core.errors import StateError

PLAIN = (diskcache.core.MODE_RAW, diskcache.core.MODE_BINARY)
TROUBLE = (OSError, sqlite3.Error, diskcache.Timeout, StateError)

log = structlog.get_logger(__name__)


class PlainDisk(diskcache.Disk):  # type: ignore[misc]
    """Numbers, texts and bytes as SQLite and files store them."""

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        if mode not in PLAIN:
            raise StateError(f"{self._directory} must hold nothing to be unpickled, but does; remove the folder")
        return super().fetch(mode, filename, value, read)


def plain_cache(folder: Path, *, size_limit: int, eviction: str) -> Any:
    """A diskcache.Cache.

    Args:
        size_limit: bytes.
        eviction: which entries go first where there are too many, by diskcache's name.

    Raises:
        StateError: the folder cannot be written.
    """
    try:
        return diskcache.Cache(str(folder), disk=PlainDisk, size_limit=size_limit, eviction_policy=eviction)
    except (OSError, sqlite3.Error) as err:
        raise StateError(f"{folder} must be a folder that can be written, but is not; make room or allow it") from err


@contextmanager
def lost(event: str) -> Iterator[None]:
    """Go on without what could not be read or written, and say so."""
    try:
        yield
    except TROUBLE as err:
        log.warning(event, reason=f"{type(err).__name__}: {err}"[:200])

"""What language models have read before, on disk: the evaluated beginnings of prompts, for all processes.

A state is what llama.cpp holds of a beginning's tokens, some ten to sixty kB each. Nothing rests on it: what is lost,
damaged, or cannot be written, is evaluated again.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from backend.core.errors import StateError
from backend.models.plain_cache import lost, plain_cache

SIZE_LIMIT = 512 * 1024 * 1024  # bytes; the ones that were not used for longest go first
DIGEST_BYTES = 32

log = structlog.get_logger(__name__)


class Prefixes(Protocol):
    """Where states lie."""

    def recall(self, key: str) -> bytes | None:
        """A state; None where it is not known, or not as it was kept."""
        ...

    def keep(self, key: str, state: bytes) -> None: ...


@dataclass(frozen=True)
class StoredPrefixes:
    """In files."""

    _cache: Any  # diskcache.Cache

    def recall(self, key: str) -> bytes | None:
        found = None
        with lost("prefix_unreadable"):
            found = self._cache.get(key)
        if not isinstance(found, bytes):
            return None
        digest, state = found[:DIGEST_BYTES], found[DIGEST_BYTES:]
        return state if hashlib.sha256(state).digest() == digest else None

    def keep(self, key: str, state: bytes) -> None:
        with lost("prefix_not_kept"):
            self._cache.set(key, hashlib.sha256(state).digest() + state)


class NoPrefixes:
    """Nothing is kept."""

    def recall(self, key: str) -> bytes | None:  # noqa: ARG002
        return None

    def keep(self, key: str, state: bytes) -> None:
        pass


def open_prefixes(folder: Path) -> Prefixes:
    """The states of a folder; none, with a warning, where it cannot be written."""
    try:
        return StoredPrefixes(plain_cache(folder, size_limit=SIZE_LIMIT, eviction="least-recently-used"))
    except StateError as err:
        log.warning("prefix_not_kept", reason=str(err))
        return NoPrefixes()

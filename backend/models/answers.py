"""What language models have said before, on disk, for all processes of a state folder.

Keys and scores are plain text and numbers; a file that asks to be unpickled is refused. Nothing rests on it: what is
lost, or cannot be read or written, is asked again.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diskcache
import structlog

from backend.core.errors import StateError

SIZE_LIMIT = 512 * 1024 * 1024  # bytes; some five million scores, the oldest go first
TROUBLE = (OSError, sqlite3.Error, diskcache.Timeout, StateError)

log = structlog.get_logger(__name__)


class PlainDisk(diskcache.Disk):  # type: ignore[misc]
    """Numbers and short texts as SQLite stores them."""

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        if mode != diskcache.core.MODE_RAW:
            raise StateError(f"{self._directory} must hold plain numbers, but does not; remove the folder")
        return super().fetch(mode, filename, value, read)


@dataclass(frozen=True)
class StoredAnswers:
    """Meets backend.pipeline.respondent.Answers."""

    _cache: Any  # diskcache.Cache
    tally: Counter[str] = field(default_factory=Counter, compare=False)  # "hit", "miss": since the process began

    @classmethod
    def open(cls, folder: Path) -> "StoredAnswers":
        """Raises StateError where the folder cannot be written."""
        try:
            return cls(
                diskcache.Cache(
                    str(folder), disk=PlainDisk, size_limit=SIZE_LIMIT, eviction_policy="least-recently-stored"
                )
            )
        except (OSError, sqlite3.Error) as err:
            raise StateError(
                f"{folder} must be a folder that can be written, but is not; make room or allow it"
            ) from err

    def recall(self, keys: Sequence[str]) -> Mapping[str, float]:
        """The scores that are known, by key."""
        found: dict[str, float] = {}
        with _lost("answers_unreadable"):
            for key in keys:
                score = self._cache.get(key)
                if isinstance(score, float):
                    found[key] = score
        self.tally.update(hit=len(found), miss=len(keys) - len(found))
        return found

    def keep(self, scores: Mapping[str, float]) -> None:
        with _lost("answers_not_kept"), self._cache.transact():
            for key, score in scores.items():
                self._cache.set(key, score)


class NoAnswers:
    """Nothing is kept. Meets backend.pipeline.respondent.Answers."""

    def recall(self, keys: Sequence[str]) -> Mapping[str, float]:  # noqa: ARG002
        return {}

    def keep(self, scores: Mapping[str, float]) -> None:
        pass


def open_answers(folder: Path) -> StoredAnswers | NoAnswers:
    """The answers of a folder; none, with a warning, where it cannot be written or is damaged."""
    try:
        return StoredAnswers.open(folder)
    except StateError as err:
        log.warning("answers_not_kept", reason=str(err))
        return NoAnswers()


@contextmanager
def _lost(event: str) -> Iterator[None]:
    try:
        yield
    except TROUBLE as err:
        log.warning(event, reason=f"{type(err).__name__}: {err}"[:200])

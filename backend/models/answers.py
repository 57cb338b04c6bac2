"""What language models have said before, on disk, for all processes of a state folder.

Nothing rests on it: what is lost, or cannot be read or written, is asked again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from backend.core.errors import StateError
from backend.models.plain_cache import lost, plain_cache

SIZE_LIMIT = 512 * 1024 * 1024  # bytes; some five million scores, the oldest go first

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class StoredAnswers:
    """Meets backend.pipeline.respondent.Answers."""

    _cache: Any  # diskcache.Cache
    tally: Counter[str] = field(default_factory=Counter, compare=False)  # "hit", "miss": since the process began

    @classmethod
    def open(cls, folder: Path, *, tally: Counter[str] | None = None) -> "StoredAnswers":
        """Raises StateError where the folder cannot be written."""
        cache = plain_cache(folder, size_limit=SIZE_LIMIT, eviction="least-recently-stored")
        return cls(cache, Counter() if tally is None else tally)

    @property
    def nbytes(self) -> int:
        """What it weighs in memory: the folder is everybody's."""
        return 0

    def recall(self, keys: Sequence[str]) -> Mapping[str, float]:
        """The scores that are known, by key."""
        found: dict[str, float] = {}
        with lost("answers_unreadable"):
            for key in keys:
                score = self._cache.get(key)
                if isinstance(score, float):
                    found[key] = score
        self.tally.update(hit=len(found), miss=len(keys) - len(found))
        return found

    def keep(self, scores: Mapping[str, float]) -> None:
        with lost("answers_not_kept"), self._cache.transact():
            for key, score in scores.items():
                self._cache.set(key, score)


class NoAnswers:
    """Nothing is kept. Meets backend.pipeline.respondent.Answers."""

    def recall(self, keys: Sequence[str]) -> Mapping[str, float]:  # noqa: ARG002
        return {}

    def keep(self, scores: Mapping[str, float]) -> None:
        pass


def open_answers(folder: Path, *, tally: Counter[str] | None = None) -> StoredAnswers | NoAnswers:
    """The answers of a folder; none, with a warning, where it cannot be written or is damaged.

    Args:
        tally: counts the answers that were known, "hit", and those that were not, "miss".
    """
    try:
        return StoredAnswers.open(folder, tally=tally)
    except StateError as err:
        log.warning("answers_not_kept", reason=str(err))
        return NoAnswers()

"""Whose word counts where several people labelled one text: the latest of each person, then the majority."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar


class Word(Protocol):
    """What one person said of a text at one time."""

    @property
    def id(self) -> int: ...

    @property
    def completed_by(self) -> Any: ...

    @property
    def updated_at(self) -> str: ...

    @property
    def was_cancelled(self) -> bool: ...

    @property
    def submitted(self) -> bool: ...


W = TypeVar("W", bound=Word)


def latest_of_each(words: Iterable[W]) -> list[W]:
    """The newest word of each person that is not a skip, by the time it was last changed.

    One that the person submitted goes before one that came of accepting many at once, or of an import.
    """
    newest: dict[Any, W] = {}
    for word in sorted(words, key=lambda item: (item.submitted, item.updated_at, item.id)):
        if not word.was_cancelled:
            newest[word.completed_by] = word
    return list(newest.values())


def majority(labels: Iterable[str]) -> str | None:
    """The label that most say; None where the first two are equally many, or there is none."""
    votes = Counter(labels).most_common(2)
    if not votes or (len(votes) > 1 and votes[0][1] == votes[1][1]):
        return None
    return votes[0][0]

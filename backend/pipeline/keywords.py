"""Keyword rules: what a project may say about a label in plain words. A feature for the fuser, never a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import regex

from backend.core.errors import BadInputError
from backend.core.labels import LabelNames
from backend.core.types import LabelSpace
from backend.pipeline.clean import plain
from backend.pipeline.evidence import Feature

KEYWORDS = "keywords"
WORD_SIGN = regex.compile(r"\w")
JOINT = regex.compile(r"(?<=\w)[ -](?=\w)")  # people write it with a hyphen or apart


@dataclass(frozen=True, slots=True)
class KeywordRules:
    """Patterns per column; a text that matches one of a label's patterns speaks for that label."""

    patterns: tuple[tuple[int, regex.Pattern[str]], ...] = ()  # (column, pattern)

    @classmethod
    def of(cls, rules: Mapping[str, Sequence[str]], space: LabelSpace) -> "KeywordRules":
        """From words per label value; a word matches whole words, a word that ends in * their beginnings.

        Raises:
            BadInputError: a label that the project does not have.
        """
        columns = {value: column for column, value in enumerate((*space.values, space.oos_value))}
        names = LabelNames(space)
        ruled = [(names.value_of(label), words) for label, words in rules.items()]
        if not all(value for value, _ in ruled):
            raise BadInputError("keyword rules must name labels of the project; one names another label")
        patterns = [(columns[value], _pattern(words)) for value, words in ruled if value]
        return cls(tuple((column, pattern) for column, pattern in patterns if pattern is not None))

    def append(self, texts: Sequence[str], n_columns: int) -> tuple[Feature, ...]:
        """One feature (n_texts, n_columns): 1 where a label's words occur; nothing where there are no rules."""
        if not self.patterns:
            return ()
        hits = np.zeros((len(texts), n_columns), np.float32)
        read = [folded(text) for text in texts]
        for column, pattern in self.patterns:
            hits[:, column] += [pattern.search(text) is not None for text in read]
        found = (hits > 0).astype(np.float32)
        return (Feature(KEYWORDS, found, found, hits > 0),)


def _pattern(words: Sequence[str]) -> regex.Pattern[str] | None:
    """One pattern for all words of a label; None where none of them holds a sign."""
    parts = [_part(word) for word in words if folded(word.rstrip("* "))]
    return regex.compile("|".join(parts)) if parts else None


def _part(word: str) -> str:
    """A letter or digit at an edge is a word's edge; other signs may adjoin words: $5, c++11."""
    read = folded(word.rstrip("* "))
    begins = r"(?<!\w)" if WORD_SIGN.match(read[0]) else ""
    ends = r"(?!\w)" if WORD_SIGN.match(read[-1]) and not word.rstrip().endswith("*") else ""
    return begins + "[ -]".join(regex.escape(part) for part in JOINT.split(read)) + ends


def folded(text: str) -> str:
    """A text as rules compare it: case, ё and what cleaning writes alike make no difference."""
    return " ".join(plain(text).casefold().replace("ё", "е").split())

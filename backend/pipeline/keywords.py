"""Keyword rules: what a project may say about a label in plain words. A feature for the fuser, never a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import regex

from backend.core.errors import BadInputError
from backend.core.labels import LabelNames
from backend.core.types import LabelSpace
from backend.pipeline.evidence import Feature

KEYWORDS = "keywords"


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
        return cls(tuple((columns[value], _pattern(words)) for value, words in ruled if value and words))

    def append(self, texts: Sequence[str], n_columns: int) -> tuple[Feature, ...]:
        """One feature (n_texts, n_columns): 1 where a label's words occur; nothing where there are no rules."""
        if not self.patterns:
            return ()
        hits = np.zeros((len(texts), n_columns), np.float32)
        for column, pattern in self.patterns:
            hits[:, column] = [pattern.search(text) is not None for text in texts]
        return (Feature(KEYWORDS, hits, hits, hits > 0),)


def _pattern(words: Sequence[str]) -> regex.Pattern[str]:
    parts = [
        regex.escape(word.rstrip("*")) + (r"\w*" if word.endswith("*") else "") for word in words if word.strip("* ")
    ]
    return regex.compile(rf"\b(?:{'|'.join(parts)})\b", regex.IGNORECASE)

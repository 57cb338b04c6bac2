"""Which language texts are in, as far as it changes what prelabel does: English, Russian, or a mixture.

Looks at alphabets only: Cyrillic counts as Russian, everything else as English.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Literal

from backend.core.types import Language

SPOKEN = {"en": "English", "ru": "Russian", "mixed": "mixed"}
SAMPLE = 2000  # texts are enough to tell
CLEAR_SHARE = 0.9  # of the texts in one alphabet; brand names and links in the other are ordinary
MOSTLY = 0.3  # share of Cyrillic letters from which a text is Russian: product names are often Latin


def cyrillic_share(text: str) -> float:
    """Share of Cyrillic among the letters of a text, 0-1; 0 where it has none."""
    letters = [character for character in text[:2000] if character.isalpha()]
    return sum("\u0400" <= character <= "\u04ff" for character in letters) / len(letters) if letters else 0.0


def language_of(text: str) -> Literal["en", "ru"]:
    """The language in which to speak about one text."""
    return "ru" if cyrillic_share(text) >= MOSTLY else "en"


def detect_language(texts: Iterable[str]) -> Language:
    """The language of a collection, from its first texts; English where it is empty."""
    found = [language_of(text) for text in islice(texts, SAMPLE) if any(map(str.isalpha, text))]
    if not found:
        return "en"
    russian = found.count("ru") / len(found)
    if russian >= CLEAR_SHARE:
        return "ru"
    return "en" if russian <= 1 - CLEAR_SHARE else "mixed"

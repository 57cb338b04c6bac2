"""Words of a text as BM25 counts them: lower case, Russian and English endings taken off."""

import threading
from dataclasses import dataclass, field

import regex
import snowballstemmer

from backend.core.reading import READ_CHARACTERS

WORD = regex.compile(r"\w+")
CYRILLIC = regex.compile(r"[\u0400-\u04ff]")
MAX_KNOWN = 200_000  # stems kept; a word costs 20 microseconds to stem
STEMS_BYTES = MAX_KNOWN * 200  # all of them: two short strings and their place in the table


@dataclass(frozen=True)
class Stemmer:
    """Word forms to stems, by the alphabet of each word. Safe to share between threads."""

    _known: dict[str, str] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _english: snowballstemmer.english_stemmer.EnglishStemmer = field(
        default_factory=lambda: snowballstemmer.stemmer("english"), repr=False
    )
    _russian: snowballstemmer.russian_stemmer.RussianStemmer = field(
        default_factory=lambda: snowballstemmer.stemmer("russian"), repr=False
    )

    def stems(self, text: str) -> list[str]:
        """The stems of a text's words, in order, repeated as they are."""
        words = WORD.findall(text[:READ_CHARACTERS].lower().replace("ё", "е").replace("_", " "))
        return [self._known.get(word) or self._stem(word) for word in words]

    def _stem(self, word: str) -> str:
        with self._lock:  # Snowball's stemmers keep the word they work on in themselves
            stem: str = (self._russian if CYRILLIC.search(word) else self._english).stemWord(word)
            if len(self._known) < MAX_KNOWN:
                self._known[word] = stem
        return stem

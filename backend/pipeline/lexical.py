"""Words of a text as BM25 counts them: lower case, endings taken off as the language has them."""

import threading
from dataclasses import dataclass, field
from typing import Any

import snowballstemmer

from backend.core.languages import MIXED, UNDETERMINED
from backend.core.reading import READ_CHARACTERS
from backend.core.words import folded, pairs_of, words_of
from backend.pipeline.language import assumed_in, script_of, script_of_language

MAX_KNOWN = 200_000  # stems kept; a word costs 20 microseconds to stem
STEMS_BYTES = MAX_KNOWN * 200  # all of them: two short strings and their place in the table
SNOWBALL = {  # the names that snowballstemmer has for its languages
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek",
    "en": "english", "eo": "esperanto", "es": "spanish", "et": "estonian", "eu": "basque",
    "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi",
    "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian",
    "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sv": "swedish", "ta": "tamil", "tr": "turkish",
    "yi": "yiddish",
}  # fmt: skip


def stemmed_as(language: str) -> str:
    """The language that decides about stems; "" where each script's most usual language does, as in a mixture."""
    usual = language in (MIXED, UNDETERMINED) or language == assumed_in(script_of_language(language))
    return "" if usual else language


@dataclass(frozen=True)
class Stemmer:
    """Word forms to stems, by the script of each word. Safe to share between threads."""

    language: str = ""  # see `stemmed_as`
    _known: dict[str, str] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _by_script: dict[str, Any] = field(default_factory=dict, repr=False)

    def stems(self, text: str) -> list[str]:
        """The stems of a text's words, in order, repeated as they are; of scripts without spaces, signs, then pairs."""
        text = text[:READ_CHARACTERS].lower().replace("ё", "е").replace("_", " ")
        return [*(self._known.get(word) or self._stem(word) for word in words_of(text)), *pairs_of(text)]

    def _stem(self, word: str) -> str:
        with self._lock:  # Snowball's stemmers keep the word they work on in themselves
            script = script_of(word)
            if script not in self._by_script:
                self._by_script[script] = self._stemmer(script)
            stemmer = self._by_script[script]
            stem = folded(word if stemmer is None else stemmer.stemWord(word)) or word
            if len(self._known) < MAX_KNOWN:
                self._known[word] = stem
        return stem

    def _stemmer(self, script: str) -> Any:
        """Snowball's stemmer for words of a script; None where it has none."""
        own = bool(self.language) and script == script_of_language(self.language)
        name = SNOWBALL.get(self.language if own else assumed_in(script))
        return None if name is None else snowballstemmer.stemmer(name)

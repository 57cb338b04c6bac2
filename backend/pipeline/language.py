"""Which language texts are in: by their script, and by a model of letter sequences where several share a script.

The texts of a collection say it together: a short one alone is easily taken for its neighbour's language. Knows
nothing of what follows from a language.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import regex

from backend.core.languages import MIXED, UNDETERMINED
from backend.core.types import FloatArray

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

SAMPLE = 1000  # texts are enough to tell
CHARACTERS = 500  # of a text that are read
CLEAR_SHARE = 0.9  # of the texts in one language; strays, names and quotations in another are ordinary
JAPANESE = 0.3  # share of texts with kana from which those without are Japanese, too
WORTH_NAMING = 0.05  # share of a mixture from which a language is one of its own
STRAYS = 1.5  # texts: a language of fewer beside another in its script is an error of the model
MOSTLY = 0.3  # share of letters from which another script than Latin names a text's: brands are Latin everywhere
DOUBT = 2.0  # temperature of the model's probabilities, which are too sure; found on texts of four languages
ROUNDS = 30  # of estimating shares; they stand still after about ten
LEAST = 1e-9  # probability

# Each script's languages among those that the model tells apart, the one that is assumed first.
SCRIPTS: Mapping[str, tuple[str, ...]] = {
    name: tuple(languages.split())
    for name, languages in {
        "Cyrillic": "ru uk be bg mk sr kk ky mn tg tt ba", "Arabic": "ar fa ur ps sd ug ku",
        "Kana": "ja", "Han": "zh ja", "Hangul": "ko", "Thai": "th", "Devanagari": "hi mr ne sa gom",
        "Hebrew": "he yi", "Greek": "el", "Bengali": "bn as", "Gurmukhi": "pa", "Gujarati": "gu",
        "Tamil": "ta", "Telugu": "te", "Kannada": "kn", "Malayalam": "ml", "Sinhala": "si",
        "Oriya": "or", "Myanmar": "my", "Khmer": "km", "Lao": "lo", "Georgian": "ka",
        "Armenian": "hy", "Ethiopic": "am", "Tibetan": "dz",
    }.items()
}  # fmt: skip
LATIN = "Latin"
ASSUMED_LATIN = "en"
VARIETIES = {  # of a language, which nothing here treats differently; each is written in its script
    "pcm": "en", "wuu": "zh", "yue": "zh", "ary": "ar", "arz": "ar", "sdh": "ku", "nn": "no",
    "grc": "el", "hbo": "he", "uzs": "uz",
}  # fmt: skip
NO_LANGUAGE = "zxx"  # of the model: numbers, markup
LETTERS = {
    name: regex.compile(r"[\p{Hiragana}\p{Katakana}]" if name == "Kana" else rf"\p{{{name}}}")
    for name in (LATIN, *SCRIPTS)
}
LETTER = regex.compile(r"\p{L}")


def script_of(text: str) -> str:
    """The script that names a text's language; Latin only where no other has its share; "" without a letter.

    A little kana makes a text Japanese, which writes most words in Chinese characters.
    """
    n_letters = len(LETTER.findall(text := text[:CHARACTERS]))
    if not n_letters:
        return ""
    shares = {name: len(letters.findall(text)) / n_letters for name, letters in LETTERS.items()}
    if shares["Kana"] and shares["Kana"] + shares["Han"] >= MOSTLY:
        return "Kana"
    latin, best = shares.pop(LATIN), max(shares, key=shares.__getitem__)
    if shares[best] >= MOSTLY:
        return best
    return LATIN if latin >= MOSTLY else UNDETERMINED


def detect_language(texts: Iterable[str], *, names: Sequence[str] = ()) -> str:
    """The language of a collection, from its first texts, or "mixed".

    Args:
        names: of labels, which tell it where no text does; English where these do not either.
    """
    shares = language_shares(texts)
    if not shares:
        return _of_names(names)
    first = next(iter(shares))
    return first if shares[first] >= CLEAR_SHARE else MIXED


def mixture(texts: Iterable[str]) -> tuple[str, ...]:
    """The languages of a mixed collection that hold at least WORTH_NAMING of it, the most usual first."""
    return tuple(language for language, share in language_shares(texts).items() if share >= WORTH_NAMING)


def language_shares(texts: Iterable[str]) -> dict[str, float]:
    """The share of each language among the first texts, 0-1, largest first; empty where none has a letter."""
    by_script = _by_script(islice(texts, SAMPLE))
    n_texts = sum(alike.total() for alike in by_script.values())
    identifier = Identifier()
    shares: defaultdict[str, float] = defaultdict(float)
    for script, alike in by_script.items():
        for language, share in identifier.shares(script, alike).items():
            shares[language] += share * alike.total() / n_texts
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _by_script(texts: Iterable[str]) -> dict[str, Counter[str]]:
    """Different texts with a letter and how often each stands there, by script."""
    found: dict[str, Counter[str]] = {}
    for text in texts:
        if script := script_of(text):
            found.setdefault(script, Counter())[text[:CHARACTERS]] += 1
    if "Kana" in found and "Han" in found:
        n_kana, n_han = found["Kana"].total(), found["Han"].total()
        if n_kana >= JAPANESE * (n_kana + n_han):
            found["Kana"] += found.pop("Han")
    return found


def _of_names(names: Sequence[str]) -> str:
    """The language of labels' names, read as one text: of one or two words each, they tell little alone."""
    joined = ", ".join(name.replace("_", " ") for name in names)
    script = script_of(joined)
    if not script:
        return ASSUMED_LATIN
    shares = Identifier().shares(script, Counter([joined]))
    first = max(shares, key=shares.__getitem__)
    return first if shares[first] >= CLEAR_SHARE else assumed_in(script)


def assumed_in(script: str) -> str:
    """The language of a script until texts tell another."""
    return SCRIPTS[script][0] if script in SCRIPTS else ASSUMED_LATIN


def script_of_language(language: str) -> str:
    """The script in which a language is written; Latin where no other is known here."""
    return next((script for script, own in SCRIPTS.items() if language in own), LATIN)


class Identifier:
    """py3langid, loaded by the first text that needs it and gone with this object: 80 MB, half a second."""

    def load(self) -> "Identifier":
        """With its model, now."""
        _ = self._model
        return self

    @cached_property
    def _model(self) -> "LanguageIdentifier":
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def shares(self, script: str, texts: Mapping[str, int]) -> dict[str, float]:
        """The share of each language among texts of one script, of which some stand there often."""
        if script == UNDETERMINED:
            return {UNDETERMINED: 1.0}
        languages = SCRIPTS.get(script, ())
        if len(languages) == 1:
            return {languages[0]: 1.0}
        probs, columns = self._probs(list(texts), languages)
        owners = owned(probs, columns.index(assumed_in(script)))
        shares = np.average(owners, axis=0, weights=list(texts.values()))
        first = int(shares.argmax())
        strays = owners.sum(axis=0) < STRAYS
        strays[first] = False
        shares[first] += shares[strays].sum()
        return {columns[at]: float(shares[at]) for at in np.flatnonzero(~strays)}

    def language_of(self, text: str, among: Sequence[str]) -> str:
        """The likeliest of some languages that share a script; the first where the text tells nothing."""
        probs, columns = self._probs([text], among)
        likely = [probs[0, columns.index(language)] if language in columns else 0.0 for language in among]
        return among[int(np.argmax(likely))]

    def _probs(self, texts: Sequence[str], languages: Sequence[str]) -> tuple[FloatArray, list[str]]:
        """(n_texts, n_languages) and what the columns are; none of `languages`: all that share no other script."""
        others = {language for own in SCRIPTS.values() for language in own} - {"sr", "ku"}
        known = {VARIETIES.get(label, label) for label in self._model.labels} - {NO_LANGUAGE}
        columns = sorted(known & set(languages) if languages else known - others)
        place = {language: at for at, language in enumerate(columns)}
        probs = np.full((len(texts), len(columns)), LEAST)
        for row, text in enumerate(texts):
            for label, prob in self._model.rank(text):
                at = place.get(VARIETIES.get(label, label))
                if at is not None:
                    probs[row, at] += prob
        return probs.astype(np.float32), columns


def owned(probs: FloatArray, assumed: int) -> FloatArray:
    """(n_texts, n_languages): how far a text is each language's, given what the others are.

    The shares under which the texts are likeliest are found by expectation maximisation.

    Args:
        probs: (n_texts, n_languages), of each text alone.
        assumed: the language that counts as seen once before: it is the one of texts that tell nothing.
    """
    likely = probs ** (1 / DOUBT)
    weights = np.full(probs.shape[1], 1 / probs.shape[1])
    for _ in range(ROUNDS):
        owners = likely * weights
        owners /= owners.sum(axis=1, keepdims=True)
        weights = owners.sum(axis=0)
        weights[assumed] += 1
        weights /= weights.sum()
    return np.asarray(owners, np.float32)

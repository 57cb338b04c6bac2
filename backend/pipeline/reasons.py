"""What a reason says, in the languages that have a message file (reasons/<code>.toml), and which of them is spoken."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

from backend.pipeline.language import SCRIPTS, script_of, script_of_language

FOLDER = Path(__file__).parent / "reasons"
FALLBACK = "en"
Form = Literal["one", "few", "many", "other"]


def _one_or_other(n: int) -> Form:
    return "one" if n == 1 else "other"


def _french(n: int) -> Form:
    return "one" if n in (0, 1) else "other"


def _russian(n: int) -> Form:
    if n % 10 == 1 and n % 100 != 11:
        return "one"
    return "few" if n % 10 in (2, 3, 4) and n % 100 not in (12, 13, 14) else "many"


def _chinese(_n: int) -> Form:
    return "other"


PLURALS: Mapping[str, Callable[[int], Form]] = {  # of whole numbers, by the rules of Unicode's CLDR
    "en": _one_or_other, "de": _one_or_other, "es": _one_or_other, "fr": _french, "ru": _russian,
    "zh": _chinese,
}  # fmt: skip


@dataclass(frozen=True)
class Messages:
    """The sentences of one language."""

    language: str
    sentences: Mapping[str, str]
    examples: Mapping[Form, str]  # by the form that a number takes

    def say(self, name: str, **values: object) -> str:
        return self.sentences[name].format(**values)

    def resembles(self, n: int, *, label: str, ids: str) -> str:
        """That a text is like n examples of a label."""
        return self.examples[PLURALS[self.language](n)].format(n=n, label=label, ids=ids)


@cache
def messages_in(language: str) -> Messages:
    """The sentences of a language; English ones where it has no file."""
    spoken = language if language in PLURALS else FALLBACK
    raw = tomllib.loads((FOLDER / f"{spoken}.toml").read_text(encoding="utf-8"))
    examples = raw.pop("examples")
    return Messages(spoken, raw, examples)


class Telling(Protocol):
    """Who tells languages of one script apart."""

    def language_of(self, text: str, among: Sequence[str]) -> str: ...


@dataclass(frozen=True)
class Speaker:
    """In which language reasons are given: the project's, or in a mixture of languages the text's."""

    languages: tuple[str, ...] = (FALLBACK,)  # of the project, the most usual first
    telling: Telling | None = None  # needed where several of them share a script

    def messages(self, text: str = "") -> Messages:
        """The sentences for a text; for one that tells nothing, in the project's first language."""
        return messages_in(self._language(text))

    def _language(self, text: str) -> str:
        if len(self.languages) == 1 or not (script := script_of(text)):
            return self.languages[0]
        among = written_in(self.languages, script)
        if self.telling is None or len(among) < 2:
            return next(iter(among), self.languages[0])
        return self.telling.language_of(text, among)


def written_in(languages: Sequence[str], script: str) -> list[str]:
    return [
        language
        for language in languages
        if language in SCRIPTS.get(script, ()) or script_of_language(language) == script
    ]


def share_script(languages: Sequence[str]) -> bool:
    """Whether texts of some of these languages are not told apart by their script."""
    return len({script_of_language(language) for language in languages}) < len(languages)

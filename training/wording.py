"""What a language model is asked about labels, and which of its words nothing it was shown has.

Prompts are few-shot continuations in the language of the texts; their templates say which words are the prompt's own.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import regex
from bm25s.stopwords import STOPWORDS_EN_PLUS, STOPWORDS_RUSSIAN
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from backend.pipeline.lexical import Stemmer
from backend.pipeline.vote import PROMPT_LANGUAGES, PROMPTS_DIR

WORD = regex.compile(r"(?<!\w)\p{L}[\w'’-]*")  # what begins with a digit is none
FUNCTION_WORDS = " ".join((*STOPWORDS_EN_PLUS, *STOPWORDS_RUSSIAN))
Task = Literal["describe", "differ"]


@dataclass(frozen=True)
class Wording:
    """One prompt in one language, with or without examples of texts."""

    before: str  # the same for all labels
    asked: Callable[..., str]  # what goes on from there: about one label, or about a pair
    frame: frozenset[str]  # stems of words that say nothing, or speak about texts and not about what they say
    hash: str  # 8 hex digits of the template


@dataclass(frozen=True)
class Wordings:
    """The prompts of a language; others than PROMPT_LANGUAGES are asked in English."""

    language: str
    with_examples: bool
    stemmer: Stemmer

    @cached_property
    def describe(self) -> Wording:
        return self._load("describe")

    @cached_property
    def differ(self) -> Wording:
        return self._load("differ")

    @property
    def hash(self) -> str:
        """8 hex digits of both templates."""
        return hashlib.sha256(f"{self.describe.hash}{self.differ.hash}".encode()).hexdigest()[:8]

    def _load(self, task: Task) -> Wording:
        name = f"{task}_{self.language if self.language in PROMPT_LANGUAGES else 'en'}.j2"
        prompts = Environment(loader=FileSystemLoader(PROMPTS_DIR), undefined=StrictUndefined, autoescape=False)  # noqa: S701 (plain text, not HTML)
        template: Any = prompts.get_template(name).make_module({"with_examples": self.with_examples})
        digest = hashlib.sha256((PROMPTS_DIR / name).read_bytes()).hexdigest()[:8]
        frame = frozenset(self.stemmer.stems(f"{template.frame} {FUNCTION_WORDS}"))
        return Wording(str(template), template.shown, frame, digest)

    def unfounded(self, written: str, shown: Iterable[str], wording: Wording) -> list[str]:
        """The words of a text, each once, whose stems stand neither in what was shown nor in the prompt's frame."""
        known = {stem for text in shown for stem in self.stemmer.stems(text)} | wording.frame
        words = dict.fromkeys(WORD.findall(written.lower()))
        return [word for word in words if not known.issuperset(self.stemmer.stems(word))]

"""A lettered list of candidates, for models that follow instructions: they answer with a letter.

Candidates are listed by name: what retrieval thinks of them is no hint. All that comes from tasks, label configs and
annotators is data: it stands on one line, without the characters that delimiters and control tokens are made of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from jinja2 import Template

from backend.core.types import Label
from backend.pipeline.prompts import PROMPTS_DIR, file_name, template_of
from backend.pipeline.question import Question, Shot, one_line, spoken

N_CHOSEN_FROM = 19  # candidates, and "none of these": servers tell the log-probabilities of 20 tokens at most
MAX_CHARACTERS = 4_000  # of a text: its subject stands at its beginning, and tokens cost money
MAX_HINT, MAX_SHOT = 200, 500  # characters of a hint, of an example
NEUTRAL = "-"  # the name of a candidate that says nothing
HARMLESS = str.maketrans("<>[]", "‹›()")  # chat templates write their control tokens with these, and we our delimiters


@dataclass(frozen=True, slots=True)
class ChoicePrompt:
    """What a model is told, and what it is shown."""

    template: Template
    system: str
    none_of_these: str
    content_free: str  # a text that says nothing: the letter that is likely for it is likely anyway
    hash: str  # 8 hex digits of the template

    @property
    def nbytes(self) -> int:
        """What it weighs in memory: next to nothing, beside the template engine, which is everybody's."""
        return 0

    def user(self, question: Question) -> str:
        """The candidates, those of the examples whose label is among them, and the text."""
        listed = lettered(question)
        topics = [{"name": data(spoken(each.name)), "hint": data(each.hint)} for each in listed]
        letters = {spoken(each.name): letter for each, letter in zip(listed, ascii_uppercase, strict=False)}
        shots = [_shown(shot, letters[shot.answer]) for shot in question.shots if shot.answer in letters]
        return self._filled(data(question.text, MAX_CHARACTERS), topics, shots)

    def user_without(self, n: int) -> str:
        """As many candidates less one that say nothing, and a text that does not either."""
        return self._filled(self.content_free, [{"name": NEUTRAL, "hint": ""}] * (n - 1))

    def _filled(self, text: str, topics: Sequence[Mapping[str, str]], shots: Sequence[Mapping[str, str]] = ()) -> str:
        named = [*topics, {"name": self.none_of_these, "hint": ""}]
        numbered = list(zip(ascii_uppercase, named, strict=False))
        return self.template.render(text=text, topics=numbered, shots=shots).strip()


def load_choice_prompt(language: str) -> ChoicePrompt:
    """The prompt for texts of a language."""
    template, digest = template_of(PROMPTS_DIR, file_name("choose", language))
    said: Any = template.make_module({"text": "", "topics": (), "shots": ()})
    return ChoicePrompt(template, said.system, said.none_of_these, said.content_free, digest)


def lettered(question: Question) -> list[Label]:
    """The candidates in the order of their letters."""
    return sorted(question.candidates[:N_CHOSEN_FROM], key=lambda label: (spoken(label.name), label.value))


def data(text: str, limit: int = MAX_HINT) -> str:
    """What others wrote, as it may stand in a prompt; at most as many characters."""
    return one_line(text)[:limit].translate(HARMLESS)


def _shown(shot: Shot, letter: str) -> dict[str, str]:
    return {"text": data(shot.text, MAX_SHOT), "letter": letter}

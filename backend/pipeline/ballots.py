"""How local models are asked which candidate fits: what stands before the answers, and what the answers are.

Either the candidates' names are scored as the end of a prompt: labels do not stand in it, so that they are asked in no
order that could be a hint, and prompts with the same shots begin alike. Or, for models that follow instructions, the
candidates' letters in a list, within a conversation as the model's makers write it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Protocol

from backend.core.scoring import Part
from backend.pipeline.choice import MAX_CHARACTERS, N_CHOSEN_FROM, ChoicePrompt, data, lettered
from backend.pipeline.conversation import Frame
from backend.pipeline.prompts import MAX_TEXT_TOKENS, Prompt, answers_of
from backend.pipeline.question import Question, spoken
from backend.pipeline.respondent import Before

N_VOTED = 20  # candidates that are looked at, however many are given: each costs time
TEXT = "\ue000"  # a private character, in place of the text


@dataclass(frozen=True, slots=True)
class Ballot:
    """A question as a model is asked it."""

    before: Before
    without: Before  # the same, but a text that says nothing
    answers: tuple[str, ...]  # the candidates that are looked at, in their order, and "none of these"
    n_candidates: int


class Wording(Protocol):
    """A way to ask."""

    @property
    def name(self) -> str:
        """What tells it from other ways, as it stands in a voter's name."""
        ...

    def ballots(self, question: Question) -> Iterator[Ballot]:
        """At least one, each with less to show than the one before it: a model takes the first that finds room."""
        ...


@dataclass(frozen=True, slots=True)
class Continued:
    """A prompt that goes on with a name."""

    prompt: Prompt
    n_shots: int = 0
    explains: bool = False  # a few labels' hints before every text

    @property
    def name(self) -> str:
        shown = f"-{self.n_shots}" if self.n_shots else ""
        return f"{self.prompt.hash}{shown}{'-explained' if self.explains else ''}"

    def ballots(self, question: Question) -> Iterator[Ballot]:
        names = [*(spoken(label.name) for label in question.candidates[:N_VOTED]), self.prompt.none_of_these]
        shots = question.shots[max(0, len(question.shots) - self.n_shots) :]
        labels = question.explained if self.explains else ()
        fewer = [*((shots[at:], labels) for at in range(len(shots) + 1)), *([((), ())] if labels else [])]
        for shown, explained in fewer:
            yield Ballot(
                self.prompt.parts(question.text, shown, explained),
                self.prompt.parts(self.prompt.content_free, shown, explained),
                answers_of(names, short=bool(shown or explained)),
                len(question.candidates),
            )


@dataclass(frozen=True, slots=True)
class Listed:
    """A list whose letters are the answers."""

    prompt: ChoicePrompt
    frame: Frame
    n_shots: int = 0

    @property
    def name(self) -> str:
        return f"{self.prompt.hash}-listed{f'-{self.n_shots}' if self.n_shots else ''}"

    def ballots(self, question: Question) -> Iterator[Ballot]:
        letters = dict(zip((label.value for label in lettered(question)), ascii_uppercase, strict=False))
        chosen = [letters[label.value] for label in question.candidates[:N_CHOSEN_FROM]]
        answers = (*chosen, ascii_uppercase[len(letters)])
        text, without = data(question.text, MAX_CHARACTERS), self._framed(self.prompt.user_without(len(answers)))
        shots = question.shots[max(0, len(question.shots) - self.n_shots) :]
        for at in range(len(shots) + 1):
            asked = self.prompt.user(replace(question, text=TEXT, shots=shots[at:]))
            yield Ballot(self._framed(asked, text), without, answers, len(question.candidates))

    def _framed(self, asked: str, text: str = "") -> Before:
        before, _, after = f"{self.frame.before}{asked}{self.frame.after}".rpartition(TEXT)
        parts = (Part(before), Part(text, MAX_TEXT_TOKENS), Part(after))
        return tuple(part for part in parts if part.text)

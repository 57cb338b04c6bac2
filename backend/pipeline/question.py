"""What voters are asked and what they answer: the nouns that all of them share, and one that is silent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from backend.core.deadline import Deadline
from backend.core.spending import NOTHING, Bill, Spend
from backend.core.types import FloatArray, Label


@dataclass(frozen=True, slots=True)
class Shot:
    """An accepted example as a voter is shown it."""

    text: str  # cleaned
    answer: str  # the label's name, as it is spoken


@dataclass(frozen=True, slots=True)
class Question:
    """Which of the candidates fits a text, if any."""

    text: str  # cleaned
    candidates: tuple[Label, ...]  # likeliest first
    shots: tuple[Shot, ...] = ()  # the weakest first: what stands last is followed most, and the first go first
    explained: tuple[Label, ...] = ()  # whose hints a voter reads once for all texts; candidates or not


@dataclass(frozen=True, slots=True)
class Vote:
    """What a model makes of one text."""

    probs: FloatArray  # (n_candidates,), in the candidates' order; 0 for those not looked at; with p_none sums to 1
    p_none: float  # 0-1, that none of the candidates fits; raw, over- or under-used by most models
    tokens: int  # evaluated


class Voter(Protocol):
    """Whoever chooses among candidates."""

    @property
    def name(self) -> str:
        """Model and prompt, as stored with each decision."""
        ...

    @property
    def weight(self) -> float:
        """Of a vote beside the other evidence, in logits a nat, until a project's labels have told; 0: not asked."""
        ...

    @property
    def lasting(self) -> bool:
        """Whether other processes, too, remember its votes."""
        ...

    def prompt_for(self, question: Question) -> str:
        """What stands before the answer."""
        ...

    def vote(self, questions: Sequence[Question], *, deadline: Deadline, bill: Bill | None = None) -> list[Vote | None]:
        """One vote a question, in order; None where time was up, no candidate was given or it is unreadable.

        Args:
            bill: is told what the votes took; their own tokens leave out what was in vain.
        """
        ...

    def expected(self, questions: Sequence[Question]) -> Spend:
        """What these votes will take, by what earlier ones took: without any, it tells too little."""
        ...


@dataclass(frozen=True)
class NoVoter:
    """Nobody votes."""

    name: str = "none"
    weight: float = 0.0
    lasting: bool = False

    def prompt_for(self, question: Question) -> str:  # noqa: ARG002
        return ""

    def vote(self, questions: Sequence[Question], *, deadline: Deadline, bill: Bill | None = None) -> list[Vote | None]:  # noqa: ARG002
        return [None] * len(questions)

    def expected(self, questions: Sequence[Question]) -> Spend:  # noqa: ARG002
        return NOTHING


def spoken(name: str) -> str:
    """A label's name as a person would write it."""
    return one_line(name.replace("_", " "))


def one_line(text: str) -> str:
    """A text that cannot pretend to be the prompt's next lines."""
    return " ".join(text.split())

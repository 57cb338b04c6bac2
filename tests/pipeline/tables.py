"""A model for tests whose scores stand in a table. Meets the pipeline's protocols."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from backend.core.deadline import Deadline
from backend.core.scoring import Part, Prompted, Scored
from backend.pipeline.ballots import Continued
from backend.pipeline.prompts import load_prompt
from backend.pipeline.vote import LlmVoter

TOKENS = 7  # that every prompt takes
Scores = Mapping[str, Mapping[str, float]]


def always(_parts: tuple[Part, ...]) -> bool:
    return True


@dataclass
class Table:
    """Scores by text, then name, both without what stands around them; 0 for what stands nowhere.

    A name's first words score as all of it.

    A text "broken" cannot be scored. `room` tells which prompts fit.
    """

    scores: Scores = field(default_factory=dict)
    name: str = "table"
    checksum: str = "0123456789abcdef"
    chat_template: str = ""
    room: Callable[[tuple[Part, ...]], bool] = always
    asked: list[Prompted] = field(default_factory=list)
    calls: int = 0

    @property
    def texts(self) -> list[str]:
        """What was asked about, in order."""
        return [text_of(prompted) for prompted in self.asked]

    def answers_to(self, text: str) -> list[tuple[str, ...]]:
        """What was asked about a text, each time."""
        return [prompted.answers for prompted in self.asked if text_of(prompted) == text]

    def score(self, prompted: Sequence[Prompted], *, deadline: Deadline) -> list[Scored | None]:
        self.calls += 1
        return [None if deadline.passed else self._score(one) for one in prompted]

    def fits(self, prompted: Prompted) -> bool:
        return self.room(prompted.parts)

    def expected(self, prompted: Sequence[Prompted]) -> tuple[int, float]:
        return TOKENS * len(prompted), 0.5 * len(prompted)

    def _score(self, prompted: Prompted) -> Scored | None:
        self.asked.append(prompted)
        if text_of(prompted) == "broken":
            return None
        found = self.scores.get(text_of(prompted), {})
        return Scored(np.array([_score_of(answer[1:], found) for answer in prompted.answers], np.float32), TOKENS)


def _score_of(answer: str, scores: Mapping[str, float]) -> float:
    name = answer.removesuffix("\n")
    longer = (score for key, score in scores.items() if key.startswith(f"{answer} "))
    return scores[name] if name in scores else next(longer, 0.0)


@dataclass
class Kept:
    """Answers in a dictionary."""

    scores: dict[str, float] = field(default_factory=dict)

    def recall(self, keys: Sequence[str]) -> dict[str, float]:
        return {key: self.scores[key] for key in keys if key in self.scores}

    def keep(self, scores: Mapping[str, float]) -> None:
        self.scores.update(scores)


def text_of(prompted: Prompted) -> str:
    """The last part that is data: the text that is asked about."""
    return [part.text for part in prompted.parts if not part.ours][-1].removeprefix(" ")


def shots_of(prompted: Prompted) -> list[str]:
    """The texts and answers that are shown before it."""
    return [part.text.removeprefix(" ") for part in prompted.parts if not part.ours][:-1]


def voter_of(
    scores: Scores | None = None, *, temperature: float = 1.0, weight: float = 1.0, name: str = "table"
) -> LlmVoter:
    """A voter that asks a table of its own."""
    model = Table(scores or {}, name=name, checksum=name)
    return LlmVoter(model, Continued(load_prompt("en")), Kept(), temperature=temperature, weight=weight)

"""Judgements of local language models about a text and a label: yes or no, and 1 to 5.

Decides how likely each answer is, and whether two judges agree; what follows from that is the caller's business. An
audit asks whether a label is right, augmentation how good an example a written text is.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from backend.core.deadline import Deadline
from backend.core.spending import NOTHING, Bill, Spend
from backend.core.types import FloatArray, Label
from backend.pipeline.prompts import JudgePrompt, load_judge_prompt
from backend.pipeline.question import spoken
from backend.pipeline.respondent import Answers, Before, Respondent, Scorer, Told

Asked = Literal["fits", "quality"]  # each is a template; see SCALES
SCALES: dict[Asked, tuple[float, ...]] = {
    "fits": (0.0, 1.0),  # whether the label is right for the text: no, yes
    "quality": (1.0, 2.0, 3.0, 4.0, 5.0),  # of the text as an example of the label: wrong or unnatural, to neither
}
N_JUDGES = 2
TEMPERATURES = (1.0, 5.0)  # of a judge, least log loss of Qwen2.5-1.5B in Russian; of a second one that is the same
# model: under 3.5 the two scores would never lie so far apart that they disagree
AGREEING = 0.25  # of a scale: scores that lie so near each other say the same


@dataclass(frozen=True, slots=True)
class Pair:
    """What is judged."""

    text: str  # cleaned
    label: Label


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model makes of one pair."""

    probs: FloatArray  # (n_answers,), of no and yes, or of 1 to 5; sums to 1; raw
    score: float  # expected: 0-1, the probability of yes, or 1-5
    tokens: int  # evaluated


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the judges make of one pair; at least one of them has judged."""

    verdicts: tuple[Verdict | None, ...]  # in the judges' order; None of who had no time, or failed
    agree: bool | None  # None where fewer than two judged

    @property
    def probs(self) -> FloatArray:
        """The mean: (n_answers,)."""
        return np.asarray(np.mean([verdict.probs for verdict in self._given], axis=0), np.float32)

    @property
    def score(self) -> float:
        """The mean, on the question's scale."""
        return float(np.mean([verdict.score for verdict in self._given]))

    @property
    def tokens(self) -> int:
        return sum(verdict.tokens for verdict in self._given)

    @property
    def _given(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict is not None]


class Judge(Protocol):
    """Whoever answers one question about pairs."""

    @property
    def name(self) -> str:
        """Model, prompt and temperature, to be stored with what follows from a verdict."""
        ...

    def judge(self, pairs: Sequence[Pair], *, deadline: Deadline, bill: Bill | None = None) -> list[Verdict | None]:
        """One verdict a pair, in order; None where time was up or the model failed.

        Args:
            bill: is told what the verdicts took.
        """
        ...

    def expected(self, pairs: Sequence[Pair]) -> Spend:
        """What these verdicts will take, by what earlier ones took."""
        ...


@dataclass(frozen=True)
class LlmJudge:
    """Scores the question's answers as continuations of a prompt with the text and the label's name.

    An answer's score is taken relative to its score after a text and a label that say nothing. The label does not stand
    there: that no text is about it is a right "no", and taking that off would make the model too fond of "yes".
    """

    model: Scorer
    prompt: JudgePrompt
    answers: Answers
    scale: tuple[float, ...]  # what each of the prompt's answers is worth, ascending
    temperature: float = TEMPERATURES[0]
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.model.name}-{self.prompt.hash}-{self.temperature:g}"

    def judge(self, pairs: Sequence[Pair], *, deadline: Deadline, bill: Bill | None = None) -> list[Verdict | None]:
        """See Judge."""
        told = self._respondent.told(self._wanted(pairs), deadline=deadline, bill=bill)
        return [self._verdict(pair, told) for pair in pairs]

    def expected(self, pairs: Sequence[Pair]) -> Spend:
        """Tokens, and seconds by the speed seen so far; what was scored before takes nothing."""
        return self._respondent.expected(self._wanted(pairs))

    @property
    def _respondent(self) -> Respondent:
        return Respondent(self.model, self.answers, self._turn)

    @property
    def _without(self) -> Before:
        return self.prompt.parts(self.prompt.content_free, self.prompt.content_free)

    def _before(self, pair: Pair) -> Before:
        return self.prompt.parts(pair.text, spoken(pair.label.name))

    def _wanted(self, pairs: Sequence[Pair]) -> dict[Before, set[str]]:
        befores = [*map(self._before, pairs), self._without] if pairs else []
        return {before: set(self.prompt.answers) for before in befores}

    def _verdict(self, pair: Pair, told: Told) -> Verdict | None:
        before, without = self._before(pair), self._without
        probs = told.probs(before, self.prompt.answers, without=without, temperature=self.temperature)
        if probs is None:
            return None
        return Verdict(probs, float(probs @ np.array(self.scale)), told.take_tokens(before, without))


@dataclass(frozen=True)
class Panel:
    """Judges of one question, heard one after the other; nobody where none could be loaded."""

    judges: tuple[Judge, ...]
    scale: tuple[float, ...]

    def judge(self, pairs: Sequence[Pair], *, deadline: Deadline, bill: Bill | None = None) -> list[Ruling | None]:
        """One ruling a pair, in order; None where nobody judged. See Judge."""
        said = [judge.judge(pairs, deadline=deadline, bill=bill) for judge in self.judges]
        return [self._ruling(verdicts) for verdicts in zip(*said, strict=True)] if said else [None] * len(pairs)

    def expected(self, pairs: Sequence[Pair]) -> Spend:
        return sum((judge.expected(pairs) for judge in self.judges), NOTHING)

    def _ruling(self, verdicts: tuple[Verdict | None, ...]) -> Ruling | None:
        scores = [verdict.score for verdict in verdicts if verdict is not None]
        if len(scores) < N_JUDGES:
            return Ruling(verdicts, None) if scores else None
        near = AGREEING * (self.scale[-1] - self.scale[0])
        return Ruling(verdicts, max(scores) - min(scores) <= near)


def panel_of(models: Sequence[Scorer], asked: Asked, answers: Answers, *, language: str) -> Panel:
    """Two judges: the first two models, or the only one at two temperatures.

    The same model likes the same answer best at any temperature, so that its second verdict is no second opinion: the
    two differ where the first is fairly sure, and agree where it is very sure or does not know. What it scored is
    shared: the second verdict takes nothing.
    """
    scale = SCALES[asked]
    prompt = load_judge_prompt(asked, language, n_answers=len(scale))
    alone = len(models) == 1
    seats = [(models[0], each) for each in TEMPERATURES] if alone else [(each, TEMPERATURES[0]) for each in models]
    judges = (LlmJudge(model, prompt, answers, scale, temperature) for model, temperature in seats[:N_JUDGES])
    return Panel(tuple(judges), scale)

"""A model that is asked how likely answers are, and asked nothing twice.

Decides what is asked anew, in prompts that find room; knows neither labels nor what an answer means.
"""

import hashlib
import threading
import time
from collections.abc import Mapping, MutableMapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from backend.core.deadline import Deadline
from backend.core.scoring import Part, Prompted, Scored
from backend.core.spending import Bill, Spend
from backend.core.types import FloatArray

Before = tuple[Part, ...]  # what stands before an answer
Wanted = Mapping[Before, Set[str]]  # answers, each as it stands there, by what stands before them


class Scorer(Protocol):
    """A model that scores answers; see backend.models.llm."""

    @property
    def name(self) -> str: ...
    @property
    def checksum(self) -> str:
        """Of the weights."""
        ...

    @property
    def chat_template(self) -> str:
        """How the model's makers write a conversation (Jinja); empty where they do not say."""
        ...

    def score(self, prompted: Sequence[Prompted], *, deadline: Deadline) -> Sequence[Scored | None]: ...
    def fits(self, prompted: Prompted) -> bool: ...
    def expected(self, prompted: Sequence[Prompted]) -> tuple[int, float]: ...


class Answers(Protocol):
    """What was scored before, by key, also by other processes; see backend.models.answers."""

    def recall(self, keys: Sequence[str]) -> Mapping[str, float]: ...
    def keep(self, scores: Mapping[str, float]) -> None: ...


@dataclass(frozen=True, slots=True)
class Told:
    """What is known by a deadline."""

    logprobs: Mapping[Before, Mapping[str, float]]  # nats
    tokens: MutableMapping[Before, int]  # that were evaluated, until somebody answers for them

    def probs(
        self, before: Before, answers: Sequence[str], *, without: Before, temperature: float
    ) -> FloatArray | None:
        """How much likelier each answer is than `without` a text: (n_answers,), sums to 1; None where one is unknown.

        This is contextual calibration (Zhao et al. 2021, Holtzman et al. 2021): what is frequent, short or liked
        anyway does not win by that.
        """
        with_text, free = (self.logprobs.get(each, {}) for each in (before, without))
        above = np.array([with_text.get(answer, np.nan) - free.get(answer, np.nan) for answer in answers])
        if not np.isfinite(above).all():
            return None
        exps = np.exp((above - above.max()) / temperature)
        return np.asarray(exps / exps.sum(), np.float32)

    def take_tokens(self, *before: Before) -> int:
        """Those that were evaluated for these, once."""
        return sum(self.tokens.pop(each, 0) for each in before)


@dataclass(frozen=True)
class Respondent:
    """A model, and what it has said."""

    model: Scorer
    answers: Answers
    turn: threading.Lock  # of whoever asks: who asks the same at the same time waits until the first one is told

    def told(self, wanted: Wanted, *, deadline: Deadline, bill: Bill | None = None) -> Told:
        """How likely the answers are, as far as that is known by the deadline.

        Args:
            bill: is told what it took.
        """
        if not self.turn.acquire(timeout=min(deadline.left_s, threading.TIMEOUT_MAX)):
            return Told({}, {})
        since = time.monotonic()
        try:
            told = self._told(wanted, deadline)
        finally:
            self.turn.release()
        if bill is not None and told.tokens:
            bill.add(Spend(sum(told.tokens.values()), time.monotonic() - since))
        return told

    def expected(self, wanted: Wanted) -> Spend:
        """Tokens, and seconds by the speed seen so far; what was scored before takes nothing."""
        missing = self._missing(wanted, self._recalled(wanted))
        return Spend(*self.model.expected([prompted for _, prompted in missing]))

    def _told(self, wanted: Wanted, deadline: Deadline) -> Told:
        logprobs = self._recalled(wanted)
        missing = self._missing(wanted, logprobs)
        scored = self.model.score([prompted for _, prompted in missing], deadline=deadline)
        tokens: dict[Before, int] = {}
        for (before, prompted), one in zip(missing, scored, strict=True):
            if one is not None:
                fresh = dict(zip(prompted.answers, one.logprobs.tolist(), strict=True))
                logprobs[before].update(fresh)
                tokens[before] = tokens.get(before, 0) + one.tokens
                self.answers.keep({self._key(before, answer): score for answer, score in fresh.items()})
        return Told(logprobs, tokens)

    def _recalled(self, wanted: Wanted) -> dict[Before, dict[str, float]]:
        keys = {self._key(before, answer): (before, answer) for before, answers in wanted.items() for answer in answers}
        found: dict[Before, dict[str, float]] = {before: {} for before in wanted}
        for key, score in self.answers.recall(list(keys)).items():
            before, answer = keys[key]
            found[before][answer] = score
        return found

    def _missing(self, wanted: Wanted, known: Mapping[Before, Mapping[str, float]]) -> list[tuple[Before, Prompted]]:
        left = ((before, answers - known[before].keys()) for before, answers in wanted.items())
        return [
            (before, each) for before, answers in left if answers for each in self._fitting(before, sorted(answers))
        ]

    def _fitting(self, before: Before, answers: Sequence[str]) -> list[Prompted]:
        """The answers, sorted, in as many prompts as they need room for: a text that says nothing gets many."""
        prompted = Prompted(before, tuple(answers))  # sorted: the order in which they are wanted must not move a score
        if len(answers) == 1 or self.model.fits(prompted):
            return [prompted]
        half = len(answers) // 2
        return [*self._fitting(before, answers[:half]), *self._fitting(before, answers[half:])]

    def _key(self, before: Before, answer: str) -> str:
        shown = (f"{part.max_tokens}\1{part.text}" for part in before)
        parts = [self.model.checksum, *shown, answer]
        return hashlib.blake2b("\0".join(parts).encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()

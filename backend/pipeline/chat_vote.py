"""Votes of chat models that are asked for the letter of one candidate.

Decides how often such a model is asked and how its letters become probabilities; who runs it is the model's business.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from string import ascii_uppercase
from typing import Protocol

import numpy as np
from cachetools import LRUCache

from backend.core.chat import Answered, Asked
from backend.core.deadline import Deadline
from backend.core.spending import NOTHING, Bill, Spend
from backend.core.types import FloatArray
from backend.pipeline.choice import ChoicePrompt, lettered, load_choice_prompt
from backend.pipeline.question import NoVoter, Question, Vote, Voter

N_SAMPLES = 5  # answers a text, where the model tells no log-probabilities
WEIGHT = 0.6  # logits a nat, until labels have told
MAX_REMEMBERED = 5_000  # votes: the head of a label stream is asked about again and again
CHARACTERS_A_TOKEN = 4.0  # of English; only until a server has counted


class Chat(Protocol):
    """A chat model; see backend.models.chat_server."""

    @property
    def name(self) -> str: ...
    def ask(self, questions: Sequence[Asked], *, deadline: Deadline) -> Sequence[Answered | None]: ...


@dataclass
class Experience:
    """What prompts took, by their length. Thread-safe."""

    characters: int = 0
    spend: Spend = NOTHING
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, characters: int, spend: Spend) -> None:
        with self._lock:
            self.characters += characters
            self.spend += spend

    def expected(self, characters: int) -> Spend:
        """Of further prompts; tokens alone, and roughly, before there was one."""
        with self._lock:
            known, spend = self.characters, self.spend
        return spend.times(characters / known) if known else Spend(round(characters / CHARACTERS_A_TOKEN))


@dataclass(frozen=True)
class ChatVoter:
    """Asks for the letter of the candidate that fits, or of "none of these".

    Where the model tells how likely each letter was, what the letter has for a text and candidates that say nothing is
    taken off (contextual calibration, Zhao et al. 2021): models prefer some letters. Where it does not, several answers
    are drawn, and each candidate gets one more (Laplace), so that none is impossible.
    """

    model: Chat
    prompt: ChoicePrompt
    n_samples: int = N_SAMPLES
    temperature: float = 1.0  # of drawn answers and of log-probabilities alike
    weight: float = WEIGHT
    _priors: dict[int, FloatArray] = field(default_factory=dict, init=False, repr=False, compare=False)
    _votes: LRUCache[str, FloatArray] = field(
        default_factory=lambda: LRUCache(MAX_REMEMBERED), init=False, repr=False, compare=False
    )
    _asked: dict[str, threading.Event] = field(default_factory=dict, init=False, repr=False, compare=False)
    _took: Experience = field(default_factory=Experience, init=False, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.model.name}-{self.prompt.hash}-{self.temperature:g}"

    @property
    def lasting(self) -> bool:
        return False

    def prompt_for(self, question: Question) -> str:
        return f"{self.prompt.system}\n\n{self.prompt.user(question)}"

    def vote(self, questions: Sequence[Question], *, deadline: Deadline, bill: Bill | None = None) -> list[Vote | None]:
        """See backend.pipeline.question.Voter."""
        users = [self.prompt.user(question) for question in questions]
        found, new = self._sorted(questions, users)
        with self._once(new, deadline) as mine:
            since, own = time.monotonic(), Bill()
            fresh, tokens = self._ask(mine, deadline, own)
            took = replace(own.total, seconds=time.monotonic() - since) if own.total.tokens else NOTHING
            self._took.add(sum(map(len, fresh)), took)
            if bill is not None:
                bill.add(took)
            with self._lock:
                self._votes.update(fresh)
        with self._lock:
            found |= fresh | {user: self._votes[user] for user in new if user in self._votes}
        return [
            _vote(question, found[user], tokens.pop(user, 0)) if user in found else None
            for user, question in zip(users, questions, strict=True)
        ]

    def expected(self, questions: Sequence[Question]) -> Spend:
        """By the length of the prompts, and what such lengths took; what was asked before takes nothing."""
        _, new = self._sorted(questions, [self.prompt.user(question) for question in questions])
        return self._took.expected(sum(map(len, new)))

    def _sorted(
        self, questions: Sequence[Question], users: Sequence[str]
    ) -> tuple[dict[str, FloatArray], dict[str, int]]:
        """What is known already, and how many letters each of the others has, by prompt."""
        with self._lock:
            known = {user: self._votes[user] for user in users if user in self._votes}
        new = {
            user: len(lettered(question)) + 1
            for user, question in zip(users, questions, strict=True)
            if question.candidates and user not in known
        }
        return known, new

    @contextmanager
    def _once(self, new: Mapping[str, int], deadline: Deadline) -> Iterator[dict[str, int]]:
        """Those of the prompts that nobody asks about now; the others are waited for afterwards, until the deadline."""
        done = threading.Event()
        with self._lock:
            theirs = {self._asked[user] for user in new if user in self._asked}
            mine = {user: n for user, n in new.items() if user not in self._asked}
            self._asked.update(dict.fromkeys(mine, done))
        try:
            yield mine
        finally:
            with self._lock:
                for user in mine:
                    del self._asked[user]
            done.set()
        for each in theirs:
            each.wait(min(deadline.left_s, threading.TIMEOUT_MAX))

    def _ask(
        self, new: Mapping[str, int], deadline: Deadline, bill: Bill
    ) -> tuple[dict[str, FloatArray], dict[str, int]]:
        """Probabilities of the letters, and the tokens they took, by prompt; of those that were answered.

        Args:
            new: how many letters each prompt has.
        """
        first = self._answers([(user, n, 0) for user, n in new.items()], deadline, bill)
        told = {user for (user, _), answer in first.items() if answer.logprobs}
        drawn = {user for (user, _), answer in first.items() if answer.readable} - told
        more = [(user, new[user], seed) for user in drawn for seed in range(1, self.n_samples)]
        answers = first | self._answers(more, deadline, bill)
        priors = self._measured({new[user] for user in told}, deadline, bill)
        probs = {user: self._drawn(answers, user, new[user]) for user in drawn}
        for user in told:
            if new[user] in priors:
                probs[user] = _softmax((_logs(first[user, 0]) - priors[new[user]]) / self.temperature)
        tokens: Counter[str] = Counter()
        for (user, _), answer in answers.items():
            tokens[user] += answer.tokens
        return probs, tokens

    def _answers(
        self, asked: Sequence[tuple[str, int, int]], deadline: Deadline, bill: Bill
    ) -> dict[tuple[str, int], Answered]:
        """By prompt and seed, those that came; `asked` has prompt, number of letters and seed."""
        questions = [
            Asked(self.prompt.system, user, tuple(ascii_uppercase[:n]), self.temperature, seed)
            for user, n, seed in asked
        ]
        came = self.model.ask(questions, deadline=deadline)
        found = {(user, seed): each for (user, _, seed), each in zip(asked, came, strict=True) if each is not None}
        for answer in found.values():
            bill.add(Spend(answer.tokens, cost=answer.cost))
        return found

    def _measured(self, sizes: set[int], deadline: Deadline, bill: Bill) -> dict[int, FloatArray]:
        """The letters' log-probabilities without a text, by their number; each is asked for once."""
        missing = {self.prompt.user_without(n): n for n in sizes if n not in self._priors}
        came = self._answers([(user, n, 0) for user, n in missing.items()], deadline, bill)
        self._priors.update({missing[user]: _logs(answer) for (user, _), answer in came.items() if answer.logprobs})
        return {n: self._priors[n] for n in sizes if n in self._priors}

    def _drawn(self, answers: Mapping[tuple[str, int], Answered], user: str, n: int) -> FloatArray:
        counts = np.ones(n, np.float32)
        for seed in range(self.n_samples):
            answer = answers.get((user, seed))
            if answer is not None and answer.choice:
                counts[ascii_uppercase.index(answer.choice)] += 1
        return np.asarray(counts / counts.sum(), np.float32)


def load_chat_voter(
    model: Chat, *, language: str, languages: Sequence[str] = (), n_samples: int = N_SAMPLES, temperature: float = 1.0,
    weight: float = WEIGHT,
) -> Voter:  # fmt: skip
    """A voter over a model; nobody votes in languages that `languages` leaves out. Nothing is asked yet."""
    if languages and language not in languages:
        return NoVoter()
    return ChatVoter(model, load_choice_prompt(language), n_samples, temperature, weight)


def _vote(question: Question, probs: FloatArray, tokens: int) -> Vote:
    """From letters to the candidates' own order."""
    of = dict(zip((label.value for label in lettered(question)), probs[:-1], strict=True))
    shown = [of.get(label.value, 0.0) for label in question.candidates]
    return Vote(np.array(shown, np.float32), float(probs[-1]), tokens)


def _logs(answer: Answered) -> FloatArray:
    return np.array([answer.logprobs[letter] for letter in sorted(answer.logprobs)], np.float32)


def _softmax(logits: FloatArray) -> FloatArray:
    exps = np.exp(logits - logits.max())
    return np.asarray(exps / exps.sum(), np.float32)

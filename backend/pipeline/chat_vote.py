"""Votes of chat models that are asked for the letter of one candidate.

Decides what such a model is asked and how its letters become probabilities; who runs it is the model's business.
Candidates are listed by name: what retrieval thinks of them is no hint. All that comes from tasks, label configs and
annotators is data: it stands on one line, without the characters that delimiters and control tokens are made of.
"""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Protocol

import numpy as np
from cachetools import LRUCache
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from backend.core.chat import Answered, Asked
from backend.core.deadline import Deadline
from backend.core.spending import NOTHING, Bill, Spend
from backend.core.types import FloatArray, Label
from backend.pipeline.question import NoVoter, Question, Shot, Vote, Voter, one_line, spoken

PROMPTS_DIR = Path(__file__).parent / "prompts"
PROMPT_LANGUAGES = ("en", "ru")  # others are asked in English
N_SAMPLES = 5  # answers a text, where the model tells no log-probabilities
WEIGHT = 0.6  # logits a nat, until labels have told
N_CHOSEN_FROM = 19  # candidates, and "none of these": servers tell the log-probabilities of 20 tokens at most
MAX_CHARACTERS = 4_000  # of a text: its subject stands at its beginning, and tokens cost money
MAX_HINT, MAX_SHOT = 200, 500  # characters of a hint, of an example
MAX_REMEMBERED = 5_000  # votes: the head of a label stream is asked about again and again
CHARACTERS_A_TOKEN = 4.0  # of English; only until a server has counted
NEUTRAL = "-"  # the name of a candidate that says nothing
HARMLESS = str.maketrans("<>[]", "‹›()")  # chat templates write their control tokens with these, and we our delimiters


class Chat(Protocol):
    """A chat model; see backend.models.chat_server."""

    @property
    def name(self) -> str: ...
    def ask(self, questions: Sequence[Asked], *, deadline: Deadline) -> Sequence[Answered | None]: ...


@dataclass(frozen=True, slots=True)
class ChoicePrompt:
    """What a chat model is told, and what it is shown."""

    template: Template
    system: str
    none_of_these: str
    content_free: str  # a text that says nothing: the letter that is likely for it is likely anyway
    hash: str  # 8 hex digits of the template

    def user(self, text: str, topics: Sequence[Mapping[str, str]], shots: Sequence[Mapping[str, str]] = ()) -> str:
        named = [*topics, {"name": self.none_of_these, "hint": ""}]
        lettered = list(zip(ascii_uppercase, named, strict=False))
        return self.template.render(text=text, topics=lettered, shots=shots).strip()


def load_choice_prompt(language: str) -> ChoicePrompt:
    """The prompt for texts of a language."""
    name = f"choose_{language if language in PROMPT_LANGUAGES else 'en'}.j2"
    prompts = Environment(loader=FileSystemLoader(PROMPTS_DIR), undefined=StrictUndefined, autoescape=False)  # noqa: S701 (plain text, not HTML)
    template = prompts.get_template(name)
    said: Any = template.make_module({"text": "", "topics": (), "shots": ()})
    digest = hashlib.sha256((PROMPTS_DIR / name).read_bytes()).hexdigest()
    return ChoicePrompt(template, said.system, said.none_of_these, said.content_free, digest[:8])


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
        return f"{self.prompt.system}\n\n{self._user(question)}"

    def vote(self, questions: Sequence[Question], *, deadline: Deadline, bill: Bill | None = None) -> list[Vote | None]:
        """See backend.pipeline.question.Voter."""
        users = [self._user(question) for question in questions]
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
        _, new = self._sorted(questions, [self._user(question) for question in questions])
        return self._took.expected(sum(map(len, new)))

    def _sorted(
        self, questions: Sequence[Question], users: Sequence[str]
    ) -> tuple[dict[str, FloatArray], dict[str, int]]:
        """What is known already, and how many letters each of the others has, by prompt."""
        with self._lock:
            known = {user: self._votes[user] for user in users if user in self._votes}
        new = {
            user: len(_listed(question)) + 1
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
        missing = {self._user_without(n): n for n in sizes if n not in self._priors}
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

    def _user(self, question: Question) -> str:
        listed = _listed(question)
        topics = [{"name": _data(spoken(each.name)), "hint": _data(each.hint, MAX_HINT)} for each in listed]
        letters = {spoken(each.name): letter for each, letter in zip(listed, ascii_uppercase, strict=False)}
        shots = [_shown(shot, letters[shot.answer]) for shot in question.shots if shot.answer in letters]
        return self.prompt.user(_data(question.text, MAX_CHARACTERS), topics, shots)

    def _user_without(self, n: int) -> str:
        return self.prompt.user(self.prompt.content_free, [{"name": NEUTRAL, "hint": ""}] * (n - 1))


def load_chat_voter(
    model: Chat, *, language: str, languages: Sequence[str] = (), n_samples: int = N_SAMPLES, temperature: float = 1.0,
    weight: float = WEIGHT,
) -> Voter:  # fmt: skip
    """A voter over a model; nobody votes in languages that `languages` leaves out. Nothing is asked yet."""
    if languages and language not in languages:
        return NoVoter()
    return ChatVoter(model, load_choice_prompt(language), n_samples, temperature, weight)


def _listed(question: Question) -> list[Label]:
    """The candidates as they are lettered."""
    return sorted(question.candidates[:N_CHOSEN_FROM], key=lambda label: (spoken(label.name), label.value))


def _vote(question: Question, probs: FloatArray, tokens: int) -> Vote:
    """From letters to the candidates' own order."""
    of = dict(zip((label.value for label in _listed(question)), probs[:-1], strict=True))
    shown = [of.get(label.value, 0.0) for label in question.candidates]
    return Vote(np.array(shown, np.float32), float(probs[-1]), tokens)


def _shown(shot: Shot, letter: str) -> dict[str, str]:
    return {"text": _data(shot.text, MAX_SHOT), "letter": letter}


def _data(text: str, limit: int = MAX_HINT) -> str:
    """What others wrote, as it may stand in a prompt."""
    return one_line(text)[:limit].translate(HARMLESS)


def _logs(answer: Answered) -> FloatArray:
    return np.array([answer.logprobs[letter] for letter in sorted(answer.logprobs)], np.float32)


def _softmax(logits: FloatArray) -> FloatArray:
    exps = np.exp(logits - logits.max())
    return np.asarray(exps / exps.sum(), np.float32)

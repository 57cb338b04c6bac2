"""Votes of language models over candidates.

Decides what a model is asked and how its scores become probabilities; how they are computed is the model's business.
Labels do not stand in the prompt, so that its constant part is the same for all projects and their order is no hint.
"""

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from cachetools import LRUCache
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from backend.core.deadline import Deadline
from backend.core.errors import BadInputError, OutsideError
from backend.core.profiles import LOCAL, SERVER_KIND, ModelSpec
from backend.core.types import FloatArray, Label
from backend.pipeline.question import NoVoter, Question, Vote, Voter, one_line, spoken

PROMPTS_DIR = Path(__file__).parent / "prompts"
PROMPT_LANGUAGES = ("en", "ru")  # others are asked in English
TEXT_PLACE = "\ue000"  # a private character that no template holds; it marks where the text goes
N_VOTED = 10  # candidates that are looked at: the right one is hardly ever beyond, and each costs time
TEMPERATURE = 1.5  # least log loss of SmolLM2-135M on CLINC150 names; without it the model is too sure of itself
MAX_REMEMBERED = 20_000  # pairs of a text and an answer whose score is kept: some thousand texts of a stream
OVERRUN = 1.5  # a text may take this much longer than expected
MODEL_OPTIONS = frozenset({"n_ctx", "n_threads"})
VOTER_OPTIONS = frozenset({"temperature", "languages"})


class Scored(Protocol):
    """How likely each answer is after one text."""

    @property
    def logprobs(self) -> FloatArray: ...
    @property
    def tokens(self) -> int: ...


class Scorer(Protocol):
    """A model that scores answers; see backend.models.llm."""

    @property
    def name(self) -> str: ...
    def score(
        self, before: str, after: str, texts: Sequence[str], answers: Sequence[Sequence[str]], *, timeout_s: float
    ) -> Sequence[Scored]: ...
    def expected_s(self, after: str, text: str, answers: Sequence[str]) -> float: ...


class Weights(Protocol):
    """Where weight files lie; see backend.models.weights."""

    def path(self, spec: ModelSpec) -> Path: ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """What stands around a text, and two phrases that go with it."""

    before: str
    after: str
    none_of_these: str
    content_free: str  # a text that says nothing: what is likely after it is likely anyway
    hash: str  # 8 hex digits of the template


def load_prompt(language: str) -> Prompt:
    """The prompt for texts of a language."""
    name = f"vote_{language if language in PROMPT_LANGUAGES else 'en'}.j2"
    prompts = Environment(loader=FileSystemLoader(PROMPTS_DIR), undefined=StrictUndefined, autoescape=False)  # noqa: S701 (plain text, not HTML)
    template: Any = prompts.get_template(name).make_module({"text": TEXT_PLACE})
    before, _, after = str(template).partition(TEXT_PLACE)
    source = (PROMPTS_DIR / name).read_bytes()
    phrases = (template.none_of_these, template.content_free)
    return Prompt(before.rstrip(" "), after, *phrases, hashlib.sha256(source).hexdigest()[:8])


@dataclass(frozen=True)
class LlmVoter:
    """Scores the candidates' names, and "none of these", as continuations of a prompt with the text.

    A name's score is taken relative to its score after a text that says nothing (contextual calibration; Zhao et al.
    2021, Holtzman et al. 2021), so that frequent and short names do not win by themselves.
    """

    model: Scorer
    prompt: Prompt
    temperature: float = TEMPERATURE
    _known: LRUCache[tuple[str, str], float] = field(
        default_factory=lambda: LRUCache(MAX_REMEMBERED), init=False, repr=False, compare=False
    )
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.model.name}-{self.prompt.hash}"

    def prompt_for(self, question: Question) -> str:
        return f"{self.prompt.before} {one_line(question.text)}{self.prompt.after}"

    def vote(self, questions: Sequence[Question], *, deadline: Deadline) -> list[Vote | None]:
        """See backend.pipeline.question.Voter."""
        return [self._vote(question, deadline) for question in questions]

    def _vote(self, question: Question, deadline: Deadline) -> Vote | None:
        shown = [spoken(label.name) for label in question.candidates[:N_VOTED]]
        answers = sorted({*shown, self.prompt.none_of_these})  # the candidates' order must not move a score
        if not shown:
            return None
        try:
            scores, tokens = self._scores(one_line(question.text), answers, deadline)
        except OutsideError:
            return None
        if not np.isfinite(list(scores.values())).all():
            return None
        logits = np.array([scores[name] for name in (*shown, self.prompt.none_of_these)]) / self.temperature
        exps = np.exp(logits - logits.max())
        probs = np.zeros(len(question.candidates), np.float32)
        probs[: len(shown)] = exps[:-1] / exps.sum()
        return Vote(probs, float(exps[-1] / exps.sum()), tokens)

    def _scores(self, text: str, answers: Sequence[str], deadline: Deadline) -> tuple[dict[str, float], int]:
        """Each answer's log-probability above what it has without a text, and the tokens that were evaluated.

        Without a text each is scored alone, to be independent of its company.
        """
        alone = [self._scored(self.prompt.content_free, [answer], deadline) for answer in answers]
        scored, tokens = self._scored(text, answers, deadline)
        above = {answer: scored[answer] - known[answer] for answer, (known, _) in zip(answers, alone, strict=True)}
        return above, tokens + sum(evaluated for _, evaluated in alone)

    def _scored(self, text: str, answers: Sequence[str], deadline: Deadline) -> tuple[dict[str, float], int]:
        """Log-probability by answer, and the tokens evaluated: what was scored before costs nothing."""
        with self._lock:
            known = {answer: self._known[text, answer] for answer in answers if (text, answer) in self._known}
        missing = [answer for answer in answers if answer not in known]
        if not missing:
            return known, 0
        scored = self._score(text, missing, deadline)
        fresh = dict(zip(missing, scored.logprobs.tolist(), strict=True))
        with self._lock:
            self._known.update({(text, answer): score for answer, score in fresh.items()})
        return known | fresh, scored.tokens

    def _score(self, text: str, answers: Sequence[str], deadline: Deadline) -> Scored:
        spoken_answers = [f" {answer}" for answer in answers]
        needed_s = OVERRUN * self.model.expected_s(self.prompt.after, text, spoken_answers)
        if deadline.left_s <= needed_s:
            raise OutsideError(
                f"a vote must end {needed_s:.1f} s from now, but the deadline comes first; allow more time"
            )
        timeout_s = deadline.left_s - needed_s
        before, after = self.prompt.before, self.prompt.after
        return self.model.score(before, after, [f" {text}"], [spoken_answers], timeout_s=timeout_s)[0]


def load_voter(spec: ModelSpec, store: Weights, *, language: str, load: Callable[..., Scorer]) -> Voter:
    """A voter that is ready: its prompt is evaluated. Nobody votes in languages that the profile leaves out.

    Args:
        load: makes a model of a weight file; takes n_ctx and n_threads.

    Raises:
        ArtefactError: the weights are missing or damaged.
        MissingExtraError: the library that runs them is not installed.
        BadInputError: the profile's entry is not one for a voter.
    """
    unknown = spec.options.keys() - MODEL_OPTIONS - VOTER_OPTIONS
    if spec.kind != LOCAL or unknown:
        raise BadInputError(
            f"a voter must be of kind {LOCAL} with known options, was {spec.kind} with {sorted(unknown)}; "
            f"one on a server is of kind {SERVER_KIND}"
        )
    if language not in spec.options.get("languages", [language]):
        return NoVoter()
    options = {name: value for name, value in spec.options.items() if name in MODEL_OPTIONS}
    model = load(store.path(spec), **options)
    voter = LlmVoter(model, load_prompt(language), float(spec.options.get("temperature", TEMPERATURE)))
    voter.vote([Question("", (Label("", voter.prompt.none_of_these),))], deadline=Deadline(float("inf")))
    return voter

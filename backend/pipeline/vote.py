"""Votes of local language models over candidates.

Decides what a model is asked and how its scores become probabilities; how they are computed is the model's business.
Labels do not stand in the prompt but as answers to it, so that they are asked in no order that could be a hint, and
prompts with the same shots begin alike.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from backend.core.deadline import FOREVER, Deadline
from backend.core.errors import BadInputError
from backend.core.profiles import LOCAL, SERVER_KIND, ModelSpec
from backend.core.scoring import Part, Prompted, Scored
from backend.core.spending import Bill, Spend
from backend.core.types import Label
from backend.pipeline.prompts import Prompt, load_prompt
from backend.pipeline.question import NoVoter, Question, Shot, Vote, Voter, one_line, spoken

N_VOTED = 20  # candidates that are looked at, however many are given: each costs time
TEMPERATURE = 1.5  # least log loss of SmolLM2-135M on CLINC150 names; without it the model is too sure of itself
N_SHOTS = 0  # examples before a text: with up to 0.5B parameters names are found no better, in twice the time
WEIGHT = 0.6  # logits a nat: small models mistake the plausible for the likely
MODEL_OPTIONS = frozenset({"n_ctx", "n_threads"})
VOTER_OPTIONS = frozenset({"temperature", "weight", "n_shots"})


@dataclass(frozen=True, slots=True)
class Before:
    """What stands before an answer."""

    text: str  # on one line
    shots: tuple[Shot, ...] = ()
    explained: tuple[Label, ...] = ()

    @property
    def tells_answers(self) -> bool:
        """Whether it shows what the project calls its labels."""
        return bool(self.shots or self.explained)


class Scorer(Protocol):
    """A model that scores answers; see backend.models.llm."""

    @property
    def name(self) -> str: ...
    @property
    def checksum(self) -> str:
        """Of the weights."""
        ...

    def score(self, prompted: Sequence[Prompted], *, deadline: Deadline) -> Sequence[Scored | None]: ...
    def fits(self, prompted: Prompted) -> bool: ...
    def expected(self, prompted: Sequence[Prompted]) -> tuple[int, float]: ...


class Answers(Protocol):
    """What was scored before, by key, also by other processes; see backend.models.answers."""

    def recall(self, keys: Sequence[str]) -> Mapping[str, float]: ...
    def keep(self, scores: Mapping[str, float]) -> None: ...


class Weights(Protocol):
    """Where weight files lie; see backend.models.weights."""

    def path(self, spec: ModelSpec) -> Path: ...


@dataclass(frozen=True, slots=True)
class Ballot:
    """A question as this model is asked it."""

    before: Before
    without: Before  # the same, but a text that says nothing
    answers: tuple[str, ...]  # the candidates that are looked at, in their order, and "none of these"
    n_candidates: int


@dataclass(frozen=True)
class LlmVoter:
    """Scores the candidates' names, and "none of these", as continuations of a prompt with the text.

    A name's score is taken relative to its score after a text that says nothing (contextual calibration; Zhao et al.
    2021, Holtzman et al. 2021), so that frequent and short names do not win by themselves.
    """

    model: Scorer
    prompt: Prompt
    answers: Answers
    temperature: float = TEMPERATURE
    weight: float = WEIGHT
    n_shots: int = N_SHOTS
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.model.name}-{self.prompt.hash}"

    @property
    def lasting(self) -> bool:
        return True

    def prompt_for(self, question: Question) -> str:
        return "".join(part.text for part in self._parts(self._ballot(question).before))

    def vote(self, questions: Sequence[Question], *, deadline: Deadline, bill: Bill | None = None) -> list[Vote | None]:
        """See backend.pipeline.question.Voter. Who asks the same at the same time waits until the first one is told."""
        if not self._turn.acquire(timeout=min(deadline.left_s, threading.TIMEOUT_MAX)):
            return [None] * len(questions)
        since = time.monotonic()
        try:
            ballots = [self._ballot(question) for question in questions]
            scores, tokens = self._scores(self._wanted(ballots), deadline)
        finally:
            self._turn.release()
        if bill is not None and tokens:
            bill.add(Spend(sum(tokens.values()), time.monotonic() - since))
        return [self._vote(ballot, scores, tokens) for ballot in ballots]

    def expected(self, questions: Sequence[Question]) -> Spend:
        """Tokens, and seconds by the speed seen so far; what was scored before takes nothing."""
        wanted = self._wanted([self._ballot(question) for question in questions])
        missing = self._missing(wanted, self._recalled(wanted))
        return Spend(*self.model.expected([prompted for _, prompted in missing]))

    def _ballot(self, question: Question) -> Ballot:
        names = [*(spoken(label.name) for label in question.candidates[:N_VOTED]), self.prompt.none_of_these]
        shots = question.shots[max(0, len(question.shots) - self.n_shots) :]
        fewer = [*((shots[at:], question.explained) for at in range(len(shots) + 1)), ((), ())]
        for shown, explained in fewer:
            before = Before(one_line(question.text), shown, explained)
            answers = answers_of(names, short=before.tells_answers)
            if self.model.fits(self._prompted(before, set(answers))):
                break
        return Ballot(before, replace(before, text=self.prompt.content_free), answers, len(question.candidates))

    def _wanted(self, ballots: Sequence[Ballot]) -> dict[Before, set[str]]:
        """The answers whose scores are needed, by what stands before them."""
        wanted: dict[Before, set[str]] = {}
        for ballot in ballots:
            for before in (ballot.before, ballot.without):
                if ballot.n_candidates:
                    wanted.setdefault(before, set()).update(ballot.answers)
        return wanted

    def _scores(
        self, wanted: Mapping[Before, set[str]], deadline: Deadline
    ) -> tuple[dict[Before, dict[str, float]], dict[Before, int]]:
        """Log-probabilities of the answers that are known by the deadline, and tokens that were evaluated for them."""
        scores = self._recalled(wanted)
        missing = self._missing(wanted, scores)
        scored = self.model.score([prompted for _, prompted in missing], deadline=deadline)
        tokens: dict[Before, int] = {}
        for (before, prompted), one in zip(missing, scored, strict=True):
            if one is not None:
                fresh = dict(zip(prompted.answers, one.logprobs.tolist(), strict=True))
                scores[before].update(fresh)
                tokens[before] = tokens.get(before, 0) + one.tokens
                self.answers.keep({self._key(before, answer): score for answer, score in fresh.items()})
        return scores, tokens

    def _recalled(self, wanted: Mapping[Before, set[str]]) -> dict[Before, dict[str, float]]:
        keys = {self._key(before, answer): (before, answer) for before, answers in wanted.items() for answer in answers}
        found: dict[Before, dict[str, float]] = {before: {} for before in wanted}
        for key, score in self.answers.recall(list(keys)).items():
            before, answer = keys[key]
            found[before][answer] = score
        return found

    def _missing(
        self, wanted: Mapping[Before, set[str]], known: Mapping[Before, Mapping[str, float]]
    ) -> list[tuple[Before, Prompted]]:
        left = ((before, answers - known[before].keys()) for before, answers in wanted.items())
        return [
            (before, each) for before, answers in left if answers for each in self._fitting(before, sorted(answers))
        ]

    def _fitting(self, before: Before, answers: Sequence[str]) -> list[Prompted]:
        """The answers in as many prompts as they need room for: a text that says nothing gets all of a call."""
        prompted = self._prompted(before, set(answers))
        if len(answers) == 1 or self.model.fits(prompted):
            return [prompted]
        half = len(answers) // 2
        return [*self._fitting(before, answers[:half]), *self._fitting(before, answers[half:])]

    def _prompted(self, before: Before, answers: Set[str]) -> Prompted:
        # sorted: the candidates' order must not move a score
        return Prompted(self._parts(before), tuple(sorted(answers)))

    def _parts(self, before: Before) -> tuple[Part, ...]:
        return self.prompt.parts(before.text, before.shots, before.explained)

    def _key(self, before: Before, answer: str) -> str:
        shots = (f"{shot.text}\n{shot.answer}" for shot in before.shots)
        explained = (f"{spoken(label.name)}\n{label.hint}" for label in before.explained)
        parts = [self.model.checksum, self.prompt.hash, *explained, "", *shots, before.text, answer]
        return hashlib.blake2b("\0".join(parts).encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()

    def _vote(
        self, ballot: Ballot, scores: Mapping[Before, Mapping[str, float]], tokens: MutableMapping[Before, int]
    ) -> Vote | None:
        with_text, without = (scores.get(before, {}) for before in (ballot.before, ballot.without))
        above = np.array([with_text.get(each, np.nan) - without.get(each, np.nan) for each in ballot.answers])
        if not ballot.n_candidates or not np.isfinite(above).all():
            return None
        exps = np.exp((above - above.max()) / self.temperature)
        probs = np.zeros(ballot.n_candidates, np.float32)
        probs[: len(exps) - 1] = exps[:-1] / exps.sum()
        evaluated = tokens.pop(ballot.before, 0) + tokens.pop(ballot.without, 0)
        return Vote(probs, float(exps[-1] / exps.sum()), evaluated)


def answers_of(names: Sequence[str], *, short: bool) -> tuple[str, ...]:
    """Names as they stand after a prompt.

    What begins another ends with its line, or it would win by being shorter. Where a model was shown what labels are
    called, the first words that tell a name from the others stand for all of it: to go on as it began is certain then.
    """
    return tuple(f" {_short(name, names) if short else _whole(name, names)}" for name in names)


def _short(name: str, names: Sequence[str]) -> str:
    words = name.split(" ")
    beginnings = (" ".join(words[:end]) for end in range(1, len(words)))
    return next((each for each in beginnings if not _begins_another(each, name, names)), _whole(name, names))


def _whole(name: str, names: Sequence[str]) -> str:
    return f"{name}\n" if _begins_another(name, name, names) else name


def _begins_another(beginning: str, name: str, names: Sequence[str]) -> bool:
    return any(other != name and other.startswith(beginning) for other in names)


def load_voter(
    spec: ModelSpec, store: Weights, answers: Answers, *, language: str, load: Callable[..., Scorer]
) -> Voter:
    """A voter that is ready: its prompt is evaluated. Nobody votes in languages that the profile leaves out.

    Args:
        load: makes a model of a weight file; takes checksum, n_ctx and n_threads.

    Raises:
        ArtefactError: the weights are missing or damaged.
        MissingExtraError: the library that runs them is not installed.
        BadInputError: the profile's entry is not one for a voter.
    """
    unknown = spec.options.keys() - MODEL_OPTIONS - VOTER_OPTIONS - {"languages"}
    if spec.kind != LOCAL or unknown:
        raise BadInputError(
            f"a voter must be of kind {LOCAL} with known options, was {spec.kind} with {sorted(unknown)}; "
            f"one on a server is of kind {SERVER_KIND}"
        )
    if language not in spec.options.get("languages", [language]):
        return NoVoter()
    options = {name: value for name, value in spec.options.items() if name in MODEL_OPTIONS}
    model = load(store.path(spec), **options)
    chosen = {name: spec.options[name] for name in VOTER_OPTIONS & spec.options.keys()}
    voter = LlmVoter(model, load_prompt(language), answers, **chosen)
    model.score([Prompted(voter.prompt.parts(""), (f" {voter.prompt.none_of_these}",))], deadline=FOREVER)
    return voter

"""Votes of local language models over candidates.

Decides what a model is asked and how its scores become probabilities; how they are computed is the model's business.
Labels do not stand in the prompt but as answers to it, so that they are asked in no order that could be a hint, and
prompts with the same shots begin alike.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from backend.core.deadline import FOREVER, Deadline
from backend.core.errors import BadInputError
from backend.core.profiles import LOCAL, SERVER_KIND, ModelSpec
from backend.core.scoring import Prompted
from backend.core.spending import Bill, Spend
from backend.pipeline.prompts import Prompt, answers_of, load_prompt
from backend.pipeline.question import NoVoter, Question, Vote, Voter, spoken
from backend.pipeline.respondent import Answers, Before, Respondent, Scorer, Told

N_VOTED = 20  # candidates that are looked at, however many are given: each costs time
TEMPERATURE = 1.5  # least log loss of SmolLM2-135M on CLINC150 names; without it the model is too sure of itself
N_SHOTS = 0  # examples before a text: with up to 0.5B parameters names are found no better, in twice the time
WEIGHT = 0.6  # logits a nat: small models mistake the plausible for the likely
MODEL_OPTIONS = frozenset({"n_ctx", "n_threads"})
VOTER_OPTIONS = frozenset({"temperature", "weight", "n_shots", "explains"})


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

    A name's score is taken relative to its score after a text that says nothing, so that frequent and short names do
    not win by themselves.
    """

    model: Scorer
    prompt: Prompt
    answers: Answers
    temperature: float = TEMPERATURE
    weight: float = WEIGHT
    n_shots: int = N_SHOTS
    explains: bool = False  # a few labels' hints before every text: up to 1.5B parameters names are found worse by it
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        shown = f"-{self.n_shots}" if self.n_shots else ""
        explained = "-explained" if self.explains else ""
        return f"{self.model.name}-{self.prompt.hash}-{self.temperature:g}{shown}{explained}"

    @property
    def lasting(self) -> bool:
        return True

    def prompt_for(self, question: Question) -> str:
        return "".join(part.text for part in self._ballot(question).before)

    def vote(self, questions: Sequence[Question], *, deadline: Deadline, bill: Bill | None = None) -> list[Vote | None]:
        """See backend.pipeline.question.Voter."""
        ballots = [self._ballot(question) for question in questions]
        told = self._respondent.told(_wanted(ballots), deadline=deadline, bill=bill)
        return [self._vote(ballot, told) for ballot in ballots]

    def expected(self, questions: Sequence[Question]) -> Spend:
        """Tokens, and seconds by the speed seen so far; what was scored before takes nothing."""
        return self._respondent.expected(_wanted([self._ballot(question) for question in questions]))

    @property
    def _respondent(self) -> Respondent:
        return Respondent(self.model, self.answers, self._turn)

    def _ballot(self, question: Question) -> Ballot:
        names = [*(spoken(label.name) for label in question.candidates[:N_VOTED]), self.prompt.none_of_these]
        shots = question.shots[max(0, len(question.shots) - self.n_shots) :]
        labels = question.explained if self.explains else ()
        fewer = [*((shots[at:], labels) for at in range(len(shots) + 1)), ((), ())]
        for shown, explained in fewer:
            before = self.prompt.parts(question.text, shown, explained)
            answers = answers_of(names, short=bool(shown or explained))
            if self.model.fits(Prompted(before, answers)):
                break
        without = self.prompt.parts(self.prompt.content_free, shown, explained)
        return Ballot(before, without, answers, len(question.candidates))

    def _vote(self, ballot: Ballot, told: Told) -> Vote | None:
        found = told.probs(ballot.before, ballot.answers, without=ballot.without, temperature=self.temperature)
        if not ballot.n_candidates or found is None:
            return None
        probs = np.zeros(ballot.n_candidates, np.float32)
        probs[: len(found) - 1] = found[:-1]
        return Vote(probs, float(found[-1]), told.take_tokens(ballot.before, ballot.without))


def _wanted(ballots: Sequence[Ballot]) -> dict[Before, set[str]]:
    """The answers whose scores are needed, by what stands before them."""
    wanted: dict[Before, set[str]] = {}
    for ballot in ballots:
        for before in (ballot.before, ballot.without):
            if ballot.n_candidates:
                wanted.setdefault(before, set()).update(ballot.answers)
    return wanted


def load_voter(
    spec: ModelSpec, store: Weights, answers: Answers, *, language: str, load: Callable[..., Scorer]
) -> Voter:
    """A voter that is ready: its prompt is evaluated. Nobody votes in languages that the profile leaves out.

    Args:
        load: makes a model of a weight file; takes n_ctx and n_threads.

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

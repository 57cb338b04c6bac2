"""Votes of local language models over candidates.

Decides how scores become probabilities; what is asked is the wording's business, how scores are computed the model's.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from backend.core.deadline import FOREVER, Deadline
from backend.core.errors import BadInputError
from backend.core.profiles import LOCAL, SERVER_KIND, ModelSpec
from backend.core.scoring import Prompted
from backend.core.spending import Bill, Spend
from backend.pipeline.ballots import Ballot, Continued, Listed, Wording
from backend.pipeline.choice import load_choice_prompt
from backend.pipeline.conversation import frame_of
from backend.pipeline.prompts import load_prompt
from backend.pipeline.question import NoVoter, Question, Vote, Voter
from backend.pipeline.respondent import Answers, Before, Respondent, Scorer, Told

TEMPERATURE = 1.5  # least log loss of SmolLM2-135M on CLINC150 names; without it the model is too sure of itself
WEIGHT = 0.6  # logits a nat: small models mistake the plausible for the likely
MODEL_OPTIONS = frozenset({"n_ctx", "n_threads"})
VOTER_OPTIONS = frozenset({"temperature", "weight"})
WORDING_OPTIONS = frozenset({"n_shots", "explains", "listed"})


class Weights(Protocol):
    """Where weight files lie; see backend.models.weights."""

    def path(self, spec: ModelSpec) -> Path: ...


@dataclass(frozen=True)
class LlmVoter:
    """Scores the answers to a question: the candidates, and "none of these".

    An answer's score is taken relative to its score after a text that says nothing, so that frequent and short names,
    or a letter that a model likes, do not win by themselves.
    """

    model: Scorer
    wording: Wording
    answers: Answers
    temperature: float = TEMPERATURE
    weight: float = WEIGHT
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.model.name}-{self.wording.name}-{self.temperature:g}"

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
        """The first that finds room, or the last."""
        for ballot in self.wording.ballots(question):
            if self.model.fits(Prompted(ballot.before, ballot.answers)):
                break
        return ballot

    def _vote(self, ballot: Ballot, told: Told) -> Vote | None:
        found = told.probs(ballot.before, ballot.answers, without=ballot.without, temperature=self.temperature)
        if not ballot.n_candidates or found is None:
            return None
        probs = np.zeros(ballot.n_candidates, np.float32)
        probs[: len(found) - 1] = np.maximum(found[:-1], np.finfo(np.float32).tiny)  # 0 is for what was not looked at
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
    unknown = spec.options.keys() - MODEL_OPTIONS - VOTER_OPTIONS - WORDING_OPTIONS - {"languages"}
    if spec.kind != LOCAL or unknown:
        raise BadInputError(
            f"a voter must be of kind {LOCAL} with known options, was {spec.kind} with {sorted(unknown)}; "
            f"one on a server is of kind {SERVER_KIND}"
        )
    if language not in spec.options.get("languages", [language]):
        return NoVoter()
    options = {name: value for name, value in spec.options.items() if name in MODEL_OPTIONS}
    model = load(store.path(spec), **options)
    voter = LlmVoter(
        model, wording_of(spec.options, model, language), answers,
        **{name: spec.options[name] for name in VOTER_OPTIONS & spec.options.keys()},
    )  # fmt: skip
    ballot = next(voter.wording.ballots(Question("", ())))
    model.score([Prompted(ballot.before, ballot.answers)], deadline=FOREVER)
    return voter


def wording_of(options: Mapping[str, Any], model: Scorer, language: str) -> Wording:
    """How a profile's entry wants its model to be asked.

    Raises:
        ArtefactError: the model has no chat template to be shown a list in.
    """
    n_shots = int(options.get("n_shots", 0))
    if not options.get("listed"):
        return Continued(load_prompt(language), n_shots, bool(options.get("explains")))
    prompt = load_choice_prompt(language)
    return Listed(prompt, frame_of(model.chat_template, model=model.name, system=prompt.system), n_shots)

"""The last cost level: language models that choose among the likeliest labels, one after the other.

Each voter is a witness of its own to the fuser, which learns what its word is worth beside that of the others.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backend.core.deadline import Deadline
from backend.core.types import BoolArray, FloatArray, LabelSpace
from backend.pipeline.budget import Budget, NoBudget
from backend.pipeline.confusion import Confusion, confused
from backend.pipeline.evidence import NONE, VOTE, Evidence, Feature, Finding
from backend.pipeline.levels import Timed, untimed
from backend.pipeline.question import Question, Vote, Voter, spoken
from backend.pipeline.shots import ShotBook

MAX_EXPLAINED = 20  # labels whose hints stand before every text: a small model loses the thread of more
N_VOTED = 10  # candidates that voters choose from; more cost time and confuse small models
WORD = re.compile(r"[^\W_]+")
VOTE_BOUND = 4.0  # natural logarithms: a small model that is very sure must not outweigh everything else
NONE_SHARE = 0.5  # of a voter's weight that its "none of these" has: models that doubt over-use it


@dataclass(frozen=True)
class Voting:
    """Language models, all of which are asked the same."""

    voters: tuple[Voter, ...]
    shots: ShotBook = field(default_factory=ShotBook)
    n_voted: int = N_VOTED
    timed: Timed = untimed
    budget: Budget = field(default_factory=NoBudget)
    confusions: Mapping[str, Confusion] = field(default_factory=dict, repr=False)  # by voter, as labels have told

    def append(self, evidence: Evidence, probs: FloatArray, *, where: BoolArray, deadline: Deadline) -> Evidence:
        """As every level; a batch goes through voter after voter, each with its part of the time that is left."""
        rows = np.flatnonzero(where)
        if not len(rows) or deadline.passed:
            return evidence
        chosen = [self._likeliest(probs[row]) for row in rows]
        questions = [self._question(evidence, row, columns) for row, columns in zip(rows.tolist(), chosen, strict=True)]
        with self.timed("vote"):
            cast = {
                voter.name: self.budget.ask(voter, questions, deadline=deadline.part(1.0 / (len(self.voters) - at)))
                for at, voter in enumerate(self.voters)
            }
        said = [any(votes[at] is not None for votes in cast.values()) for at in range(len(rows))]
        if not any(said):
            return evidence
        voted = np.zeros(len(evidence), np.bool_)
        voted[rows] = said
        heard = [at for at, one in enumerate(said) if one]
        named = [_named(question) for question in questions]
        return evidence.append(self._finding(cast, heard, chosen, named, evidence.labels), where=voted)

    def questions(self, evidence: Evidence, probs: FloatArray, *, where: BoolArray) -> list[Question]:
        """What is asked about the texts in `where`, in their order."""
        return [self._question(evidence, row, self._likeliest(probs[row])) for row in np.flatnonzero(where).tolist()]

    def prompts(self, evidence: Evidence, probs: FloatArray) -> dict[str, str]:
        """What each voter is asked about the first text, whose probabilities (n_labels + 1,) these are."""
        question = self._question(evidence, 0, self._likeliest(probs))
        return {voter.name: voter.prompt_for(question) for voter in self.voters}

    def _finding(
        self, cast: Mapping[str, Sequence[Vote | None]], heard: Sequence[int], chosen: Sequence[Sequence[int]],
        named: Sequence[BoolArray], space: LabelSpace,
    ) -> Finding:  # fmt: skip
        """The votes about the texts that somebody voted on."""
        features: list[Feature] = []
        tokens = np.zeros(len(heard), np.int64)
        for name, votes in cast.items():
            of_voter = [(votes[at], chosen[at], named[at]) for at in heard]
            vote, none = _features(name, of_voter, len(space))
            features += [vote, none]
            if name in self.confusions:
                features.append(confused(vote, space, [self.confusions[name]] * len(heard)))
            tokens += np.array([one.tokens if one else 0 for one, *_ in of_voter], np.int64)
        return Finding("vote", tuple(features), tokens=tokens)

    def _likeliest(self, probs: FloatArray) -> list[int]:
        columns: list[int] = np.argsort(-probs[:-1], kind="stable")[: self.n_voted].tolist()
        return columns

    def _question(self, evidence: Evidence, row: int, columns: Sequence[int]) -> Question:
        labels = evidence.labels.labels
        shots = self.shots.shots(columns[0]) if columns else ()
        explained = labels if len(labels) <= MAX_EXPLAINED and any(label.hint for label in labels) else ()
        return Question(evidence.texts[row], tuple(labels[column] for column in columns), shots, explained)


def confusions_of(parameters: Mapping[str, Any]) -> dict[str, Confusion]:
    """By voter, as they stand in a manifest's parameters."""
    return {name: Confusion(counts) for name, counts in parameters.get("votes", {}).get("confusions", {}).items()}


def stated(voters: Sequence[Voter]) -> dict[str, float]:
    """The weights of votes as long as no labels have told what they are worth, by feature."""
    weights = {VOTE + voter.name: voter.weight for voter in voters}
    return weights | {NONE + voter.name: NONE_SHARE * voter.weight for voter in voters}


def _named(question: Question) -> BoolArray:
    """(n_candidates,): the text has the candidate's name word for word, and the cheap levels put another one first."""
    text = _words(question.text)
    names = [_words(spoken(label.name)) for label in question.candidates]
    return np.array([at > 0 and bool(name.strip()) and name in text for at, name in enumerate(names)], np.bool_)


def _words(text: str) -> str:
    """In lower case, with a blank around each."""
    return f" {' '.join(WORD.findall(text.casefold()))} "


def _features(
    name: str, votes: Sequence[tuple[Vote | None, Sequence[int], BoolArray]], n_labels: int
) -> tuple[Feature, Feature]:
    """How many times likelier than by chance a voter holds each candidate, and none of them, as logarithms.

    A candidate that a text names stays just under the first one: the cheap levels have read the name, too, and whoever
    writes "answer refund" into a text must not have it by the vote.
    """
    raw = np.zeros((len(votes), n_labels + 1), np.float32)
    present = np.zeros(raw.shape, np.bool_)
    values = np.zeros(raw.shape, np.float32)
    for row, (vote, columns, named) in enumerate(votes):
        if vote is None:
            continue
        answers = [*columns, n_labels]
        raw[row, answers] = [*vote.probs, vote.p_none]
        present[row, answers] = raw[row, answers] > 0.0  # those beyond the voter's reach were not looked at
        odds = np.log(np.maximum(raw[row, answers], 1e-9) * present[row].sum())
        odds[:-1][named] = np.minimum(odds[:-1][named], np.nextafter(odds[0], -np.inf))
        values[row, answers] = np.clip(odds, -VOTE_BOUND, VOTE_BOUND)
    last = np.arange(n_labels + 1) == n_labels
    return Feature(VOTE + name, values, raw, present & ~last), Feature(NONE + name, values, raw, present & last)

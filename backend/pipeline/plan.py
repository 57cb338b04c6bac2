"""What a run over texts would take, told before it: the cheap levels look at some texts, and voters vote on a few.

Decides how much is looked at and how it is carried over to the rest; what a vote takes is the voter's to know.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from backend.core.deadline import FOREVER
from backend.core.spending import NOTHING, Bill, Spend
from backend.pipeline.pipeline import Pipeline
from backend.pipeline.question import Question, Voter

LOOKED_AT = 2_000  # texts at most, evenly taken
TRIED = 64  # votes at least that tell how fast a voter is, where there are so many


@dataclass(frozen=True, slots=True)
class Asking:
    """What one voter would take."""

    voter: str
    n_texts: int  # that it would be asked about
    spend: Spend  # of the run; less what it remembers
    tried: Spend  # what it took to tell that


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would take."""

    n_texts: int
    n_looked_at: int  # by the cheap levels, for this plan
    n_unsure: int  # that would reach the voters
    cheap_s: float  # of the cheap levels
    voters: tuple[Asking, ...]

    @property
    def spend(self) -> Spend:
        """All voters', who vote one after the other."""
        return sum((each.spend for each in self.voters), NOTHING)

    @property
    def seconds(self) -> float:
        return self.cheap_s + self.spend.seconds


def evenly(n: int, n_taken: int) -> list[int]:
    """Places of `n_taken` rows out of n, at equal distances; all where there are no more."""
    taken = min(n, n_taken)
    return [at * n // taken for at in range(taken)]


def plan(pipeline: Pipeline, texts: Sequence[str], *, n_texts: int) -> Plan:
    """What a run over `n_texts` texts would take, of which `texts` were taken evenly.

    Casts some votes with each voter, of those that would be cast anyway.
    """
    since = time.monotonic()
    calls = pipeline.questions(texts)
    cheap_s, scale = time.monotonic() - since, n_texts / max(len(texts), 1)
    n_unsure = round(scale * sum(map(len, calls)))
    asked = tuple(_asking(voter, calls, n_unsure) for voter in pipeline.voters)
    return Plan(n_texts, len(texts), n_unsure, scale * cheap_s, asked)


def _asking(voter: Voter, calls: Sequence[Sequence[Question]], n_unsure: int) -> Asking:
    """Whole calls are tried: few questions at once take more time and more tokens each."""
    questions = list(chain.from_iterable(calls))
    n_calls = math.ceil(TRIED * len(calls) / max(len(questions), 1))
    few = [calls[at] for at in evenly(len(calls), n_calls)]
    tried = [_tried(voter, call) for call in few]
    took, n_tried = sum(tried, NOTHING), sum(map(len, few))
    rest = voter.expected(questions)
    n_rest = len(questions) - n_tried
    each = rest.times(1 / n_rest) if n_rest else took.times(1 / max(n_tried, 1))
    more = each.times(n_unsure - len(questions))
    spend = rest + more if voter.lasting else rest + more + took
    return Asking(voter.name, n_unsure, replace(spend, seconds=spend.tokens * _s_per_token(tried)), took)


def _tried(voter: Voter, questions: Sequence[Question]) -> Spend:
    bill = Bill()
    voter.vote(questions, deadline=FOREVER, bill=bill)
    return bill.total


def _s_per_token(tried: Sequence[Spend]) -> float:
    """Without the first call, which also takes what all others share; 0 where all votes were remembered."""
    asked = [each for each in tried if each.tokens]
    usual = sum(asked[1:] or asked, NOTHING)
    return usual.seconds / usual.tokens if usual.tokens else 0.0

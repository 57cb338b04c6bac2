"""What votes are worth, and which texts are worth a vote: learned from votes on examples that nothing else had seen.

The weights of all voters are fitted together, so that two that err together count as one and one that guesses counts as
none; what was right where a voter preferred a label is remembered by label. Texts are handed to the voters up to the
confidence at which their votes stop paying for themselves, and none is where they never do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from backend.core.deadline import Deadline
from backend.core.types import STAGES, BoolArray, FloatArray, IntArray
from backend.pipeline.confusion import Confusion, Counts, confused, preferred
from backend.pipeline.evidence import CONFUSED, NONE, VOTE, Evidence, Finding
from backend.pipeline.fuse import Fuser
from backend.pipeline.voting import Voting, stated
from training.calibrate import fit_none, fit_weights
from training.out_of_fold import OutOfFold

MAX_ASKED = 120  # examples a training: a handful of numbers needs no more, and each costs as much as a vote in service
MIN_ASKED = 40  # with fewer the stated weights and threshold stand
UNSURE = 0.9  # confidence; above it there is hardly anything that a vote could change
PATIENCE_S = 60.0  # of voting, a training
COST = 0.02  # of a vote, in labels put right: two texts in a hundred must gain from being asked about
CONFUSED_WEIGHT = 0.5  # logits a nat, before the examples tell: a label's confusions are few
AGAIN = 1.5  # times the examples that votes were learned from, from where on they are learned again


@dataclass(frozen=True, slots=True)
class Learned:
    """As it stands in a manifest's parameters, under "votes"."""

    weights: Mapping[str, float]  # of the features of voters
    rest: float  # what all other weights are multiplied by where there are votes
    threshold: float  # confidence of the level before from which voters are not asked; 0: never
    n_examples: int  # of the training set
    n_asked: int  # examples that were voted on
    right: Mapping[str, float] = field(default_factory=dict)  # share of these: without votes, with them, each voter's
    confusions: Mapping[str, Counts] = field(default_factory=dict)  # by voter

    def parameters(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "Learned | None":
        """What a manifest holds; None where nothing was learned."""
        return cls(**parameters["votes"]) if parameters.get("votes") else None

    def stands(self, n_examples: int, voters: Voting) -> bool:
        """Whether it need not be learned again yet."""
        known = {name for name in self.weights if name.startswith(VOTE)}
        return known == {VOTE + voter.name for voter in voters.voters} and n_examples < AGAIN * self.n_examples


def learn_votes(
    unseen: OutOfFold, fuser: Fuser, voting: Voting, *, seed: int, patience_s: float = PATIENCE_S
) -> Learned | None:
    """Ask the voters about some unsure examples; None where there are too few, or they answered too late.

    Args:
        fuser: as it was fitted for the levels before.
        patience_s: for the voting.
    """
    evidence = list(unseen.seen.values())[-1]
    probs = fuser.fuse(evidence)
    rows = _asked(unseen, probs, voting, seed)
    if len(rows) < MIN_ASKED:
        return None
    chosen = np.isin(np.arange(len(evidence)), rows)
    voted = voting.append(evidence, probs, where=chosen, deadline=Deadline.after(patience_s))
    heard = voted.stages == STAGES.index("vote")
    if heard.sum() < MIN_ASKED:
        return None
    return _learned(voted.take(heard), probs[heard], unseen.columns[heard], fuser, voting, len(unseen.blindfold.rows))


def _asked(unseen: OutOfFold, probs: FloatArray, voting: Voting, seed: int) -> IntArray:
    """Unsure examples, drawn evenly; those that voters are shown anyway tell nothing."""
    ids = [unseen.blindfold.material.examples[row].id for row in unseen.asked.tolist()]
    shown = np.array([id_ in voting.shots.ids for id_ in ids], np.bool_)
    rows = np.flatnonzero((probs.max(axis=1) < UNSURE) & ~shown)
    return np.sort(np.random.default_rng(seed).permutation(rows)[:MAX_ASKED])


def _learned(
    voted: Evidence, before: FloatArray, columns: IntArray, fuser: Fuser, voting: Voting, n_examples: int
) -> Learned:
    ours = (VOTE, NONE, CONFUSED)
    rest = {name: weight for name, weight in fuser.weights["vote"].items() if not name.startswith(ours)}
    pairs = {voter.name: _pairs(voted, columns, voter.name) for voter in voting.voters}
    confusions = {name: _confusion(of_voter) for name, of_voter in pairs.items()}
    voted = _with_confusions(voted, pairs, confusions)
    features = stated(voting.voters) | {CONFUSED + name: CONFUSED_WEIGHT for name in confusions}
    groups = [(name,) for name in features if not name.startswith(NONE)]
    fitted = fit_weights(voted, columns, {**rest, **features}, [*groups, tuple(rest)])
    factor = next((fitted[name] / weight for name, weight in rest.items() if weight), 1.0)
    scaled = {name: weight * factor for name, weight in rest.items()}
    odds = fuser.with_votes(scaled).odds(voted, "vote")
    none = fit_none(voted, odds, columns, {name: features[name] for name in features if name.startswith(NONE)})
    weights = {name: fitted[name] for (name,) in groups} | none
    after = fuser.with_votes(scaled | weights).fuse(voted)
    right = {"without votes": _right(before, columns).mean(), "with votes": _right(after, columns).mean()}
    at = np.arange(len(columns)), columns
    gains = after[at] - before[at]
    return Learned(
        weights, round(factor, 6), worth_asking(before.max(axis=1), gains), n_examples, len(columns),
        {name: round(float(share), 4) for name, share in (right | _alone(voted, columns, voting)).items()},
        {name: confusion.counts for name, confusion in confusions.items()},
    )  # fmt: skip


def _confusion(pairs: Sequence[tuple[str, str]]) -> Confusion:
    """Of a voter, by the examples that it voted on and that have a label."""
    known = [pair for pair in pairs if all(pair)]
    return Confusion.of([said for said, _ in known], [right for _, right in known])


def _pairs(voted: Evidence, columns: IntArray, voter: str) -> list[tuple[str, str]]:
    """The label that a voter preferred, and the right one; each empty where there is none."""
    vote = voted.feature(VOTE + voter)
    said = [""] * len(voted) if vote is None else preferred(vote, voted.labels)
    return list(zip(said, [[*voted.labels.values, ""][column] for column in columns], strict=True))


def _with_confusions(
    voted: Evidence, pairs: Mapping[str, Sequence[tuple[str, str]]], confusions: Mapping[str, Confusion]
) -> Evidence:
    """With what is known of each voter from all examples but the one in question."""
    features = []
    for name, confusion in confusions.items():
        known = [confusion.without(*pair) if all(pair) else confusion for pair in pairs[name]]
        vote = voted.feature(VOTE + name)
        if vote is not None:
            features.append(confused(vote, voted.labels, known))
    return voted.append(Finding("vote", tuple(features)), where=np.ones(len(voted), np.bool_))


def worth_asking(confidence: FloatArray, gains: FloatArray) -> float:
    """The confidence up to which votes pay for themselves by more than chance; 0 where they nowhere do.

    Args:
        confidence: (n_texts,), before the votes.
        gains: (n_texts,): by how much likelier the votes make the right label. Whether a label is put right tells less
            of a vote: it mostly changes nothing, and by chance some.
    """
    order = np.argsort(confidence, kind="stable")
    chance = np.sqrt(np.cumsum(gains[order] ** 2))  # the standard error of such changes, if none were better
    worth = np.cumsum(gains[order] - COST) - chance
    best = int(np.argmax(worth))
    if worth[best] <= 0.0:
        return 0.0
    return round(float(np.nextafter(confidence[order[best]], np.float32(2.0))), 6)


def _right(probs: FloatArray, columns: IntArray) -> BoolArray:
    return np.asarray(probs.argmax(axis=1) == columns, np.bool_)


def _alone(voted: Evidence, columns: IntArray, voting: Voting) -> dict[str, float]:
    """How often each voter by itself prefers the right label, of the texts that have one."""
    found = {}
    inside = columns < len(voted.labels)
    for voter in voting.voters:
        feature = voted.feature(VOTE + voter.name)
        if feature is not None and inside.any():
            said = np.where(feature.present, feature.raw, -1.0)[inside]
            found[voter.name] = float((said.argmax(axis=1) == columns[inside]).mean())
    return found

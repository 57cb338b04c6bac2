"""What a training learns about language models by asking them about examples that nothing else had seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.assembly import Assembly
from backend.core.deadline import Deadline
from backend.core.types import Decision, Example, Label, LabelSpace
from backend.pipeline.budget import NoBudget
from backend.pipeline.evidence import VOTE
from backend.pipeline.question import Question, Vote, Voter
from backend.pipeline.vote import LlmVoter
from tests.pipeline.tables import Table, voter_of
from training.run import TrainingOptions, train
from training.votes import MAX_ASKED, MIN_ASKED, worth_asking

SPACE = LabelSpace(tuple(Label(name, name) for name in ("north", "east", "south", "west")))
NAMES = SPACE.values
DRAWN = np.random.default_rng(3).integers(0, len(NAMES), 220).tolist()
ALL = [Example(f"e{n}", f"parcel {n * 7919 % 10007}", NAMES[at]) for n, at in enumerate(DRAWN)]
UNKNOWABLE, NEW = ALL[:200], ALL[200:]  # by anything but a voter that knows
STATED = 0.6


def knowing(name: str = "knowing") -> LlmVoter:
    """A voter that is right about every text."""
    return voter_of({one.text: {one.label: 4.0} for one in ALL}, name=name, weight=STATED)


def guessing(name: str = "guessing") -> LlmVoter:
    """One that is sure of a label by chance."""
    drawn = np.random.default_rng(4).integers(0, len(NAMES), len(ALL)).tolist()
    scores = {one.text: {NAMES[at]: 4.0} for one, at in zip(ALL, drawn, strict=True)}
    return voter_of(scores, name=name, weight=STATED)


def mistaking(name: str = "mistaking") -> LlmVoter:
    """One that is sure, and always takes a label for the one before it."""
    scores = {one.text: {NAMES[NAMES.index(one.label) - 1]: 4.0} for one in ALL}
    return voter_of(scores, name=name, weight=STATED)


@dataclass(frozen=True)
class Heard(Assembly):
    """Loads as prelabel does, with voters of one's own."""

    own: tuple[Voter, ...] = ()

    def voters(self, language: str, profile: str, *, project: str = "") -> tuple[Voter, ...]:
        return self.own


def learned(
    assembly: Assembly, out: Path, *voters: LlmVoter, examples: Sequence[Example] = UNKNOWABLE, **more: Any
) -> Mapping[str, Any]:
    """What stands in the manifest after a training that asks the voters."""
    heard = Heard(assembly.settings, memory=assembly.memory, own=voters)
    options = TrainingOptions(language="en", ask_voters=True, earlier=more.pop("earlier", {}))
    manifest = train(examples, SPACE, out=out, options=options, assembly=heard, holdout=frozenset(), **more)
    found: Mapping[str, Any] = manifest.parameters.get("votes", {})
    return found


def share_right(decisions: Sequence[Decision | None]) -> float:
    """Of the new texts."""
    pairs = zip(decisions, NEW, strict=True)
    return float(np.mean([said is not None and said.predicted_label == one.label for said, one in pairs]))


def asked(voter: LlmVoter) -> int:
    assert isinstance(voter.model, Table)
    return len({text for text in voter.model.texts if text})


def test_a_voter_that_knows_is_heard_and_one_that_guesses_is_not(tmp_path: Path, assembly: Assembly) -> None:
    voters = (knowing(), guessing())
    votes = learned(assembly, tmp_path / "m", *voters)
    worth = [votes["weights"][VOTE + voter.name] for voter in voters]
    assert worth[0] > STATED > worth[1]
    assert worth[0] > 2 * worth[1]
    assert votes["right"]["with votes"] > 0.9 > 0.6 > votes["right"]["without votes"]
    pipeline = Heard(assembly.settings, memory=assembly.memory, own=voters).pipeline(tmp_path / "m")
    decisions = pipeline.run([one.text for one in NEW], deadline_s=600)
    assert share_right(decisions) > 0.9


def test_a_voter_that_mistakes_labels_for_each_other_is_understood(tmp_path: Path, assembly: Assembly) -> None:
    voter = mistaking()
    votes = learned(assembly, tmp_path / "m", voter)
    assert votes["right"]["with votes"] > 0.9 > 0.1 > votes["right"][voter.name]
    pipeline = Heard(assembly.settings, memory=assembly.memory, own=(voter,)).pipeline(tmp_path / "m")
    decisions = pipeline.run([one.text for one in NEW], deadline_s=600)
    assert share_right(decisions) > 0.9


def test_two_voters_that_say_the_same_weigh_what_one_does(tmp_path: Path, assembly: Assembly) -> None:
    alone = learned(assembly, tmp_path / "alone", knowing())
    pair = (knowing("one"), knowing("other"))
    both = learned(assembly, tmp_path / "both", *pair)
    (weight,) = (alone["weights"][VOTE + knowing().name],)
    together = sum(both["weights"][VOTE + voter.name] for voter in pair)
    assert together < 1.5 * weight


def test_where_votes_do_not_help_nobody_is_asked_any_more(tmp_path: Path, assembly: Assembly) -> None:
    voter = guessing()
    assert learned(assembly, tmp_path / "m", voter)["threshold"] == 0.0
    n_asked = asked(voter)
    pipeline = Heard(assembly.settings, memory=assembly.memory, own=(voter,)).pipeline(tmp_path / "m")
    pipeline.run(["parcel 1", "parcel 2"], deadline_s=600)
    assert asked(voter) == n_asked


def test_a_training_asks_about_a_bounded_number_of_examples(tmp_path: Path, assembly: Assembly) -> None:
    voter = knowing()
    assert learned(assembly, tmp_path / "m", voter)["n_asked"] == asked(voter) == MAX_ASKED


def test_of_few_examples_nothing_is_learned(tmp_path: Path, assembly: Assembly) -> None:
    voter = knowing()
    assert learned(assembly, tmp_path / "m", voter, examples=UNKNOWABLE[: MIN_ASKED - 1]) == {}
    assert asked(voter) == 0


class Spent(NoBudget):
    """A budget with nothing left."""

    def ask(self, voter: Voter, questions: Sequence[Question], *, deadline: Deadline) -> list[Vote | None]:
        return [None] * len(questions)


def test_past_its_limit_a_project_learns_nothing_from_voters(tmp_path: Path, assembly: Assembly) -> None:
    voter = knowing()
    assert learned(assembly, tmp_path / "m", voter, budget=Spent()) == {}
    assert asked(voter) == 0


def test_what_was_learned_stands_until_there_are_half_as_many_examples_more(tmp_path: Path, assembly: Assembly) -> None:
    first = learned(assembly, tmp_path / "first", knowing(), examples=UNKNOWABLE[:120])
    voter = knowing()
    again = learned(assembly, tmp_path / "again", voter, examples=UNKNOWABLE[:150], earlier={"votes": first})
    assert (again, asked(voter)) == (first, 0)
    learned(assembly, tmp_path / "later", voter, earlier={"votes": first})
    assert asked(voter) > 0


def test_other_voters_are_asked_anew(tmp_path: Path, assembly: Assembly) -> None:
    first = learned(assembly, tmp_path / "first", knowing())
    voter = knowing("other")
    again = learned(assembly, tmp_path / "again", voter, earlier={"votes": first})
    assert VOTE + voter.name in again["weights"]


@pytest.mark.parametrize(
    ("case", "gains", "threshold"),
    [
        ("all help", [1] * 10, 1.0),
        ("none helps", [0] * 10, 0.0),
        ("the sure ones are spoilt", [1] * 5 + [-1] * 5, 0.5),
        ("the sure ones help", [-1] * 2 + [1] * 8, 1.0),
        ("as many are spoilt", [1, -1] * 5, 0.0),
        ("one helps, which is chance", [0, 1, 0, 0, 0, 0, 0, 0, 0, 0], 0.0),
    ],
)
def test_texts_are_worth_a_vote_up_to_where_votes_stop_paying(case: str, gains: list[int], threshold: float) -> None:
    confidence = np.arange(0.1, 1.1, 0.1, dtype=np.float32)
    assert worth_asking(confidence, np.array(gains, np.float32)) == pytest.approx(threshold, abs=1e-5)

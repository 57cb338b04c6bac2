"""An explanation is of the decision that `run` makes, and tells all that led to it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from backend.core.deadline import Deadline
from backend.core.types import Decision, Example
from backend.pipeline.gate import Gate
from backend.pipeline.levels import Voting
from backend.pipeline.pipeline import Pipeline
from backend.pipeline.question import Question, Vote
from tests.pipeline.words import pipeline_of

EXAMPLES = [Example("11", "send it once more", "repeat_order"), Example("12", "purse was taken", "lost_card")]
TEXTS = ["please <b>send</b> it once more", "cancel order", "elephants", "...", ""]


@dataclass(frozen=True)
class Prefers:
    """A voter that prefers the first candidate by the alphabet."""

    name: str = "prefers"

    def prompt_for(self, question: Question) -> str:
        return f"Which label fits {question.text}?"

    def vote(self, questions: Sequence[Question], *, deadline: Deadline) -> list[Vote | None]:
        candidates = [question.candidates for question in questions]
        first = [min(label.value for label in of) for of in candidates]
        return [
            Vote(np.array([0.9 if label.value == best else 0.02 for label in of], np.float32), 0.02, tokens=7)
            for of, best in zip(candidates, first, strict=True)
        ]


def voting_pipeline() -> Pipeline:
    return replace(pipeline_of(EXAMPLES), voting=Voting(Prefers()), gate=Gate({"retrieve": 2.0}))


def timeless(decision: Decision | None) -> Decision | None:
    return decision and replace(decision, milliseconds=0.0)


@pytest.mark.parametrize("pipeline", [pipeline_of(EXAMPLES), voting_pipeline()], ids=["cheap", "with votes"])
def test_what_is_explained_is_what_is_decided(pipeline: Pipeline) -> None:
    for text in TEXTS:
        (decision,) = pipeline.run([text], deadline_s=60.0)
        assert timeless(pipeline.explain(text).decision) == timeless(decision), text


def test_an_explanation_tells_candidates_neighbours_and_settings() -> None:
    found = pipeline_of(EXAMPLES).explain("please <b>send</b> it once more")
    assert (found.text, found.cleaned) == ("please <b>send</b> it once more", "please send it once more")
    assert [look.level for look in found.looks] == ["retrieval"]
    assert {"names", "lexical", "neighbours"} <= set(found.looks[0].found)
    assert found.candidates[0].label == "repeat_order"
    assert sum(candidate.probability for candidate in found.candidates) == pytest.approx(1.0, abs=1e-5)
    assert found.candidates[0].raw["dense"] == pytest.approx(found.neighbours[0].similarity, abs=1e-5)
    assert found.neighbours[0].example_id == "11"
    assert found.prompt == ""
    assert {"weights", "signs", "thresholds", "abstain_below"} <= found.settings.keys()


def test_the_gate_and_the_vote_are_told() -> None:
    found = voting_pipeline().explain("cancel order")
    assert [(look.level, look.looked) for look in found.looks] == [("retrieval", True), ("voting", True)]
    assert found.prompt == "Which label fits cancel order?"
    assert found.candidates[0].raw["vote"] == pytest.approx(0.9)
    lines = str(found).splitlines()
    assert any(line.startswith("decision") and "cancel_order" in line for line in lines)
    assert any("by vote" in line and "7 tokens" in line for line in lines)


def test_a_text_with_nothing_to_read_is_explained_too() -> None:
    found = pipeline_of().explain("...")
    assert found.decision.kind == "abstain"
    assert [(look.looked, look.found) for look in found.looks] == [(False, ())]
    assert "not asked" in str(found)

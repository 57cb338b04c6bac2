"""An explanation is of the decision that `run` makes, and tells all that led to it."""

import math
from dataclasses import replace

import pytest

from backend.core.types import Decision, Example
from backend.pipeline.evidence import NONE, VOTE
from backend.pipeline.gate import Gate
from backend.pipeline.pipeline import Pipeline
from backend.pipeline.scaling import Scaling
from backend.pipeline.voting import Voting
from tests.pipeline.tables import TOKENS, voter_of
from tests.pipeline.words import pipeline_of

EXAMPLES = [Example("11", "send it once more", "repeat_order"), Example("12", "purse was taken", "lost_card")]
TEXTS = ["please <b>send</b> it once more", "cancel order", "elephants", "...", ""]


def voting_pipeline() -> Pipeline:
    prefers = {text: {"cancel order": 3.0} for text in TEXTS if text}
    voters = voter_of(prefers, name="prefers"), voter_of(name="shrugs")
    return replace(pipeline_of(EXAMPLES), voting=Voting(voters), gate=Gate({"retrieve": 2.0}))


def costless(decision: Decision | None) -> Decision | None:
    """Without what it took: votes are remembered, and cost nothing the second time."""
    return decision and replace(decision, milliseconds=0.0, tokens=0)


@pytest.mark.parametrize("pipeline", [pipeline_of(EXAMPLES), voting_pipeline()], ids=["cheap", "with votes"])
def test_what_is_explained_is_what_is_decided(pipeline: Pipeline) -> None:
    for text in TEXTS:
        (decision,) = pipeline.run([text], deadline_s=60.0)
        assert costless(pipeline.explain(text).decision) == costless(decision), text


def test_an_explanation_tells_candidates_neighbours_and_settings() -> None:
    found = pipeline_of(EXAMPLES).explain("please <b>send</b> it once more")
    assert (found.text, found.cleaned) == ("please <b>send</b> it once more", "please send it once more")
    assert [look.level for look in found.looks] == ["retrieval"]
    assert {"names", "lexical", "neighbours"} <= set(found.looks[0].found)
    assert found.candidates[0].label == "repeat_order"
    assert sum(candidate.probability for candidate in found.candidates) == pytest.approx(1.0, abs=1e-5)
    assert found.candidates[0].raw["dense"] == pytest.approx(found.neighbours[0].similarity, abs=1e-5)
    assert found.neighbours[0].example_id == "11"
    assert found.prompts == {}
    assert {"weights", "signs", "thresholds", "abstain_below"} <= found.settings.keys()


def test_how_sure_the_best_label_may_be_is_among_the_settings() -> None:
    pipeline = pipeline_of(EXAMPLES)
    scaled = replace(pipeline, fuser=replace(pipeline.fuser, scalings={"retrieve": Scaling(-0.7, 0.4)}))
    told = scaled.explain("please send it once more")
    assert told.settings["scalings"]["retrieve"]["slope"] == 0.4
    assert "scalings of retrieve: bias -0.7, slope 0.4" in told.tail


def test_the_gate_and_the_vote_are_told() -> None:
    found = voting_pipeline().explain("cancel order")
    assert [(look.level, look.looked) for look in found.looks] == [("retrieval", True), ("voting", True)]
    prefers, shrugs = found.prompts
    assert all(prompt.endswith("Message: cancel order\nIntent:") for prompt in found.prompts.values())
    share = math.exp(3.0) / (math.exp(3.0) + 3)
    assert found.candidates[0].raw[VOTE + prefers] == pytest.approx(share)
    assert found.candidates[0].raw[VOTE + shrugs] == pytest.approx(0.25)
    (none,) = [candidate.raw[NONE + prefers] for candidate in found.candidates if NONE + prefers in candidate.raw]
    assert none == pytest.approx((1 - share) / 3)
    lines = str(found).splitlines()
    assert any(line.startswith("decision") and "cancel_order" in line for line in lines)
    assert any("by vote" in line and line.endswith(f"{4 * TOKENS} tokens") for line in lines)
    assert [line for line in lines if line.startswith("asked of ")] == [f"asked of {prefers}", f"asked of {shrugs}"]


def test_votes_that_are_known_from_before_are_told_as_such() -> None:
    pipeline = voting_pipeline()
    pipeline.run(["cancel order"], deadline_s=60.0)
    assert "0 tokens: all votes are known from before" in str(pipeline.explain("cancel order"))


def test_a_text_with_nothing_to_read_is_explained_too() -> None:
    found = pipeline_of().explain("...")
    assert found.decision.kind == "abstain"
    assert [(look.looked, look.found) for look in found.looks] == [(False, ())]
    assert "not asked" in str(found)

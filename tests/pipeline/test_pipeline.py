"""The pipeline as its callers see it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from backend.core.types import Example, FloatArray, IntArray, Label, LabelSpace, Stage
from backend.pipeline.ballots import Continued
from backend.pipeline.fuse import WEIGHTS, Fuser
from backend.pipeline.gate import Gate
from backend.pipeline.levels import Classification
from backend.pipeline.pipeline import CHUNK, POOLED, Pipeline
from backend.pipeline.prompts import load_prompt
from backend.pipeline.scaling import Scaling
from backend.pipeline.vote import LlmVoter
from backend.pipeline.voting import Voting, stated
from tests.pipeline.tables import TOKENS, Kept, Table
from tests.pipeline.words import SPACE, WordEmbedder, pipeline_of

SOON = 60.0
ODD_TEXTS = ["", " ", "\0", "...", "<br>", "👍", "a" * 1_000_000, "чай", "\ud800", "cancel order"]


def saying(name: str, *texts: str) -> tuple[LlmVoter, Table]:
    """A voter that chooses the label of a name for these texts, and the model that it asks."""
    model = Table({text: {name: 4.0} for text in texts})
    return LlmVoter(model, Continued(load_prompt("en")), Kept()), model


@dataclass(frozen=True)
class Sure:
    """A classifier that is sure of the first label and does not know the second."""

    def predict(self, texts: Sequence[str], vectors: FloatArray) -> FloatArray:
        return np.tile(np.array([[0.98, np.nan, 0.01, 0.01]], np.float32), (len(texts), 1))

    def with_live(self, texts: Sequence[str], vectors: FloatArray, columns: IntArray) -> "Sure":
        return self


def kinds(pipeline: Pipeline, texts: Sequence[str]) -> list[str]:
    return [decision.kind if decision else "none" for decision in pipeline.run(texts, deadline_s=SOON)]


def labels(pipeline: Pipeline, texts: Sequence[str]) -> list[str]:
    return [decision.predicted_label if decision else "" for decision in pipeline.run(texts, deadline_s=SOON)]


def test_label_names_and_hints_alone_are_enough() -> None:
    texts = ["cancel my order", "my bank card is gone", "buy the same again"]
    assert labels(pipeline_of(), texts) == ["cancel_order", "lost_card", "repeat_order"]


def test_answers_come_in_the_order_of_the_texts_whatever_their_length() -> None:
    texts = ["bank card gone" + " now" * (n % 7) if n % 2 else "cancel order" for n in range(3 * CHUNK)]
    assert labels(pipeline_of(), texts) == ["lost_card" if n % 2 else "cancel_order" for n in range(3 * CHUNK)]


def test_no_texts_no_answers() -> None:
    assert pipeline_of().run([], deadline_s=SOON) == []


def test_odd_texts_get_a_decision_and_those_without_a_word_an_abstention() -> None:
    found = kinds(pipeline_of(), ODD_TEXTS)
    assert found[:6] == ["abstain"] * 6
    assert found[-1] == "label"


def test_a_text_that_cannot_be_read_is_not_embedded() -> None:
    pipeline = pipeline_of()
    embedder = WordEmbedder()
    blind = replace(pipeline, retrieval=replace(pipeline.retrieval, embedder=embedder))
    blind.run(["...", "cancel"], deadline_s=SOON)
    assert embedder.asked == ["cancel"]


def test_past_the_deadline_there_is_no_answer_rather_than_a_late_one() -> None:
    assert pipeline_of().run(["cancel my order"] * 3, deadline_s=0.0) == [None] * 3


def test_a_live_example_changes_the_answer_and_is_the_reason() -> None:
    pipeline = pipeline_of([Example("1", "purple elephant", "cancel_order")])
    live = pipeline.with_live([Example("1", "", ""), Example("77", "purple elephant", "lost_card")])
    (decision,) = live.run(["purple elephant"], deadline_s=SOON)
    assert decision is not None
    assert decision.predicted_label == "lost_card"
    assert "#77" in decision.reason


def test_the_old_pipeline_stays_as_it_was() -> None:
    pipeline = pipeline_of()
    before = pipeline.run(["purple elephant"], deadline_s=SOON)[0]
    pipeline.with_live([Example("77", "purple elephant", "lost_card")])
    after = pipeline.run(["purple elephant"], deadline_s=SOON)[0]
    assert before is not None
    assert after is not None
    assert before.alternatives == after.alternatives


def test_the_language_model_sees_only_what_the_cheap_levels_are_not_sure_of() -> None:
    voter, model = saying("repeat order", "cancel bank")
    gate = Gate({"retrieve": 0.8, "classify": 0.8})
    pipeline = replace(pipeline_of(), voting=Voting((voter,)), gate=gate)
    decisions = pipeline.run(["a bank card is gone", "cancel bank"], deadline_s=SOON)
    assert set(model.texts) == {"cancel bank", ""}
    assert [decision.stage for decision in decisions if decision] == ["retrieve", "vote"]
    assert [decision.tokens for decision in decisions if decision] == [0, 2 * TOKENS]


def test_unsure_texts_of_several_chunks_are_asked_about_at_once() -> None:
    voter, model = saying("repeat order")
    pipeline = replace(pipeline_of(), voting=Voting((voter,)), gate=Gate({"retrieve": 0.8}))
    texts = ["cancel bank", "a bank card is gone", "a bank card is gone"] * (POOLED // 2)
    decisions = pipeline.run(texts, deadline_s=SOON)
    assert model.calls == 1
    assert [decision.stage for decision in decisions if decision] == ["vote", "retrieve", "retrieve"] * (POOLED // 2)
    assert [len(call) for call in pipeline.questions(texts)] == [POOLED // 2]


def test_a_vote_moves_the_answer_but_does_not_bypass_the_fuser() -> None:
    pipeline = pipeline_of()
    voter, _ = saying("repeat order", "order")
    fuser = Fuser({**WEIGHTS, "vote": {**WEIGHTS["vote"], **stated([voter])}})
    voted = replace(pipeline, voting=Voting((voter,)), fuser=fuser, gate=Gate({"retrieve": 2.0}))
    (before,), (after,) = (p.run(["order"], deadline_s=SOON) for p in (pipeline, voted))
    assert before is not None
    assert after is not None

    def share(decision: object) -> float:
        return next(a.probability for a in decision.alternatives if a.label == "repeat_order")  # type: ignore[attr-defined, no-any-return]

    assert share(before) < share(after) < 1.0


def test_without_language_models_none_is_asked() -> None:
    voter, model = saying("repeat order")
    replace(pipeline_of(), voting=Voting((voter,))).without_llm().run(["something else"], deadline_s=SOON)
    assert model.asked == []


def test_a_label_that_the_classifier_does_not_know_keeps_a_chance() -> None:
    asking = Gate({"retrieve": 2.0, "classify": 0.0})
    pipeline = replace(pipeline_of(), classification=Classification(Sure()), gate=asking)
    (decision,) = pipeline.run(["something else"], deadline_s=SOON)
    assert decision is not None
    assert (decision.stage, decision.predicted_label) == ("classify", "cancel_order")
    assert all(np.isfinite(alternative.probability) for alternative in decision.alternatives)


@pytest.mark.parametrize("space", [LabelSpace(()), LabelSpace((), "other"), LabelSpace((Label("a", "a"),))])
def test_a_project_with_hardly_any_labels_is_served(space: LabelSpace) -> None:
    assert len(pipeline_of(space=space).run(["a text", ""], deadline_s=SOON)) == 2


def test_probabilities_of_a_decision_never_exceed_1_in_sum() -> None:
    for decision in pipeline_of().run(ODD_TEXTS, deadline_s=SOON):
        assert decision is not None
        total = sum(a.probability for a in decision.alternatives) + decision.p_out_of_scope
        assert total == pytest.approx(1.0, abs=1e-4)


def test_every_label_of_the_space_is_among_the_alternatives_of_a_small_project() -> None:
    (decision,) = pipeline_of().run(["order"], deadline_s=SOON)
    assert decision is not None
    assert {alternative.label for alternative in decision.alternatives} == set(SPACE.values)


def test_answers_on_labels_that_came_since_the_training_tell_how_sure_to_be() -> None:
    pipeline = pipeline_of()
    lines: dict[Stage, Scaling] = {"retrieve": Scaling(0.0, 0.5), "vote": Scaling(0.0, 0.5)}
    cold = replace(pipeline, fuser=replace(pipeline.fuser, scalings=lines))
    texts = zip(["stop the order", "buy it again", "the card is gone"] * 4, RIGHT * 4, strict=True)
    named = [Example(str(at), f"{text} {at}", label) for at, (text, label) in enumerate(texts)]
    misnamed = [replace(one, label=RIGHT[(RIGHT.index(one.label) + 1) % 3]) for one in named]
    good, bad = cold.with_live(named), cold.with_live(misnamed)
    assert bad.fuser.scalings["retrieve"].told_bias < 0 < good.fuser.scalings["retrieve"].told_bias
    assert bad.with_live(named).fuser.scalings == good.fuser.scalings
    assert good.with_live([]).fuser.scalings == cold.fuser.scalings


RIGHT = ("cancel_order", "repeat_order", "lost_card")

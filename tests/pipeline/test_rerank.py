"""What the reranker adds to the evidence."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from backend.core.deadline import Deadline
from backend.core.types import Example, FloatArray, Label, LabelSpace
from backend.pipeline.evidence import Evidence, Feature
from backend.pipeline.fuse import Fuser
from backend.pipeline.levels import Retrieval
from backend.pipeline.pipeline import CHUNK as TEXTS
from backend.pipeline.pipeline import Pipeline
from backend.pipeline.rerank import CHUNK, CrossEncoderReranker, NoReranker, Reranker
from tests.pipeline.words import SPACE, WordEmbedder, index_of, pipeline_of

FOREVER = Deadline(float("inf"))
MANY = LabelSpace(tuple(Label(f"v{n}", f"order {n}") for n in range(30)), "other")


@dataclass(frozen=True)
class Judge:
    """A cross-encoder that finds what it is told to find, and remembers what it read."""

    finds: Callable[[str, str], float] = lambda _text, _passage: 0.5
    takes_s: float = 0.0
    read: list[tuple[str, str]] = field(default_factory=list)

    def relevance(self, pairs: Sequence[tuple[str, str]]) -> FloatArray:
        self.read.extend(pairs)
        time.sleep(self.takes_s)
        return np.array([self.finds(*pair) for pair in pairs], np.float32)


def evidence_of(
    texts: Sequence[str], reranker: Reranker, *, examples: Sequence[Example] = (), space: LabelSpace = SPACE,
    deadline: Deadline = FOREVER,
) -> Evidence:  # fmt: skip
    retrieval = Retrieval(WordEmbedder(), index_of(examples, space=space), reranker=reranker)
    return judged(retrieval, texts, deadline=deadline)


def judged(retrieval: Retrieval, texts: Sequence[str], *, deadline: Deadline = FOREVER) -> Evidence:
    space = retrieval.index.space
    evidence = Evidence.of(texts, space)
    probs = np.full((len(texts), len(space) + 1), 0.1, np.float32)
    found = retrieval.append(evidence, probs, where=evidence.readable, deadline=FOREVER)
    return retrieval.reranking.append(found, probs, where=found.readable, deadline=deadline)


def feature(evidence: Evidence, name: str) -> Feature:
    found = evidence.feature(name)
    assert found is not None
    return found


def with_reranker(pipeline: Pipeline, reranker: Reranker) -> Pipeline:
    return replace(pipeline, retrieval=replace(pipeline.retrieval, reranker=reranker))


def test_name_description_and_nearest_example_stand_for_a_candidate() -> None:
    judge = Judge()
    examples = [Example("1", "my visa vanished", "lost_card"), Example("2", "it is lost", "lost_card")]
    evidence_of(["my visa vanished today"], CrossEncoderReranker(judge), examples=examples)
    assert ("my visa vanished today", "lost card. a bank card is gone\nmy visa vanished") in judge.read
    assert ("my visa vanished today", "cancel order. stop an order before it is sent") in judge.read


def test_twenty_candidates_are_read_and_the_ten_most_relevant_count() -> None:
    judge = Judge(lambda _text, passage: int(passage.split()[1]) / 100)
    found = feature(evidence_of(["order"], CrossEncoderReranker(judge), space=MANY), "relevance")
    assert len(judge.read) == 20
    read = sorted(int(passage.split()[1]) for _, passage in judge.read)
    assert np.flatnonzero(found.present[0]).tolist() == read[-10:]
    assert found.raw[0, read[-1]] == pytest.approx(read[-1] / 100)


@pytest.mark.parametrize(("best", "expected"), [(2e-6, 0.0), (5e-7, 1.0)])
def test_a_best_relevance_under_the_threshold_is_a_feature_of_out_of_scope(best: float, expected: float) -> None:
    evidence = evidence_of(["order"], CrossEncoderReranker(Judge(lambda *_: best)))
    found = feature(evidence, "irrelevance")
    assert found.present[0].tolist() == [False, False, False, True]
    assert found.values[0, -1] == expected


def test_irrelevance_raises_out_of_scope_but_decides_nothing_by_itself() -> None:
    irrelevant, unknown = (
        Fuser().fuse(evidence_of(["cancel my order"], reranker))[0]
        for reranker in (CrossEncoderReranker(Judge(lambda *_: 1e-9)), NoReranker())
    )
    assert unknown[-1] < irrelevant[-1] < 1.0
    assert irrelevant[:-1].argmax() == unknown[:-1].argmax()


def test_a_relevant_candidate_gains_probability_through_the_fuser() -> None:
    judge = Judge(lambda _text, passage: 0.9 if passage.startswith("repeat") else 0.1)
    (plain,), (judged,) = (
        with_reranker(pipeline_of(), reranker).run(["order"], deadline_s=60)
        for reranker in (NoReranker(), CrossEncoderReranker(judge))
    )
    assert plain is not None
    assert judged is not None
    assert judged.predicted_label == "repeat_order"
    assert judged.stage == plain.stage


def test_a_text_that_cannot_be_read_is_not_judged_and_keeps_its_stage() -> None:
    judge = Judge()
    judged = evidence_of(["...", "order", ""], CrossEncoderReranker(judge))
    assert {text for text, _ in judge.read} == {"order"}
    assert judged.stages.tolist() == evidence_of(["...", "order", ""], NoReranker()).stages.tolist()


def test_without_a_reranker_the_evidence_has_no_such_feature() -> None:
    evidence = evidence_of(["order"], NoReranker())
    assert not {"relevance", "irrelevance"} & set(evidence.names)


def test_a_passed_deadline_leaves_the_reranker_out() -> None:
    judge = Judge()
    evidence = evidence_of(["order"], CrossEncoderReranker(judge), deadline=Deadline.after(0.0))
    assert judge.read == []
    assert not feature(evidence, "relevance").present.any()
    assert not feature(evidence, "irrelevance").present.any()


def test_between_chunks_the_deadline_is_looked_at_and_half_read_texts_are_not_ranked() -> None:
    judge = Judge(takes_s=0.2)
    texts = [f"order {n}" for n in range(CHUNK)]
    evidence = evidence_of(texts, CrossEncoderReranker(judge), deadline=Deadline.after(0.35))
    assert len(judge.read) == CHUNK  # a second chunk would have ended too late
    ranked = feature(evidence, "irrelevance").present[:, -1]
    assert ranked.tolist() == [row < CHUNK // len(SPACE) for row in range(len(texts))]


def test_a_slow_reranker_keeps_no_text_from_the_cheap_levels() -> None:
    slow = with_reranker(pipeline_of(), CrossEncoderReranker(Judge(takes_s=0.1)))
    decisions = slow.run(["cancel order"] * (4 * TEXTS), deadline_s=2.0)
    assert None not in decisions


def test_a_live_example_is_read_as_it_is_by_now() -> None:
    judge = Judge()
    before = Retrieval(
        WordEmbedder(), index_of([Example("1", "purple elephant", "lost_card")]), reranker=CrossEncoderReranker(judge)
    )
    judged(before.with_live([Example("1", "purple elephants", "lost_card")]), ["purple"])
    assert ("purple", "lost card. a bank card is gone\npurple elephants") in judge.read

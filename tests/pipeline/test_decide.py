"""What is decided from probabilities, and what the annotator reads about it."""

import re

import numpy as np
import pytest

from backend.core.types import Decision, Label, LabelSpace, Neighbour
from backend.pipeline.decide import Policy
from backend.pipeline.evidence import Evidence, Feature, Finding
from backend.pipeline.reasons import Speaker
from tests.pipeline.words import SPACE

ENGLISH = Speaker(("en",))


def decide(
    probs: list[float],
    *,
    text: str = "a text",
    near: tuple[Neighbour, ...] = (),
    space: LabelSpace = SPACE,
    speaker: Speaker = ENGLISH,
) -> Decision:
    evidence = Evidence.of([text], space).append(
        Finding("classify", (), neighbours=(near,)), where=np.ones(1, np.bool_)
    )
    policy = Policy(space, abstain_below=0.3, speaker=speaker)
    return policy.decide(np.array([probs], np.float32), evidence)[0]


NEAR = tuple(Neighbour(id_, "cancel_order", 0.9) for id_ in ("12", "40", "7"))


@pytest.mark.parametrize(
    ("what", "probs", "kind", "label", "confidence"),
    [
        ("sure", [0.8, 0.1, 0.05, 0.05], "label", "cancel_order", 0.8),
        ("out of scope", [0.3, 0.1, 0.1, 0.5], "out_of_scope", "other", 0.5),
        ("nothing stands out", [0.26, 0.25, 0.25, 0.24], "abstain", "cancel_order", 0.26),
    ],
)
def test_the_likeliest_decides_and_doubt_abstains(
    what: str, probs: list[float], kind: str, label: str, confidence: float
) -> None:
    decision = decide(probs)
    assert (decision.kind, decision.predicted_label) == (kind, label), what
    assert decision.confidence == pytest.approx(confidence)


def test_out_of_scope_without_a_choice_for_it_has_no_label() -> None:
    assert decide([0.1, 0.1, 0.1, 0.7], space=LabelSpace(SPACE.labels)).predicted_label == ""


def test_of_one_label_with_nothing_beside_it_none_is_said() -> None:
    alone = LabelSpace(SPACE.labels[:1])
    decision = decide([0.98, 0.02], space=alone)
    assert (decision.kind, decision.reason) == ("abstain", "there is one label, and nothing to choose")
    assert decide([0.3, 0.7], space=alone).kind == "out_of_scope"
    assert decide([0.98, 0.02], space=LabelSpace(SPACE.labels[:1], "other")).kind == "label"


def test_alternatives_are_the_labels_best_first_without_out_of_scope() -> None:
    alternatives = decide([0.1, 0.5, 0.2, 0.2]).alternatives
    assert [alternative.label for alternative in alternatives] == ["repeat_order", "lost_card", "cancel_order"]
    assert sum(alternative.probability for alternative in alternatives) == pytest.approx(0.8)


def test_a_decision_carries_what_each_stage_measured_of_its_label() -> None:
    measured = np.array([[0.1, 0.7, 0.2, 0.0]], np.float32)
    feature = Feature("classifier", np.log(measured + 1), measured, np.array([[True, True, True, False]]))
    evidence = Evidence.of(["a text"], SPACE).append(Finding("classify", (feature,)), where=np.ones(1, np.bool_))
    (decision,) = Policy(SPACE).decide(np.array([[0.1, 0.8, 0.05, 0.05]], np.float32), evidence)
    assert decision.scores == {"classifier": pytest.approx(0.7)}


REASONS = [
    ("examples", "a text", [0.8, 0.12, 0.05, 0.03], NEAR,
     "like 3 accepted examples of cancel_order (#12, #40); next: repeat_order 12 %"),
    ("one example", "a text", [0.8, 0.12, 0.05, 0.03], NEAR[:1],
     "like 1 accepted example of cancel_order (#12); next: repeat_order 12 %"),
    ("no examples", "a text", [0.8, 0.12, 0.05, 0.03], (),
     "the wording is typical of cancel_order; next: repeat_order 12 %"),
    ("doubt", "a text", [0.28, 0.26, 0.26, 0.2], NEAR, "not sure: cancel_order 28 %, repeat_order 26 %"),
    ("out of scope", "a text", [0.2, 0.1, 0.1, 0.6], (), "resembles none of the labels; closest: cancel_order 20 %"),
    ("nothing to read", "...", [0.8, 0.1, 0.05, 0.05], (), "the text holds nothing to read"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "probs", "near", "reason"), [case[1:] for case in REASONS], ids=[c[0] for c in REASONS]
)
def test_a_reason_names_labels_and_ids(text: str, probs: list[float], near: tuple[Neighbour, ...], reason: str) -> None:
    assert decide(probs, text=text, near=near).reason == reason


def test_a_reason_speaks_the_language_of_the_project_whatever_the_text_is_in() -> None:
    said = {
        language: decide([0.8, 0.12, 0.05, 0.03], near=NEAR, speaker=Speaker((language,))).reason
        for language in ("ru", "de", "es", "fr", "zh", "ja")
    }
    assert said == {
        "ru": "похоже на 3 принятых примера «cancel_order» (#12, #40); далее: repeat_order 12 %",
        "de": "wie 3 angenommene Beispiele für „cancel_order“ (#12, #40); danach: repeat_order 12 %",
        "es": "como 3 ejemplos aceptados de «cancel_order» (#12, #40); después: repeat_order 12 %",
        "fr": "comme 3 exemples acceptés de « cancel_order » (#12, #40) ; ensuite : repeat_order 12 %",
        "zh": "与 3 个已接受的“cancel_order”示例相似（#12, #40）；其次：repeat_order 12 %",
        "ja": "like 3 accepted examples of cancel_order (#12, #40); next: repeat_order 12 %",
    }


def test_a_label_written_from_right_to_left_keeps_the_order_of_the_line() -> None:
    space = LabelSpace((Label("a", "الرياضة"), Label("b", "news")))
    assert decide([0.6, 0.3, 0.1], space=space).reason == (
        "the wording is typical of \u2068الرياضة\u2069; next: news 30 %"
    )


def test_a_reason_stays_one_line_whatever_a_label_is_called() -> None:
    space = LabelSpace((Label("a", "a\nb"), Label("c", "c")))
    assert not re.search(r"[\r\n]", decide([0.8, 0.1, 0.1], space=space).reason)


def test_a_project_without_labels_gets_no_prediction_and_no_error() -> None:
    assert decide([1.0], space=LabelSpace(())).kind == "abstain"

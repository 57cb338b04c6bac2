"""What a project's confidences are worth before its first label, and after a few."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from backend.assembly import Assembly
from backend.core.types import Example, Label, LabelSpace
from backend.labelstudio.schema import label_space
from backend.pipeline.pipeline import Pipeline
from samples import Sample, load_samples
from training.evaluate import Outcome, ece
from training.judge import judge
from training.run import TrainingOptions, train

SAMPLES = load_samples()
BOUND = (
    0.17  # of the calibration error: 0.05 is in 200 texts however honest, and a project of 10 labels may be an odd one
)


def gold_of(sample: Sample) -> list[Example]:
    return [Example(row.id, row.text, row.gold) for row in sample.rows]


def trained(
    examples: Sequence[Example],
    space: LabelSpace,
    assembly: Assembly,
    out: Path,
    *,
    language: str = "en",
    pool: Sequence[str] = (),
) -> Pipeline:
    options = TrainingOptions(language=language)
    train(examples, space, out=out, options=options, assembly=assembly, pool=pool, holdout=frozenset())
    return assembly.pipeline(out, llm=False)


def error_of(outcomes: Sequence[Outcome]) -> float:
    right = np.array([one.correct for one in outcomes])
    return ece(right, np.array([one.confidence for one in outcomes], np.float32))


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.name for sample in SAMPLES])
@pytest.mark.parametrize("n_labels", [0, 10, 30])
def test_confidences_are_honest_from_the_first_label_on(
    sample: Sample, n_labels: int, tmp_path: Path, assembly: Assembly
) -> None:
    space, rows = label_space(sample.label_config), gold_of(sample)
    known, rest = rows[:n_labels], rows[n_labels:]
    pool = [row.text for row in rest]
    model = trained(known, space, assembly, tmp_path / "m", language=sample.language, pool=pool)
    assert error_of(judge(model, rest)) < BOUND


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.name for sample in SAMPLES])
def test_confidences_stay_honest_as_labels_come_between_trainings(
    sample: Sample, tmp_path: Path, assembly: Assembly
) -> None:
    space, rows = label_space(sample.label_config), gold_of(sample)
    cold = trained([], space, assembly, tmp_path / "m", language=sample.language, pool=[row.text for row in rows])
    assert error_of(judge(cold.with_live(rows[:10]), rows[10:])) < BOUND


def test_nobody_is_sure_before_the_first_label_of_what_is_often_wrong(tmp_path: Path, assembly: Assembly) -> None:
    sample = SAMPLES[0]
    outcomes = judge(trained([], label_space(sample.label_config), assembly, tmp_path / "m"), gold_of(sample))
    sure = [one.correct for one in outcomes if one.confidence >= 0.9]
    assert np.mean(sure) > 0.85


def test_thirty_labels_that_are_all_the_same_make_nobody_sure_that_the_rest_is(
    tmp_path: Path, assembly: Assembly
) -> None:
    sample = SAMPLES[0]
    rows = gold_of(sample)
    same = [row for row in rows if row.label == "track_order"]
    known = (same * 30)[:30]
    examples = [Example(str(at), f"{row.text} {at}", row.label) for at, row in enumerate(known)]
    outcomes = judge(
        trained(examples, label_space(sample.label_config), assembly, tmp_path / "m"),
        [row for row in rows if row.label != "track_order"],
    )
    assert (
        np.mean([one.confidence >= 0.9 for one in outcomes]) < 0.25
    )  # nearly all of it, were the thirty taken for the rest


def test_of_a_thousand_labels_ten_examples_make_no_answer_certain(tmp_path: Path, assembly: Assembly) -> None:
    topics = [f"{thing} {what}" for thing in THINGS for what in WHATS]
    space = LabelSpace(tuple(Label(topic, topic) for topic in topics))
    examples = [Example(topic, f"about the {topic}", topic) for topic in topics[::105]]
    model = trained(examples, space, assembly, tmp_path / "m")
    unseen = [thing for thing in THINGS if all(thing not in example.text for example in examples)]
    made = model.run([f"a question on {thing}" for thing in unseen], deadline_s=60)
    confidences = [decision.confidence for decision in made if decision is not None]
    assert len(confidences) == len(unseen) == 20
    assert np.mean(confidences) < 0.4  # each of them fits 35 labels alike


THINGS = (
    "tea", "coffee", "bread", "train", "bus", "ticket", "hotel", "garden", "music", "film", "phone", "camera", "bank",
    "loan", "doctor", "tooth", "school", "exam", "river", "mountain", "shirt", "shoe", "kitchen", "lamp", "window",
    "door", "car", "tyre", "boat", "plane",
)  # fmt: skip
WHATS = tuple(f"matter {number}" for number in range(1, 36))

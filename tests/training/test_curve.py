"""The learning curve, and what more labels should bring."""

from pathlib import Path

import pytest

from backend.assembly import Assembly
from tests.training.material import SPACE, examples_of
from training.curve import Point, gain, learning_curve, outlook, sizes
from training.judge import Judged, judge
from training.run import TrainingOptions, train


def test_sizes_are_halves_down_to_what_tells_anything() -> None:
    assert sizes(170, fewest=3) == [21, 42, 85]
    assert sizes(39, fewest=3) == []
    assert sizes(13_608, fewest=150) == [212, 425, 850, 1701, 3402]


def test_more_labels_bring_what_doublings_brought() -> None:
    points = [Point.of(n, accuracy, 500) for n, accuracy in ((100, 0.70), (200, 0.75), (400, 0.80))]
    assert gain(points, 400) == pytest.approx(0.05)
    assert gain([*points, Point.of(800, 0.80, 500), Point.of(1600, 0.80, 500)], 200) == pytest.approx(0.0, abs=1e-9)
    assert gain(points[:1], 200) is None


def test_it_is_said_when_more_labels_are_hardly_worth_the_work() -> None:
    rising = [Point.of(n, accuracy, 500) for n, accuracy in ((100, 0.70), (200, 0.75), (400, 0.80))]
    assert outlook(rising) == "The next 200 labels should bring about 2.9 points of accuracy."
    nearly_flat = [Point.of(n, accuracy, 500) for n, accuracy in ((1000, 0.90), (2000, 0.908), (4000, 0.916))]
    assert outlook(nearly_flat).endswith("less than 0.1 points of accuracy: hardly worth the work.")
    assert outlook(rising[:1]) == ""


def test_a_curve_ends_with_the_model_itself(tmp_path: Path, assembly: Assembly) -> None:
    examples = examples_of(21)
    known, judging = examples[:64], examples[64:]
    manifest = train(known, SPACE, out=tmp_path / "m", options=TrainingOptions(language="en"), assembly=assembly)
    outcomes = judge(assembly.pipeline(tmp_path / "m"), judging)
    told: list[str] = []
    points = learning_curve(manifest, known, Judged("file", judging, outcomes), assembly=assembly, report=told.append)
    assert [point.n_labels for point in points] == [32, 64]
    assert points[-1].accuracy == sum(outcome.correct for outcome in outcomes) / len(outcomes)
    assert told == ["learning curve: 32 labels"]

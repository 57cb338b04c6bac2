"""The learning curve, and what more labels should bring."""

from pathlib import Path

import pytest

from backend.assembly import Assembly
from tests.training.material import SPACE, examples_of
from training.curve import Point, learning_curve, most_gained, outlook, sizes
from training.judge import GOLD, Judged, judge
from training.run import TrainingOptions, train


def test_sizes_are_halves_down_to_what_tells_anything() -> None:
    assert sizes(170, fewest=3) == [21, 42, 85]
    assert sizes(39, fewest=3) == []
    assert sizes(13_608, fewest=150) == [212, 425, 850, 1701, 3402]


def curve(*points: tuple[int, float], n_judged: int = 1_000, on: str = GOLD) -> list[Point]:
    return [Point.of(n, accuracy, n_judged, on) for n, accuracy in points]


RISING, FLAT = ((100, 0.70), (200, 0.75), (400, 0.80)), ((750, 0.90), (1500, 0.904), (3000, 0.908))


def test_more_labels_bring_no_more_than_doublings_brought() -> None:
    assert most_gained(curve(*RISING, n_judged=10**9), 400) == pytest.approx(0.05, abs=1e-4)
    few = most_gained(curve(*RISING, n_judged=100), 400) or 0.0
    many = most_gained(curve(*RISING), 400) or 0.0
    assert 0.05 < many < few, "what fewer texts have judged is less certain"


def test_more_labels_are_hardly_worth_the_work_where_even_the_upper_end_is_little() -> None:
    assert outlook(curve(*FLAT)) == (
        "The next 200 labels should bring 0.2 points of accuracy at most, less than 1: hardly worth the work."
    )
    assert outlook(curve(*RISING)).endswith(" points of accuracy at most.")
    assert "hardly" not in outlook(curve((300, 0.90), (600, 0.90), n_judged=300)), "few texts judged it"


NOT_KNOWN = [
    ("the labels that people gave are those of the least certain texts", curve(*FLAT, on="out_of_fold")),
    ("the same of those that were held out", curve(*FLAT, on="holdout")),
    ("the newest version was judged on other rows", [*curve(*FLAT), *curve((4000, 0.91), on="holdout")]),
    ("there are few labels", curve((25, 0.60), (50, 0.60), (100, 0.60), n_judged=10_000)),
    ("there are few texts that judge", curve((200, 0.60), (400, 0.65), n_judged=20)),
    ("no version had half as many", curve((300, 0.60), (400, 0.65))),
    ("there is one version", curve((400, 0.65))),
    ("there is none", []),
]


@pytest.mark.parametrize("points", [row[1] for row in NOT_KNOWN], ids=[row[0] for row in NOT_KNOWN])
def test_nothing_is_said_where_it_is_not_known_what_more_labels_bring(points: list[Point]) -> None:
    assert outlook(points) == ""


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

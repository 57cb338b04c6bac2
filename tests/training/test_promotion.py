"""When a new model takes over."""

from pathlib import Path

import pytest

from backend.assembly import Assembly
from backend.core.types import Example, Label, LabelSpace
from tests.training.material import SPACE, examples_of
from training.promotion import lower_bound, promote, verdict_of
from training.run import TrainingOptions, train


@pytest.mark.parametrize(
    ("what", "gains", "promoted"),
    [
        ("equal", [0] * 200, True),
        ("better", [1] * 10 + [0] * 190, True),
        ("clearly worse", [-1] * 20 + [0] * 180, False),
        ("a little worse, within the tolerance", [-1] * 1 + [0] * 999, True),
        ("mixed, and too few rows to tell", [1, -1, -1] + [0] * 17, False),
    ],
)
def test_a_model_stays_out_where_it_may_be_worse_by_more_than_a_point(
    what: str, gains: list[int], promoted: bool
) -> None:
    assert verdict_of(gains).promote is promoted, what


def test_the_bound_is_the_mean_less_1_28_standard_errors() -> None:
    assert lower_bound([1, 0, 0, -1]) == pytest.approx(0.0 - 1.2816 * (2 / 3) ** 0.5 / 2)


@pytest.fixture(scope="module")
def models(assembly: Assembly, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A cold model, a good one, and one that learned wrong labels."""
    root = tmp_path_factory.mktemp("models")
    good = examples_of(15)
    turned = {
        "cancel_order": "lost_card",
        "lost_card": "opening_hours",
        "opening_hours": "cancel_order",
        "other": "other",
    }
    wrong = [Example(e.id, e.text, turned[e.label]) for e in good]
    for name, examples in {"cold": [], "good": good, "wrong": wrong}.items():
        train(examples, SPACE, out=root / name, options=TrainingOptions(language="en"), assembly=assembly)
    return {name: root / name for name in ("cold", "good", "wrong")}


def test_the_first_trained_model_is_promoted_always(models: dict[str, Path], assembly: Assembly) -> None:
    assert promote(models["wrong"], None, assembly=assembly).promote
    assert promote(models["wrong"], models["cold"], assembly=assembly).promote


def test_a_model_compared_with_itself_is_promoted(models: dict[str, Path], assembly: Assembly) -> None:
    verdict = promote(models["good"], models["good"], assembly=assembly)
    assert (verdict.promote, verdict.lower_bound, verdict.n) == (True, 0.0, 60)


def test_the_incumbent_is_asked_about_rows_that_it_never_saw(
    models: dict[str, Path], assembly: Assembly, tmp_path: Path
) -> None:
    new = [Example(f"new-{e.id}", e.text, e.label) for e in examples_of(30)[60:]]
    train(new, SPACE, out=tmp_path / "new", options=TrainingOptions(language="en"), assembly=assembly)
    verdict = promote(tmp_path / "new", models["good"], assembly=assembly)
    assert verdict.n == len(new)


def test_labels_that_the_incumbent_does_not_know_are_not_held_against_it(
    models: dict[str, Path], assembly: Assembly, tmp_path: Path
) -> None:
    grown = LabelSpace((*SPACE.labels, Label("refund", "refund")), SPACE.oos_value)
    more = [Example(f"r{i}", f"refund me {word}", "refund") for i, word in enumerate(("a", "b", "c", "d", "e"))]
    train(
        [*examples_of(15), *more], grown, out=tmp_path / "m", options=TrainingOptions(language="en"), assembly=assembly
    )
    assert promote(tmp_path / "m", models["good"], assembly=assembly).n == 60

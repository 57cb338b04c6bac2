"""What a project's own answers say of how sure its best labels may be."""

import numpy as np
import pytest

from backend.pipeline.scaling import Answers, Scaling, counted
from training.scaling import expected, fit_scaling


def answered(n: int, *, bias: float, slope: float) -> Answers:
    """Answers that are as often right as this line says."""
    generator = np.random.default_rng(n)
    odds = generator.normal(2, 2, n)
    right = generator.random(n) < 1 / (1 + np.exp(-(bias + slope * odds)))
    none = np.zeros(n, np.float32)
    return Answers(odds.astype(np.float32), odds.astype(np.float32), none, none, right, np.ones(n, np.float32))


def test_many_answers_tell_the_line() -> None:
    found = fit_scaling(answered(4000, bias=0.3, slope=0.9), Scaling(-0.7, 0.4, trained=3.0, known=3.0))
    assert found.bias == pytest.approx(0.3, abs=0.15)
    assert found.slope == pytest.approx(0.9, abs=0.1)


def test_a_few_answers_move_the_line_and_do_not_overrule_what_was_expected() -> None:
    before = Scaling(-0.7, 0.4)
    found = fit_scaling(answered(10, bias=3.0, slope=0.4), before)
    assert -0.7 < found.bias < 0.5


@pytest.mark.parametrize("right", [True, False])
def test_answers_that_are_all_alike_do_not_make_anyone_sure_of_them(right: bool) -> None:
    none = np.zeros(30, np.float32)
    columns = np.zeros(30, np.int64)
    answers = Answers(np.full(30, 1.0, np.float32), none, none, none, np.full(30, right), counted(columns))
    found = fit_scaling(answers, expected(1.0, has_pool=False))
    said = 1 / (1 + np.exp(-(found.bias + found.slope)))
    assert 0.1 < said < 0.9


def test_without_answers_the_expectation_stands() -> None:
    before = expected(0.0, has_pool=True)
    assert fit_scaling(answered(0, bias=0.0, slope=1.0), before) == before


def test_examples_make_surer_and_a_pool_of_texts_does_not() -> None:
    cold, pooled, labelled = (
        expected(0.0, has_pool=False),
        expected(0.0, has_pool=True),
        expected(1.0, has_pool=False),
    )
    at = [line.odds(*np.array([[3.0], [3.0], [0.0]], np.float32))[0] for line in (cold, pooled, labelled)]
    assert at[1] <= at[0] < at[2]

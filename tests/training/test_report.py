"""The report as its reader gets it: readable with few labels and many, in either language, and nobody else's."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from backend.core.types import Example, LabelSpace
from tests.training.judged import judged_of, manifest_of, space_of
from training.breakdown import bill, confused_pairs, per_label
from training.curve import Point
from training.evaluate import Outcome, metrics_of
from training.judge import Judged
from training.report import JUDGED_ON, Report, write_report

CURVE = tuple(Point.of(n, right, 300, "file") for n, right in ((150, 0.71), (300, 0.78), (600, 0.83), (1200, 0.86)))


def report_of(space: LabelSpace, judged: Judged) -> Report:
    metrics = metrics_of(judged.outcomes, oos_value=space.oos_value)
    return Report("reviews.csv", manifest_of(space), judged, metrics, CURVE)


@pytest.mark.parametrize(("n_labels", "language"), [(3, "ru"), (150, "en")])
def test_a_report_is_one_page_that_needs_nothing_else(n_labels: int, language: str, tmp_path: Path) -> None:
    space = space_of(n_labels, language, oos_value="другое")
    page = write_report(tmp_path / "r", report_of(space, judged_of(space, 1500, share_oos=0.1)))
    html = page.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!#)', html), "no other file, no other machine"
    assert html.count("<svg") == 4
    assert all(label.name in html for label in space.labels), "every label has its line"
    assert ("The other 1" in html) == (n_labels == 150), "the many unfold below the weakest"
    metrics = json.loads((page.parent / "metrics.json").read_text())
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]
    pictures = {path.stem for path in page.parent.glob("*.svg")}
    assert pictures == {"reliability", "risk-coverage", "learning-curve", "out-of-scope"}


def test_a_report_shows_texts_and_so_is_its_owners_alone(tmp_path: Path) -> None:
    judged = Judged("holdout", [Example("1", "where is <b>my</b> card", "a")], [Outcome("1", "a", "b", 0.9, 0.0)])
    page = write_report(tmp_path / "r", report_of(space_of(3), judged))
    assert "where is &lt;b&gt;my&lt;/b&gt; card" in page.read_text(encoding="utf-8")
    modes = {path.stat().st_mode & 0o777 for path in page.parent.iterdir()}
    assert (page.parent.stat().st_mode & 0o777, modes) == (0o700, {0o600})


@pytest.mark.parametrize("judged_on", JUDGED_ON)
def test_what_judged_a_model_is_named(judged_on: str, tmp_path: Path) -> None:
    space = space_of(3)
    judged = replace(judged_of(space, 600), on=judged_on)
    page = write_report(tmp_path / "r", report_of(space, judged)).read_text(encoding="utf-8")
    assert f"judged on 600 {JUDGED_ON[judged_on]}. Ranges are 95 % intervals." in page


def test_few_texts_are_told_to_be_few(tmp_path: Path) -> None:
    space = space_of(3)
    few, many = (
        write_report(tmp_path / str(n), report_of(space, judged_of(space, n))).read_text(encoding="utf-8")
        for n in (40, 400)
    )
    assert "Only 40 texts judge this model" in few
    assert "every figure here is rough" not in many


def test_what_nobody_noted_is_not_made_up(tmp_path: Path) -> None:
    judged = Judged("out_of_fold", [Example(str(i), "tea", "a") for i in range(9)], [
        Outcome(str(i), "a", "a", 0.9, 0.0) for i in range(9)
    ])  # fmt: skip
    html = write_report(tmp_path / "r", report_of(space_of(3), judged)).read_text(encoding="utf-8")
    assert "stage by stage and not text by text" in html
    assert "Nothing: every text got its label." in html
    assert "Is what fits no label told apart?" not in html


def test_the_bill_says_what_each_stage_decided_and_cost() -> None:
    outcomes = [
        Outcome("1", "a", "a", 0.99, 0.0, stage="retrieve", milliseconds=2.0),
        Outcome("2", "a", "b", 0.99, 0.0, stage="retrieve", milliseconds=4.0),
        Outcome("3", "a", "a", 0.7, 0.0, stage="vote", milliseconds=300.0, tokens=80),
        Outcome("4", "b", "b", 0.7, 0.0, stage="vote", milliseconds=100.0, tokens=40),
    ]
    cheap, dear = bill(outcomes)
    assert (cheap.stage, cheap.n, cheap.share, cheap.accuracy, cheap.seconds, cheap.tokens) == (
        "retrieve", 2, 0.5, 0.5, 3.0, 0.0,
    )  # fmt: skip
    assert (dear.stage, dear.accuracy, dear.seconds, dear.tokens) == ("vote", 1.0, 200.0, 60_000.0)


def test_confused_pairs_come_with_the_texts_of_which_the_model_was_surest() -> None:
    rows = [("1", "a", "b", 0.5), ("2", "a", "b", 0.9), ("3", "b", "a", 0.99), ("4", "a", "a", 1.0)]
    judged = Judged(
        "holdout", [Example(id_, f"text {id_}", label) for id_, label, _, _ in rows],
        [Outcome(id_, label, said, sure, 0.0) for id_, label, said, sure in rows],
    )  # fmt: skip
    first, second = confused_pairs(judged)
    assert (first.label, first.predicted, first.n) == ("a", "b", 2)
    assert [text.text for text in first.texts] == ["text 2", "text 1"]
    assert second.n == 1


def test_labels_come_worst_first_with_an_interval_for_what_was_found() -> None:
    outcomes = [Outcome(str(i), "a", "a" if i else "b", 0.9, 0.0) for i in range(4)] + [
        Outcome("9", "b", "b", 0.9, 0.0)
    ]
    worst, best = per_label(outcomes)
    assert (worst.label, worst.n, worst.n_predicted, worst.precision, worst.recall) == ("b", 1, 2, 0.5, 1.0)
    assert (best.label, best.recall) == ("a", 0.75)
    assert best.recall_interval == pytest.approx((0.194, 0.994), abs=1e-3)

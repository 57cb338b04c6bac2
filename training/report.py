"""The evaluation report: metrics.json, report.html, which needs no other file, and its pictures.

It shows texts: it is its owner's alone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from backend.core.artefacts import Manifest, write_atomically
from backend.core.disk import writing
from training.breakdown import bill, confused_pairs, per_label
from training.curve import Point, outlook
from training.evaluate import Table
from training.intervals import Interval, intervals
from training.judge import Judged
from training.promise import PROMISES, claims_of, promise

TEMPLATES = Path(__file__).parent / "templates"
PAGE, METRICS = "report.html", "metrics.json"
OWNERS_FOLDER, OWNERS_FILE = 0o700, 0o600
FEW = 100  # judged texts under which all figures are rough
JUDGED_ON = {  # what judged a model, as the end of "judged on 300 ..."
    "holdout": "texts that were held out",
    "gold": "gold texts, which never train",
    "out_of_fold": "of them, each while it was left out",
    "file": "texts of this file",
}
WORST = 15  # labels shown at once; the others unfold


@dataclass(frozen=True, slots=True)
class Report:
    """What a report is about."""

    title: str  # of the data: a file, a project
    manifest: Manifest  # of the model
    judged: Judged  # at least one row
    metrics: Mapping[str, float]
    curve: Sequence[Point] = ()
    notes: Sequence[str] = ()  # which rows no figure counts


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the page's head."""

    name: str
    value: str
    interval: str  # empty where there is none
    meaning: str


def write_report(folder: Path, report: Report) -> Path:
    """Write the report for its owner's eyes, and return its page; what stood there under these names is replaced.

    Raises:
        StateError: there is no room, or no right to write.
    """
    table = Table.of(report.judged.outcomes, oos_value=report.manifest.labels.oos_value)
    found = intervals(table, target=report.metrics["target_precision"])
    drawn = _pictures(table, report)
    with writing(folder):
        folder.mkdir(mode=OWNERS_FOLDER, parents=True, exist_ok=True)
    for name, svg in drawn.items():
        write_atomically(folder / f"{name}.svg", svg, mode=OWNERS_FILE)
    ends = {
        f"{name}_{end}": bound for name, both in found.items() for end, bound in zip(("low", "high"), both, strict=True)
    }
    figures = {"judged_on": report.judged.on, **report.metrics, **ends}
    write_atomically(folder / METRICS, json.dumps(figures, indent=2) + "\n", mode=OWNERS_FILE)
    write_atomically(folder / PAGE, page(report, drawn, found), mode=OWNERS_FILE)
    return folder / PAGE


def page(report: Report, drawn: Mapping[str, str], found: Mapping[str, Interval]) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, keep_trailing_newline=True, trim_blocks=True,
        lstrip_blocks=True, undefined=StrictUndefined,  # a part that is missing is an error, not a gap in a sentence
    )  # fmt: skip
    names = {label.value: label.name for label in report.manifest.labels.labels}
    judged, metrics = report.judged, report.metrics
    targets = sorted({*PROMISES, metrics["target_precision"]})
    return environment.get_template("report.html.j2").render(
        report=report, metrics=metrics, pictures=drawn, few=FEW, worst=WORST, judged_on=JUDGED_ON,
        name=lambda value: names.get(value, value) or "(no label)",
        figures=list(_figures(metrics, found)),
        labels=per_label(judged.outcomes), pairs=confused_pairs(judged), bill=bill(judged.outcomes),
        outlook=outlook(report.curve),
        promises=[promise(claims_of(judged.outcomes), target) for target in targets],
        n_wrong=sum(not outcome.correct for outcome in judged.outcomes),
    )  # fmt: skip


def _pictures(table: Table, report: Report) -> dict[str, str]:
    """By name, those that the data can tell."""
    from training import pictures  # matplotlib: a second and 60 MB that only a report pays

    drawn = {"reliability": pictures.reliability(table), "risk-coverage": pictures.risk_coverage(table)}
    if len(report.curve) > 1:
        drawn["learning-curve"] = pictures.learning(report.curve)
    if "oos_auroc" in report.metrics:
        drawn["out-of-scope"] = pictures.oos_roc(table)
    return drawn


def _figures(metrics: Mapping[str, float], found: Mapping[str, Interval]) -> Iterable[Figure]:
    target = metrics["target_precision"]
    for key, name, meaning in (
        ("accuracy", "right", "the best label is the right one, abstentions included"),
        ("macro_f1", "macro F1", "the mean over labels, rare ones as much as frequent ones"),
        ("ece", "calibration error", "how far a confidence is from what comes true, on average"),
        ("coverage_at_target", f"at {target:.0%} precision", "share of the texts, the surest first, that are so right"),
        ("oos_auroc", "out-of-scope AUROC", "1 where every text without a label looks less like one than any other"),
        ("oos_recall_at_95_retention", "out of scope found", "while 95 % of the texts with a label stay"),
    ):  # fmt: skip
        if key in metrics:
            write = _fraction if key in ("macro_f1", "ece", "oos_auroc") else _percent
            ends = found.get(key)
            yield Figure(name, write(metrics[key]), f"{write(ends[0])} – {write(ends[1])}" if ends else "", meaning)


def _fraction(value: float) -> str:
    return f"{value:.3f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"

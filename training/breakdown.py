"""Where a model is right and where it is not: by label, by pairs that it confuses, by the stage that decided."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.core.bounds import share_interval
from backend.core.types import STAGES
from training.evaluate import Outcome
from training.intervals import Interval
from training.judge import Judged

K_PAIRS = 15  # most confused pairs shown
K_TEXTS = 3  # example texts of each
TEXT_CHARACTERS = 240  # of a text that is shown


@dataclass(frozen=True, slots=True)
class LabelRow:
    """How one label fares."""

    label: str
    n: int  # texts of it
    precision: float
    recall: float
    recall_interval: Interval
    f1: float
    n_predicted: int  # texts that were given it


@dataclass(frozen=True, slots=True)
class Confused:
    """One text that got another label."""

    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Pair:
    """A label and what it was taken for."""

    label: str
    predicted: str
    n: int
    texts: tuple[Confused, ...]  # the most confident first: either a hard text or a wrong label


@dataclass(frozen=True, slots=True)
class BillRow:
    """What one stage decided, and what its texts have cost."""

    stage: str
    n: int
    share: float  # of all
    accuracy: float
    seconds: float  # for 1,000 texts that end here, everything before included
    tokens: float  # for 1,000 texts


def per_label(outcomes: Sequence[Outcome]) -> list[LabelRow]:
    """Each label that occurs, worst F1 first."""
    from sklearn.metrics import precision_recall_fscore_support  # a second that only who judges pays

    labels, predicted = [outcome.label for outcome in outcomes], [outcome.predicted for outcome in outcomes]
    names = sorted(set(labels))
    columns = precision_recall_fscore_support(labels, predicted, labels=names, zero_division=0)
    rows = [
        LabelRow(
            name, int(n), float(precision), float(recall), share_interval(round(recall * n), int(n)), float(f1),
            predicted.count(name),
        )
        for name, precision, recall, f1, n in zip(names, *columns, strict=True)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row.f1, row.label))


def confused_pairs(judged: Judged, *, k: int = K_PAIRS) -> list[Pair]:
    """What was taken for what, most frequent first, with texts."""
    found: dict[tuple[str, str], list[Confused]] = defaultdict(list)
    for example, outcome in zip(judged.examples, judged.outcomes, strict=True):
        if not outcome.correct:
            shown = " ".join(example.text[:TEXT_CHARACTERS].split())
            cut = "…" if len(example.text) > TEXT_CHARACTERS else ""
            found[outcome.label, outcome.predicted].append(Confused(shown + cut, outcome.confidence))
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        Pair(*pair, len(texts), tuple(sorted(texts, key=lambda each: -each.confidence)[:K_TEXTS]))
        for pair, texts in ordered[:k]
    ]


def bill(outcomes: Sequence[Outcome]) -> list[BillRow]:
    """By stage, in the order of their cost; empty where nobody noted who decided."""
    rows = [_billed(stage, [outcome for outcome in outcomes if outcome.stage == stage], outcomes) for stage in STAGES]
    return [row for row in rows if row.n]


def billed(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The bill under flat names."""
    named = {"share": "share", "accuracy": "accuracy", "seconds": "seconds_per_1000", "tokens": "tokens_per_1000"}
    rows = bill(outcomes)
    return {f"{name}_{row.stage}": getattr(row, column) for row in rows for column, name in named.items()}


def _billed(stage: str, decided: Sequence[Outcome], outcomes: Sequence[Outcome]) -> BillRow:
    if not decided:
        return BillRow(stage, 0, 0.0, 0.0, 0.0, 0.0)
    return BillRow(
        stage, len(decided), len(decided) / len(outcomes), float(np.mean([outcome.correct for outcome in decided])),
        float(np.mean([outcome.milliseconds for outcome in decided])),  # a text's milliseconds are 1,000 texts' seconds
        1000 * float(np.mean([outcome.tokens for outcome in decided])),
    )  # fmt: skip

"""The command evaluate: a model's predictions compared with the labels of a file."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.commands.model_runs import (
    AsJson,
    Data,
    Model,
    UseLlm,
    decided_rows,
    first_rows,
    load_model,
    rounded,
    tell_language,
)
from backend.commands.printing import Printer, bar
from backend.commands.reading import (
    LEFT_OUT,
    Delimiter,
    Encoding,
    Format,
    IdColumn,
    LabelColumn,
    RejectsFile,
    TextColumn,
    WhereOption,
    counted,
    leaving_out,
    reading_of,
)
from backend.core.errors import BadInputError
from backend.core.labels import LabelNames
from backend.core.types import Example, LabelSpace
from backend.rows.texts import Row, TextFile

if TYPE_CHECKING:
    from backend.pipeline.pipeline import Pipeline
    from training.judge import Judged


N_LABELS_TOLD = 5


def evaluate(
    data: Data,
    model: Model,
    out: Annotated[Path, typer.Option(help="Folder for metrics.json, report.html and pictures.")],
    where: WhereOption = "",
    text: TextColumn = "",
    label: LabelColumn = "",
    id_column: IdColumn = "",
    kind: Format = "",
    encoding: Encoding = "",
    delimiter: Delimiter = "",
    rejects: RejectsFile = None,
    llm: UseLlm = False,
    target_precision: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="What to promise, and at what confidence.")
    ] = 0.95,
    learning_curve: Annotated[
        bool, typer.Option(help="Train smaller models, of 4,000 labels at most, to see what more labels bring.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Evaluation draws nothing; taken for symmetry.", hidden=True)] = 0,  # noqa: ARG001
    as_json: AsJson = False,
) -> None:
    """Compare a model's predictions with the labels of a file, and write a report.

    Rows whose label the model does not know count in no figure. Exit code 1: there are such, or rows were left out.
    """
    printer = Printer(as_json)
    reading = reading_of(where, text, label, id_column, kind, encoding, delimiter)
    with leaving_out(printer, rejects) as left_out:
        file = TextFile(data, reading, labelled=True, reject=left_out.add, report=printer.step)
        rows, first = first_rows(file.rows())
        assembly, manifest, pipeline = load_model(model, llm=llm)
        tell_language(first, manifest.language, printer)
        from backend.pipeline.stored import read_examples
        from training.breakdown import billed
        from training.curve import learning_curve as curve_of
        from training.evaluate import metrics_of
        from training.promise import claims_of, promise, promised
        from training.report import Report, write_report

        started = time.monotonic()
        with bar("evaluating") as advance:
            judged, unjudged = _judged(pipeline, counted(rows, file.source, advance), manifest.labels)
        seconds = time.monotonic() - started
        if not judged.outcomes:
            raise BadInputError(f"{data} must hold a label of the model in at least one row, but holds none")
        kept = promise(claims_of(judged.outcomes), target_precision)
        metrics = {
            **metrics_of(judged.outcomes, oos_value=manifest.labels.oos_value, target=target_precision),
            **promised(kept),
            **billed(judged.outcomes),
            "n_unknown_label": float(unjudged.n_unknown),
            "n_without_label": float(unjudged.n_without),
            "n_rejected": float(left_out.n),
            "texts_per_s": (len(judged.outcomes) + unjudged.n) / max(seconds, 1e-9),
        }
        known = list(read_examples(model)) if learning_curve else []
        points = curve_of(manifest, known, judged, assembly=assembly, report=printer.step)
        notes = unjudged.notes(len(judged.outcomes))
        page = write_report(out, Report(data.name, manifest, judged, metrics, points, notes))
        printer.result(
            {
                "out": str(out), "report": str(page), "model_version": manifest.version, "promise": kept.message,
                **({"not_judged": "; ".join(notes)} if notes else {}), **rounded(metrics),
            }
        )  # fmt: skip
        if unjudged.n_unknown:
            raise typer.Exit(LEFT_OUT)


@dataclass
class Unjudged:
    """Rows that count in no figure of an evaluation."""

    n_without: int = 0  # rows without a label
    unknown: Counter[str] = field(default_factory=Counter)  # rows by their label, which the model does not know

    @property
    def n_unknown(self) -> int:
        return self.unknown.total()

    @property
    def n(self) -> int:
        return self.n_without + self.n_unknown

    def notes(self, n_judged: int) -> tuple[str, ...]:
        """What the head of a report says of them."""
        found = []
        if self.unknown:
            first = ", ".join(f"{label!r} ({n})" for label, n in self.unknown.most_common(N_LABELS_TOLD))
            more = f" and {len(self.unknown) - N_LABELS_TOLD} more" if len(self.unknown) > N_LABELS_TOLD else ""
            told = f"{self.n_unknown} of {n_judged + self.n} rows have a label that the model does not know"
            found.append(f"{told}, {first}{more}: no figure counts them")
        if self.n_without:
            found.append(f"{self.n_without} rows have no label: no figure counts them")
        return tuple(found)


def _judged(pipeline: "Pipeline", rows: Iterator[Row], space: LabelSpace) -> "tuple[Judged, Unjudged]":
    """What a pipeline says about rows whose label is in the space, and which others there are."""
    from training.evaluate import outcome_of
    from training.judge import Judged

    names = LabelNames(space)
    examples, outcomes, unjudged = [], [], Unjudged()
    for row, decision in decided_rows(pipeline, rows):
        value = names.value_of(row.given)
        if value:
            examples.append(Example(row.id, row.text, value))
            outcomes.append(outcome_of(row.id, value, decision))
        elif value is None:
            unjudged.unknown[row.label] += 1
        else:
            unjudged.n_without += 1
    return Judged("file", examples, outcomes), unjudged

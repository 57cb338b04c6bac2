"""Commands on files: train, predict, evaluate. They use the pipeline and the model folders that the worker uses."""

import json
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.commands.printing import Printer, bar, counting
from backend.commands.reading import (
    LEFT_OUT,
    Delimiter,
    Encoding,
    Format,
    ForSpreadsheet,
    IdColumn,
    LabelColumn,
    RejectsFile,
    TextColumn,
    WhereOption,
    counted,
    leaving_out,
    reading_of,
)
from backend.core.descriptions import described, descriptions_from, fitting
from backend.core.errors import BadInputError
from backend.core.labels import LabelNames, space_of
from backend.core.settings import Settings, load_settings
from backend.core.spending import Spend
from backend.core.types import Decision, Example, LabelSpace
from backend.files import read_text
from backend.rows.added import with_added
from backend.rows.texts import Row, TextFile, read_labelled, spelled_alike
from backend.rows.writing import checked_target, writing_rows

if TYPE_CHECKING:
    from backend.assembly import Assembly
    from backend.commands.metering import Run
    from backend.core.artefacts import Manifest
    from backend.pipeline.pipeline import Pipeline
    from training.judge import Judged

BLOCK = 1024  # rows in memory at once; sorted by length within, which embeds faster than as they come
FOREVER_S = float("inf")
N_LOOKED_AT = 200  # rows whose language is compared with the model's
N_LABELS_TOLD = 5

Data = Annotated[
    Path,
    typer.Argument(
        help="CSV, TSV, JSONL, JSON, Parquet, gzip of these, or Label Studio's export, with the columns text and "
        "label; id is optional. - is standard input."
    ),
]
Model = Annotated[Path, typer.Option(help="A model folder, as `prelabel train` writes it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
UseLlm = Annotated[
    bool, typer.Option("--llm/--no-llm", help="Ask the language models too where nothing is sure: 0.1-0.5 s a text.")
]


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The model folder to write; it must not exist.")],
    label_config: Annotated[Path | None, typer.Option(help="Label Studio's XML; else the labels of DATA.")] = None,
    oos_label: Annotated[str, typer.Option(help='The label that means "none of the labels".')] = "",
    profile: Annotated[str, typer.Option(help="Which models and parameters; see profiles/.")] = "",
    family: Annotated[str, typer.Option(help="Classifier family: kernel, or none.")] = "kernel",
    descriptions: Annotated[
        Path | None, typer.Option(help="What `prelabel describe` wrote and a person approved; for labels without hint.")
    ] = None,
    gold: Annotated[Path | None, typer.Option(help="Rows that judge the model and never train it.")] = None,
    where: WhereOption = "",
    text: TextColumn = "",
    label: LabelColumn = "",
    id_column: IdColumn = "",
    kind: Format = "",
    encoding: Encoding = "",
    delimiter: Delimiter = "",
    rejects: RejectsFile = None,
    llm: Annotated[
        bool, typer.Option("--llm/--no-llm", help="Learn what the language models' votes are worth: a minute or so.")
    ] = False,
    language: Annotated[str, typer.Option(help="en, ru or mixed; else detected from the texts.")] = "",
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train a model on a file of labelled texts; rows without a label tell what labels' names leave open.

    Exit code 1: the model is there, but rows were left out.
    """
    printer = Printer(as_json)
    reading = reading_of(where, text, label, id_column, kind, encoding, delimiter)
    with leaving_out(printer, rejects) as left_out:
        file = TextFile(data, reading, labelled=True, reject=left_out.add, report=printer.step)
        labelled, pool = _to_train(file)
        space = label_space_of(labelled, label_config, oos_label)
        names = LabelNames(space)
        examples = names.of_examples(labelled)
        judging = names.of_examples(read_labelled(gold, report=printer.step)) if gold else []
        if descriptions is not None:
            written = descriptions_from(read_text(descriptions), where=str(descriptions))
            space = described(space, fitting(written, space))
        from backend.assembly import Assembly  # torch and scikit-learn take seconds: a wrong file is told at once
        from training.run import TrainingOptions
        from training.run import train as train_model

        options = TrainingOptions(language=language, profile=profile, family=family, seed=seed, ask_voters=llm)
        with counting() as progress:
            progress.add_task(f"training on {len(examples)} rows, {len(space)} labels", total=None)
            started = time.monotonic()
            manifest = train_model(
                examples, space, out=out, options=options, assembly=Assembly(load_settings()), gold=judging, pool=pool
            )
        n_unknown = int(manifest.parameters["n_left_out"])
        if n_unknown:
            printer.step(f"{n_unknown} rows have a label that the label config lacks, and were left out")
        printer.result(
            {
                "model": str(out), "model_version": manifest.version, "family": manifest.family,
                "language": manifest.language, "n_trained": manifest.data.n_examples,
                "n_left_out": n_unknown, **left_out.figures, "judged_on": manifest.judged_on,
                "seconds": round(time.monotonic() - started, 1), **_rounded(manifest.metrics),
            }
        )  # fmt: skip
        if n_unknown:
            raise typer.Exit(LEFT_OUT)


def _to_train(file: TextFile) -> tuple[list[Example], list[str]]:
    """The labelled rows, each label in the spelling that most rows have, and the texts of the others.

    Raises:
        BadInputError: no row has a label.
    """
    labelled: list[Row] = []
    pool: list[str] = []
    with bar(f"reading {file.source.name}") as advance:
        for row in counted(file.rows(), file.source, advance):
            if row.label:
                labelled.append(replace(row, columns={}))
            else:
                pool.append(row.text)
    return [Example(row.id, row.text, row.label) for row in spelled_alike(labelled, file)], pool


def predict(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="CSV, TSV, JSONL, JSON, Parquet, gzip of these, with the column text; - is standard input; or give "
            "--project."
        ),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="A model folder, as `prelabel train` writes it.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="CSV, TSV, JSONL or Parquet; appears when all rows are done.")
    ] = None,
    project: Annotated[int, typer.Option(help="A connected project: all its open tasks, by the workers.")] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="With --project: in this process, without workers.")] = False,
    where: WhereOption = "",
    text: TextColumn = "",
    id_column: IdColumn = "",
    kind: Format = "",
    encoding: Encoding = "",
    delimiter: Delimiter = "",
    rejects: RejectsFile = None,
    for_spreadsheet: ForSpreadsheet = False,
    llm: UseLlm = False,
    max_tokens: Annotated[int, typer.Option(min=0, help="That --llm may take; 0: without a limit.")] = 0,
    max_minutes: Annotated[float, typer.Option(min=0.0, help="The same of its time.")] = 0.0,
    max_cost: Annotated[float, typer.Option(min=0.0, help="The same of money, by the profile's prices.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Prediction draws nothing; taken for symmetry.", hidden=True)] = 0,  # noqa: ARG001
    as_json: AsJson = False,
) -> None:
    """Predict each row of a file, or, with --project, each open task that lacks the present version.

    Columns of the file that bear the name of an added one are kept as `imported_reason`, for example. Exit code 1:
    rows were left out.
    """
    if (data is None) == (project == 0):
        raise BadInputError("exactly one of DATA and --project must be given")
    if project:
        from backend.commands.moving import predict_project

        predict_project(project, wait=wait, as_json=as_json)
        return
    if data is None or model is None or out is None:
        raise BadInputError("a file needs --model and --out; give both")
    checked_target(out, for_spreadsheet=for_spreadsheet)
    printer = Printer(as_json)
    reading = reading_of(where, text, "", id_column, kind, encoding, delimiter)
    with leaving_out(printer, rejects) as left_out:
        file = TextFile(data, reading, reject=left_out.add, report=printer.step)
        rows, first = _started(file.rows())
        assembly, manifest, pipeline = _load(model, llm=llm)
        _tell_language(first, manifest.language, printer)
        version = manifest.version
        counts: dict[str, int] = {"label": 0, "out_of_scope": 0, "abstain": 0}
        limits, what = Spend(max_tokens, 60 * max_minutes, max_cost), (data.resolve(), where, version, out.resolve())
        with _run(assembly.settings, limits, "\0".join(map(str, what)), llm=llm) as run:
            pipeline, started = pipeline.with_budget(run.budget), time.monotonic()
            with bar("predicting") as advance, writing_rows(out, for_spreadsheet=for_spreadsheet) as write:
                for row, decision in _decided(pipeline, counted(rows, file.source, advance)):
                    write(with_added(row.columns, prediction_columns(decision, version)))
                    counts[decision.kind] += 1
            n, seconds = sum(counts.values()), time.monotonic() - started
            spent = run.figures()
        speed = round(n / max(seconds, 1e-9), 1)
        printer.result(
            {
                "out": str(out), "model_version": version, "n": n, **counts, **left_out.figures, "texts_per_s": speed,
                **spent,
            }
        )  # fmt: skip


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
        rows, first = _started(file.rows())
        assembly, manifest, pipeline = _load(model, llm=llm)
        _tell_language(first, manifest.language, printer)
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
                **({"not_judged": "; ".join(notes)} if notes else {}), **_rounded(metrics),
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
    for row, decision in _decided(pipeline, rows):
        value = names.value_of(row.given)
        if value:
            examples.append(Example(row.id, row.text, value))
            outcomes.append(outcome_of(row.id, value, decision))
        elif value is None:
            unjudged.unknown[row.label] += 1
        else:
            unjudged.n_without += 1
    return Judged("file", examples, outcomes), unjudged


def prediction_columns(decision: Decision, version: str) -> dict[str, Any]:
    """The columns that `predict` adds to a row."""
    alternatives = [{"label": a.label, "probability": round(a.probability, 6)} for a in decision.alternatives]
    return {
        "predicted_label": decision.predicted_label,
        "confidence": round(decision.confidence, 6),
        "p_out_of_scope": round(decision.p_out_of_scope, 6),
        "decision": decision.kind,
        "stage": decision.stage,
        "reason": decision.reason,
        "alternatives": json.dumps(alternatives, ensure_ascii=False),
        "model_version": version,
    }


def label_space_of(examples: Sequence[Example], label_config: Path | None, oos_label: str) -> LabelSpace:
    """The labels of a config, or those that examples have."""
    if label_config is not None:
        from backend.labelstudio.schema import label_space

        return label_space(read_text(label_config), oos_label=oos_label)
    return space_of((example.label for example in examples), oos_label)


def _started(rows: Iterator[Row]) -> tuple[Iterator[Row], list[Row]]:
    """The rows, and the first of them, read now: a wrong file is told before a model is loaded.

    Raises:
        BadInputError: there is none.
    """
    first = list(islice(rows, N_LOOKED_AT))
    if not first:
        raise BadInputError("at least one row must be left, by --where or as a text, but none is")
    return chain(first, rows), first


def _tell_language(rows: Sequence[Row], language: str, printer: Printer) -> None:
    """Say so where the texts are in another language than those that a model learnt from."""
    from backend.pipeline.language import SPOKEN, detect_language

    found = detect_language(row.text for row in rows)
    if language in ("en", "ru") and found != language:
        printer.step(f"the texts look {SPOKEN[found]}, the model learnt {SPOKEN[language]} ones: it may do badly")


def _load(model: Path, *, llm: bool) -> "tuple[Assembly, Manifest, Pipeline]":
    from backend.assembly import Assembly

    assembly = Assembly(load_settings())
    return assembly, assembly.servable(model), assembly.pipeline(model, llm=llm)


def _run(settings: Settings, limits: Spend, what: str, *, llm: bool) -> AbstractContextManager["Run"]:
    from backend.commands.metering import UnmeteredRun, metered

    return metered(settings, limits, what=what) if llm else nullcontext(UnmeteredRun())


def _decided(pipeline: "Pipeline", rows: Iterator[Row]) -> Iterator[tuple[Row, Decision]]:
    """Rows with their decisions, in order, a block at a time.

    Without language models, which one caller uses at a time, one block is embedded while another is decided.
    """
    at_once = 1 if pipeline.voters else 2
    blocks = iter(lambda: list(islice(rows, BLOCK)), [])

    def decided(block: list[Row]) -> list[tuple[Row, Decision]]:
        decisions = pipeline.run([row.text for row in block], deadline_s=FOREVER_S)
        return [(row, one) for row, one in zip(block, decisions, strict=True) if one is not None]

    with ThreadPoolExecutor(at_once) as pool:
        begun = deque(pool.submit(decided, block) for block in islice(blocks, at_once))
        while begun:
            done = begun.popleft().result()
            begun.extend(pool.submit(decided, block) for block in islice(blocks, 1))
            yield from done


def _rounded(metrics: Any) -> dict[str, float]:
    """Figures as they are printed: counts, n and n_..., as whole numbers."""
    return {name: int(value) if name.partition("_")[0] == "n" else round(value, 4) for name, value in metrics.items()}

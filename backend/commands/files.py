"""Commands on files: train, predict, evaluate. They use the pipeline and the model folders that the worker uses."""

import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.commands.printing import Printer, counting
from backend.core.descriptions import described, descriptions_from, fitting
from backend.core.disk import hand_over, users_folder
from backend.core.errors import BadInputError
from backend.core.labels import LabelNames, space_of
from backend.core.settings import Settings, load_settings
from backend.core.spending import Spend
from backend.core.types import Decision, Example, LabelSpace
from backend.files import Row, checked_suffix, read_labelled, read_rows, read_text, writing_rows

if TYPE_CHECKING:
    from backend.assembly import Assembly
    from backend.commands.metering import Run
    from backend.core.artefacts import Manifest
    from backend.pipeline.pipeline import Pipeline
    from training.judge import Judged

BLOCK = 1024  # rows in memory at once; sorted by length within, which embeds faster than as they come
FOREVER_S = float("inf")

Data = Annotated[Path, typer.Argument(help="CSV, TSV or JSONL with the columns text and label; id is optional.")]
Model = Annotated[Path, typer.Option(help="A model folder, as `prelabel train` writes it.")]
WhereOption = Annotated[str, typer.Option("--where", help="Take only the rows with column=value.")]
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
    llm: Annotated[
        bool, typer.Option("--llm/--no-llm", help="Learn what the language models' votes are worth: a minute or so.")
    ] = False,
    language: Annotated[str, typer.Option(help="en, ru or mixed; else detected from the texts.")] = "",
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train a model on a file of labelled texts; rows without a label tell what labels' names leave open."""
    printer = Printer(as_json)
    labelled = read_labelled(data, where=where, report=printer.step)
    pool = [row.text for row in read_rows(data, where=where, labelled=True) if not row.label]
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

    users_folder(out.parent)
    options = TrainingOptions(language=language, profile=profile, family=family, seed=seed, ask_voters=llm)
    with counting() as progress:
        progress.add_task(f"training on {len(examples)} rows, {len(space)} labels", total=None)
        started = time.monotonic()
        manifest = train_model(
            examples, space, out=out, options=options, assembly=Assembly(load_settings()), gold=judging, pool=pool
        )
    hand_over(out)
    printer.result(
        {
            "model": str(out), "model_version": manifest.version, "family": manifest.family,
            "language": manifest.language, "n_trained": manifest.data.n_examples,
            "n_left_out": manifest.parameters["n_left_out"], "judged_on": manifest.judged_on,
            "seconds": round(time.monotonic() - started, 1), **_rounded(manifest.metrics),
        }
    )  # fmt: skip


def predict(
    data: Annotated[
        Path | None, typer.Argument(help="CSV, TSV or JSONL with the column text; or give --project.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="A model folder, as `prelabel train` writes it.")] = None,
    out: Annotated[Path | None, typer.Option(help="CSV, TSV or JSONL; appears when all rows are done.")] = None,
    project: Annotated[int, typer.Option(help="A connected project: all its open tasks, by the workers.")] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="With --project: in this process, without workers.")] = False,
    where: WhereOption = "",
    llm: UseLlm = False,
    max_tokens: Annotated[int, typer.Option(min=0, help="That --llm may take; 0: without a limit.")] = 0,
    max_minutes: Annotated[float, typer.Option(min=0.0, help="The same of its time.")] = 0.0,
    max_cost: Annotated[float, typer.Option(min=0.0, help="The same of money, by the profile's prices.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Prediction draws nothing; taken for symmetry.", hidden=True)] = 0,  # noqa: ARG001
    as_json: AsJson = False,
) -> None:
    """Predict each row of a file, or, with --project, each open task that lacks the present version."""
    if (data is None) == (project == 0):
        raise BadInputError("exactly one of DATA and --project must be given")
    if project:
        from backend.commands.moving import predict_project

        predict_project(project, wait=wait, as_json=as_json)
        return
    if data is None or model is None or out is None:
        raise BadInputError("a file needs --model and --out; give both")
    checked_suffix(out)
    rows = _started(read_rows(data, where=where))
    assembly, manifest, pipeline = _load(model, llm=llm)
    version = manifest.version
    counts: dict[str, int] = {"label": 0, "out_of_scope": 0, "abstain": 0}
    limits, what = Spend(max_tokens, 60 * max_minutes, max_cost), (data.resolve(), where, version, out.resolve())
    with _run(assembly.settings, limits, "\0".join(map(str, what)), llm=llm) as run:
        pipeline, started = pipeline.with_budget(run.budget), time.monotonic()
        with counting() as progress, writing_rows(out) as write:
            task = progress.add_task("predicting", total=None)
            for row, decision in _decided(pipeline, rows):
                write({**row.columns, **prediction_columns(decision, version)})
                counts[decision.kind] += 1
                progress.advance(task)
        n, seconds = sum(counts.values()), time.monotonic() - started
        spent = run.figures()
    speed = round(n / max(seconds, 1e-9), 1)
    Printer(as_json).result(
        {"out": str(out), "model_version": version, "n": n, **counts, "texts_per_s": speed, **spent}
    )


def evaluate(
    data: Data,
    model: Model,
    out: Annotated[Path, typer.Option(help="Folder for metrics.json, report.html and pictures.")],
    where: WhereOption = "",
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
    """Compare a model's predictions with the labels of a file, and write a report."""
    rows = _started(read_rows(data, where=where, labelled=True))
    assembly, manifest, pipeline = _load(model, llm=llm)
    from backend.pipeline.stored import read_examples
    from training.breakdown import billed
    from training.curve import learning_curve as curve_of
    from training.evaluate import metrics_of
    from training.promise import claims_of, promise, promised
    from training.report import Report, write_report

    started = time.monotonic()
    judged, n_unknown = _judged(pipeline, rows, manifest.labels)
    seconds, printer = time.monotonic() - started, Printer(as_json)
    if not judged.outcomes:
        raise BadInputError(f"{data} must hold a label of the model in at least one row, but holds none")
    kept = promise(claims_of(judged.outcomes), target_precision)
    metrics = {
        **metrics_of(judged.outcomes, oos_value=manifest.labels.oos_value, target=target_precision),
        **promised(kept),
        **billed(judged.outcomes),
        "n_unknown_label": float(n_unknown),
        "texts_per_s": (len(judged.outcomes) + n_unknown) / max(seconds, 1e-9),
    }
    known = list(read_examples(model)) if learning_curve else []
    points = curve_of(manifest, known, judged, assembly=assembly, report=printer.step)
    page = write_report(out, Report(data.name, manifest, judged, metrics, points))
    printer.result(
        {
            "out": str(out), "report": str(page), "model_version": manifest.version, "promise": kept.message,
            **_rounded(metrics),
        }
    )  # fmt: skip


def _judged(pipeline: "Pipeline", rows: Iterator[Row], space: LabelSpace) -> "tuple[Judged, int]":
    """What a pipeline says about rows whose label is in the space, and how many have another one."""
    from training.evaluate import outcome_of
    from training.judge import Judged

    names, examples, outcomes, n_unknown = LabelNames(space), [], [], 0
    with counting() as progress:
        task = progress.add_task("evaluating", total=None)
        for row, decision in _decided(pipeline, rows):
            progress.advance(task)
            if label := names.value_of(row.label):
                examples.append(Example(row.id, row.text, label))
                outcomes.append(outcome_of(row.id, label, decision))
            else:
                n_unknown += 1
    return Judged("file", examples, outcomes), n_unknown


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


def _started(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, the first of them read now: a wrong file is told before a model is loaded."""
    first = list(islice(rows, 1))
    if not first:
        raise BadInputError("--where must leave at least one row, but leaves none")

    def chained() -> Iterator[Row]:
        yield from first
        yield from rows

    return chained()


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
    return {name: round(value, 4) for name, value in metrics.items()}

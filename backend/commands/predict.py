"""The command predict: decisions on the rows of a file, or on a project's open tasks."""

import json
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.commands.model_runs import (
    AsJson,
    UseLlm,
    decided_rows,
    first_rows,
    load_model,
    tell_language,
)
from backend.commands.printing import Printer, bar
from backend.commands.reading import (
    Delimiter,
    Encoding,
    Format,
    ForSpreadsheet,
    IdColumn,
    RejectsFile,
    TextColumn,
    WhereOption,
    counted,
    leaving_out,
    reading_of,
)
from backend.core.errors import BadInputError
from backend.core.settings import Settings
from backend.core.spending import Spend
from backend.core.types import Decision
from backend.rows.added import with_added
from backend.rows.texts import TextFile
from backend.rows.writing import checked_target, writing_rows

if TYPE_CHECKING:
    from backend.commands.metering import Run


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
        rows, first = first_rows(file.rows())
        assembly, manifest, pipeline = load_model(model, llm=llm)
        tell_language(first, manifest.language, printer)
        version = manifest.version
        counts: dict[str, int] = {"label": 0, "out_of_scope": 0, "abstain": 0}
        limits, what = Spend(max_tokens, 60 * max_minutes, max_cost), (data.resolve(), where, version, out.resolve())
        with _run(assembly.settings, limits, "\0".join(map(str, what)), llm=llm) as run:
            pipeline, started = pipeline.with_budget(run.budget), time.monotonic()
            with bar("predicting") as advance, writing_rows(out, for_spreadsheet=for_spreadsheet) as write:
                for row, decision in decided_rows(pipeline, counted(rows, file.source, advance)):
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


def _run(settings: Settings, limits: Spend, what: str, *, llm: bool) -> AbstractContextManager["Run"]:
    from backend.commands.metering import UnmeteredRun, metered

    return metered(settings, limits, what=what) if llm else nullcontext(UnmeteredRun())

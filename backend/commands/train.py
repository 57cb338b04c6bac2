"""The command train: a model folder from a file of labelled texts."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from backend.commands.model_runs import AsJson, Data, rounded
from backend.commands.printing import Printer, bar, counting
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
from backend.core.descriptions import described, descriptions_from, fitting
from backend.core.labels import LabelNames, space_of
from backend.core.settings import load_settings
from backend.core.types import Example, LabelSpace
from backend.files import read_text
from backend.rows.texts import Row, TextFile, read_labelled, spelled_alike


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
    language: Annotated[str, typer.Option(help="ISO 639 code, or mixed; else detected from the texts.")] = "",
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
                "seconds": round(time.monotonic() - started, 1), **rounded(manifest.metrics),
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


def label_space_of(examples: Sequence[Example], label_config: Path | None, oos_label: str) -> LabelSpace:
    """The labels of a config, or those that examples have."""
    if label_config is not None:
        from backend.labelstudio.schema import label_space

        return label_space(read_text(label_config), oos_label=oos_label)
    return space_of((example.label for example in examples), oos_label)

"""The command missing-labels: what the texts are about that resemble none of the labels."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.commands.printing import Printer, counting
from backend.commands.reading import (
    TEXTS_FILE,
    Delimiter,
    Encoding,
    Format,
    ForSpreadsheet,
    IdColumn,
    RejectsFile,
    TextColumn,
    leaving_out,
    reading_of,
)
from backend.core.errors import BadInputError
from backend.core.settings import load_settings, load_state_settings
from backend.core.types import Pipeline
from backend.rows.texts import TextFile
from backend.rows.writing import checked_target, writing_rows

if TYPE_CHECKING:
    from backend.pipeline.retrieve import Embedder
    from training.missing import Group

BLOCK = 256  # texts decided at once
SHOWN = 20  # groups that are printed
CUT = 100  # characters of a text that are printed


@dataclass(frozen=True, slots=True)
class Source:
    """Texts with their ids, and who decides them."""

    pipeline: Pipeline
    embedder: "Embedder"
    limit: float  # p(out of scope) from which a text resembles no label
    rows: Iterator[tuple[str, str]]  # id, text
    labelled: tuple[tuple[str, str], ...] = ()  # those that people hold for out of scope


def missing_labels(
    data: Annotated[Path | None, typer.Argument(help=TEXTS_FILE)] = None,
    model: Annotated[Path | None, typer.Option(help="With DATA: a folder, as `prelabel train` writes it.")] = None,
    project: Annotated[int, typer.Option("--project", help="The open tasks of a project in place of a file.")] = 0,
    out: Annotated[Path | None, typer.Option(help="A file for the texts, each with the number of its group.")] = None,
    text: TextColumn = "",
    id_column: IdColumn = "",
    kind: Format = "",
    encoding: Encoding = "",
    delimiter: Delimiter = "",
    rejects: RejectsFile = None,
    for_spreadsheet: ForSpreadsheet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Group the texts that resemble none of the labels, and say what each group is about: a label that may be missing.

    Reads only. In a project the tasks that people labelled as out of scope are looked at, too.
    """
    if (data is None) == (not project) or (data is None) != (model is None):
        raise BadInputError("either DATA with --model or --project must be given")
    if out is not None:
        checked_target(out, for_spreadsheet=for_spreadsheet)
    printer = Printer(as_json)
    reading = reading_of("", text, "", id_column, kind, encoding, delimiter)
    with leaving_out(printer, rejects) as left_out:
        file = TextFile(data, reading, reject=left_out.add, report=printer.step) if data else None
        source = _of_file(file, model) if file and model else _of_project(project)
        _look(source, printer, out, for_spreadsheet=for_spreadsheet)


def _look(source: Source, printer: Printer, out: Path | None, *, for_spreadsheet: bool) -> None:
    n, found = _outside(source)
    groups = _grouped(source, [text for _, text in found])
    if out is not None:
        with writing_rows(out, for_spreadsheet=for_spreadsheet) as write:
            for number, group in enumerate(groups, start=1):
                for row in group.rows:
                    write({"group": number, "words": " ".join(group.words), "id": found[row][0], "text": found[row][1]})
    result = {
        "limit": round(source.limit, 6),
        "n": n,
        "n_outside": len(found),
        "n_grouped": sum(len(group.rows) for group in groups),
    }
    if printer.as_json:
        told = [{**asdict(group), "rows": [found[row][0] for row in group.rows]} for group in groups]
        printer.result({**result, "groups": told})
        return
    printer.text(_told(result, groups))


def _of_file(file: TextFile, model: Path) -> Source:
    rows = ((row.id, row.text) for row in file.rows())
    from backend.assembly import Assembly  # torch takes seconds: a wrong option is told at once
    from training.missing import limit_of

    assembly = Assembly(load_settings())
    manifest = assembly.servable(model)
    embedder = assembly.embedder(manifest.language, profile=manifest.profile)
    limit = limit_of(manifest, model)
    return Source(assembly.pipeline(model, llm=False), embedder, limit, rows)


def _of_project(number: int) -> Source:
    from backend.connection.outside import texts_of
    from backend.loop.desk import Desk
    from training.missing import limit_of

    with Desk(load_state_settings()) as desk:
        texts = texts_of(desk, number)
        manifest, pipeline = texts.served.manifest, texts.served.pipeline.without_llm()
        embedder = desk.loader.assembly.embedder(manifest.language, profile=manifest.profile)
        limit = limit_of(manifest, texts.model)
        return Source(pipeline, embedder, limit, iter(texts.open), tuple(texts.labelled))


def _outside(source: Source) -> tuple[int, list[tuple[str, str]]]:
    """How many texts there are, and those that resemble no label."""
    from training.missing import outside

    found, n = list(source.labelled), len(source.labelled)
    with counting() as progress:
        task = progress.add_task("looking at texts", total=None)
        for block in _blocks(source.rows):
            decisions = source.pipeline.run([text for _, text in block], deadline_s=float("inf"))
            found += [block[row] for row in outside([each for each in decisions if each], source.limit)]
            n += len(block)
            progress.advance(task, len(block))
    return n, found


def _blocks(rows: Iterator[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    while block := list(islice(rows, BLOCK)):
        yield block


def _grouped(source: Source, texts: Sequence[str]) -> "list[Group]":
    import numpy as np

    from backend.pipeline.clean import clean
    from backend.pipeline.retrieve import embed_texts
    from training.missing import groups_of

    cleaned = [clean(text) for text in texts]
    no_labels = np.zeros((0, source.embedder.dim), np.float32)  # none of them is what these texts are about
    return groups_of(cleaned, embed_texts(cleaned, source.embedder, no_labels), source.embedder)


def _told(result: dict[str, float], groups: "list[Group]") -> str:
    lines = [f"{result['n_outside']} of {result['n']} texts resemble no label; {result['n_grouped']} of them in groups"]
    for number, group in enumerate(groups[:SHOWN], start=1):
        lines += ["", f"{number}. {len(group.rows)} texts: {', '.join(group.words)}"]
        lines += [f"   {text[:CUT]}{'…' if len(text) > CUT else ''}" for text in group.typical]
    if len(groups) > SHOWN:
        lines += ["", f"and {len(groups) - SHOWN} smaller groups; --json or --out has them all"]
    return "\n".join(lines)

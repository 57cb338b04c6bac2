"""What the commands on files share: a model folder, and the decisions on a file's rows, block by block."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.commands.printing import Printer
from backend.core.errors import BadInputError
from backend.core.settings import load_settings
from backend.core.types import Decision
from backend.rows.texts import Row

if TYPE_CHECKING:
    from backend.assembly import Assembly
    from backend.core.artefacts import Manifest
    from backend.pipeline.pipeline import Pipeline


BLOCK = 1024  # rows in memory at once; sorted by length within, which embeds faster than as they come
FOREVER_S = float("inf")
N_LOOKED_AT = 200  # rows whose language is compared with the model's
N_TELLING = 5  # rows; fewer may be in any language

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


def first_rows(rows: Iterator[Row]) -> tuple[Iterator[Row], list[Row]]:
    """The rows, and the first of them, read now: a wrong file is told before a model is loaded.

    Raises:
        BadInputError: there is none.
    """
    first = list(islice(rows, N_LOOKED_AT))
    if not first:
        raise BadInputError("at least one row must be left, by --where or as a text, but none is")
    return chain(first, rows), first


def tell_language(rows: Sequence[Row], language: str, printer: Printer) -> None:
    """Say so where the texts are in another language than those that a model learnt from."""
    from backend.core.languages import MIXED, name_of
    from backend.pipeline.language import detect_language

    if len(rows) < N_TELLING or language == MIXED:
        return
    found = detect_language(row.text for row in rows)
    if found != language:
        printer.step(f"the texts look {name_of(found)}, the model learnt {name_of(language)} ones: it may do badly")


def load_model(model: Path, *, llm: bool) -> "tuple[Assembly, Manifest, Pipeline]":
    from backend.assembly import Assembly

    assembly = Assembly(load_settings())
    return assembly, assembly.servable(model), assembly.pipeline(model, llm=llm)


def decided_rows(pipeline: "Pipeline", rows: Iterator[Row]) -> Iterator[tuple[Row, Decision]]:
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


def rounded(metrics: Any) -> dict[str, float]:
    """Figures as they are printed: counts, n and n_..., as whole numbers."""
    return {name: int(value) if name.partition("_")[0] == "n" else round(value, 4) for name, value in metrics.items()}

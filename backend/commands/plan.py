"""The command plan: what `predict --llm` would take, before it is begun."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.commands.model_runs import AsJson, Model
from backend.commands.printing import Printer, counting
from backend.commands.reading import (
    TEXTS_FILE,
    Delimiter,
    Encoding,
    Format,
    RejectsFile,
    TextColumn,
    WhereOption,
    leaving_out,
    reading_of,
)
from backend.core.errors import BadInputError
from backend.core.settings import load_settings
from backend.core.spending import Spend
from backend.rows.opening import STDIN
from backend.rows.texts import TextFile

if TYPE_CHECKING:
    from backend.pipeline.plan import Plan

COLUMNS = ("", "texts", "tokens", "minutes", "cost")


def plan(
    data: Annotated[Path, typer.Argument(help=TEXTS_FILE)],
    model: Model,
    where: WhereOption = "",
    text: TextColumn = "",
    kind: Format = "",
    encoding: Encoding = "",
    delimiter: Delimiter = "",
    rejects: RejectsFile = None,
    as_json: AsJson = False,
) -> None:
    """Say what `predict --llm` would take on a file: texts that reach the language models, tokens, time and price.

    The cheap levels look at up to 2,000 rows, and some 64 are voted on; local models remember these votes.
    """
    printer = Printer(as_json)
    if data == STDIN:
        raise BadInputError("plan must read a file, as it reads it twice; write standard input to one")
    reading = reading_of(where, text, "", "", kind, encoding, delimiter)
    with leaving_out(printer, rejects) as left_out:
        n_texts = sum(1 for _ in TextFile(data, reading, reject=left_out.add, report=printer.step).rows())
        if not n_texts:
            raise BadInputError("at least one row must be left, by --where or as a text, but none is")
        again = TextFile(data, reading, reject=lambda _: None).rows()
        found = _planned((row.text for row in again), n_texts, model)
        if as_json:
            printer.result(_figures(found))
        else:
            printer.rows(COLUMNS, list(_rows(found)))


def _planned(texts: Iterator[str], n_texts: int, model: Path) -> "Plan":
    from backend.assembly import Assembly
    from backend.pipeline.plan import LOOKED_AT, evenly
    from backend.pipeline.plan import plan as planned

    pipeline = Assembly(load_settings()).pipeline(model)
    places = set(evenly(n_texts, LOOKED_AT))
    looked_at = [text for place, text in enumerate(texts) if place in places]
    with counting() as progress:
        progress.add_task(f"looking at {len(looked_at)} of {n_texts} rows", total=None)
        return planned(pipeline, looked_at, n_texts=n_texts)


def _figures(plan: "Plan") -> Mapping[str, Any]:
    """Everything, for programs."""
    return {**asdict(plan), "seconds": plan.seconds, **{f"llm_{k}": v for k, v in asdict(plan.spend).items()}}


def _rows(plan: "Plan") -> Iterator[tuple[str, ...]]:
    yield ("cheap levels", str(plan.n_texts), "", f"{plan.cheap_s / 60:.1f}", "")
    for asking in plan.voters:
        yield (asking.voter, str(asking.n_texts), *_cells(asking.spend))
    yield ("in all", str(plan.n_texts), *_cells(plan.spend + Spend(0, plan.cheap_s)))
    tried = sum((asking.tried for asking in plan.voters), Spend())
    yield ("taken by this plan", "", *_cells(tried))


def _cells(spend: Spend) -> tuple[str, ...]:
    return (str(spend.tokens), f"{spend.seconds / 60:.1f}", f"{spend.cost:.2f}" if spend.cost else "")

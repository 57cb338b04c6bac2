"""The command label-config: a list of labels to a config that Label Studio takes."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from backend.commands.printing import Printer
from backend.core.artefacts import write_atomically
from backend.core.disk import hand_over
from backend.core.types import Label
from backend.labelstudio import label_config as xml
from backend.labelstudio.schema import TOP_KEY
from backend.rows.texts import read_list

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def label_config(
    labels: Annotated[Path, typer.Option(help="One label a line; or CSV, TSV, JSONL: label, alias, hint.")],
    hints: Annotated[
        Path | None, typer.Option(help="CSV, TSV or JSONL: label, hint; win over those of --labels.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The XML file to write; standard output where left out.")] = None,
    text: Annotated[str, typer.Option(help="The column of your data that holds the text.")] = "text",
    static: Annotated[
        bool | None, typer.Option("--static/--dynamic", help="See above; decided by the number of labels.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a Label Studio config for a list of labels, few or a thousand.

    Up to 9 labels the list is static: the labels in your order, each on its digit, the percents in a line above.

    From 10 on it is dynamic: the five likeliest first, with percent, on the keys 1 to 5. Every imported task must then
    hold the key prelabel_top ([] will do; prelabel fills it in, about 30 bytes a label), or Label Studio refuses the
    import. Where others import too, take --static: such tasks need no key, and the keys are those of the list's order.

    Ctrl+Enter submits. Shift+F finds a label: type, Enter ticks it, Shift+Tab leaves the field. At most 2000 labels.
    """
    listed = xml.distinct([xml.listed_label(row, where) for where, row in read_list(labels, "label")])
    if hints is not None:
        listed = xml.with_hints(listed, [xml.listed_label(row, where) for where, row in read_list(hints, "label")])
    is_static = xml.is_static(listed) if static is None else static
    config = xml.label_config(listed, text_key=text, static=is_static)
    if out is None and not json:
        Console(soft_wrap=True).out(config, end="", highlight=False)
        return
    if out is not None:
        write_atomically(out, config)
        hand_over(out)
    Printer(json).result(_summary(listed, is_static, text) | ({"out": str(out)} if out else {"label_config": config}))


def _summary(labels: tuple[Label, ...], is_static: bool, text: str) -> dict[str, object]:
    return {
        "labels": len(labels),
        "hints": sum(bool(label.hint) for label in labels),
        "list": "static" if is_static else "dynamic",
        "task_keys": [text] if is_static else [text, TOP_KEY],
    }

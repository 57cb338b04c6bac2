"""The command report-bug: one file for those who mend it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from backend.commands.printing import Printer
from backend.core.artefacts import write_atomically
from backend.core.settings import load_state_settings


def report_bug(
    out: Annotated[Path | None, typer.Option(help="The file to write; else prelabel-bug-TIME.json in here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Write versions, settings without secrets, doctor's findings and recent log lines to one file.

    It holds no text, no label and no secret; read it before you send it. Nobody is sent anything.
    """
    from backend.connection.bug_report import bug_report

    path = out or Path(f"prelabel-bug-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json")
    found = bug_report(load_state_settings())
    write_atomically(path, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    Printer(as_json).result({"out": path})

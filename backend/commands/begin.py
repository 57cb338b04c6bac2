"""`prelabel begin`: what a person would do first in a new stack, for a stack that starts by itself."""

from pathlib import Path
from typing import Annotated

import typer

from backend.commands.printing import Printer
from backend.core.artefacts import write_atomically
from backend.core.settings import load_settings
from backend.supervisor.first_token import ensure_token
from backend.supervisor.state import StateFolder

BEGUN = "begun"  # the file that names the projects: what becomes of them afterwards is their owners' business


def begin(
    title: Annotated[str, typer.Option(help="An empty project of this name, instead of two with samples.")] = "",
    label_config: Annotated[Path, typer.Option(help="With --title: its label config.")] = Path("label_config.xml"),
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Make the account's token and the first projects, connected; killed, it goes on, and once done it is done."""
    printer, settings = Printer(json), load_settings()
    folder = StateFolder(settings.home)
    folder.make()
    ensure_token(folder, settings)
    begun = folder.run / BEGUN
    if not begun.exists():
        write_atomically(begun, " ".join(map(str, _make(title, label_config, printer))))
    printer.result({"projects": [int(number) for number in begun.read_text(encoding="utf-8").split()]})


def _make(title: str, label_config: Path, printer: Printer) -> list[int]:
    from backend.connection.demo import setup_demo  # torch takes seconds, and mostly all is there

    return [_empty(title, label_config, printer)] if title else setup_demo(load_settings(), printer.step)


def _empty(title: str, label_config: Path, printer: Printer) -> int:
    """A connected project of this name; the one that is there, where one is."""
    from backend.commands.projects import create
    from backend.connection.connect import ConnectOptions, connect
    from backend.loop.desk import Desk

    with Desk(load_settings()) as desk:
        found = [project for project in desk.client.projects() if project.title == title]
        project = found[0] if found else create(desk, title, label_config)
        connect(desk, project, ConnectOptions(), printer.step)
        return project.id

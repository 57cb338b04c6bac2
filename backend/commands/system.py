"""`prelabel up`: the processes of one machine, brought up and kept.

Shows what the supervisor reports and asks before anything is removed; how processes are kept is its business.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from backend.core.errors import BadInputError, OutsideError, PrelabelError
from backend.core.settings import Settings, load_settings
from backend.logs import configure_logs
from backend.supervisor.bring_up import Event, Report, supervise
from backend.supervisor.environments import last_line, tail
from backend.supervisor.services import COMMAND, child_environment
from backend.supervisor.state import StateFolder

SAMPLES_LOG = "samples.log"
USAGE = 2  # exit code for bad input

Demo = Annotated[bool, typer.Option("--demo", help="with two sample projects")]
Detach = Annotated[bool, typer.Option("--detach", help="return once everything is up")]
Fresh = Annotated[bool, typer.Option("--fresh", help="remove all projects and labels first, after asking")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
Events = Annotated[bool, typer.Option("--events", hidden=True, help="report as JSON lines, for --detach")]


def up(
    demo: Demo = False, detach: Detach = False, fresh: Fresh = False, yes: Yes = False, events: Events = False
) -> None:
    """Start everything on this machine and keep it running."""
    folder = StateFolder(load_settings().home)
    if fresh and not yes:
        ask_to_start_over(folder)
    if detach:
        up_detached(folder, demo=demo, fresh=fresh)
        return
    if events:
        report = JsonLines()
        try:
            up_here(folder, report, demo=demo, fresh=fresh)
        except PrelabelError as err:
            report(Event("failed", text=str(err)))
            raise
    else:
        with Display(folder) as display:
            up_here(folder, display.show, demo=demo, fresh=fresh)
        Console(stderr=True).print("prelabel has stopped; its state is kept")


def up_here(folder: StateFolder, report: Report, *, demo: bool, fresh: bool) -> None:
    """Supervise in this process until a stop signal comes."""
    configure_logs("ERROR")  # the terminal shows the progress; each process has a log of its own for the rest
    with folder.only_supervisor():
        if fresh:
            folder.start_over()
        supervise(folder, folder.complete_settings(), report, samples_of_the_demo if demo else None)


def samples_of_the_demo(settings: Settings, report: Callable[[str], None]) -> None:
    """Make them in a process of its own: the models that it loads would stay with the supervisor.

    Raises:
        OutsideError: it failed; says how, and where the rest is.
    """
    log = StateFolder(settings.home).logs / SAMPLES_LOG
    with log.open("ab") as errors:
        since = errors.tell()
        with subprocess.Popen(
            [sys.executable, "-m", "backend.commands.samples"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=errors, env=dict(child_environment(settings.home)), text=True, encoding="utf-8",
        ) as process:  # fmt: skip
            for line in process.stdout or ():
                report(line.rstrip())
    if process.returncode:
        raise OutsideError(f"{last_line(tail(log, since=since)) or 'it said nothing'}; see {log}")


def ask_to_start_over(folder: StateFolder) -> None:
    """Raises: BadInputError: there is nobody to ask, or the answer was no."""
    if not sys.stdin.isatty():
        raise BadInputError("--fresh asks before it removes anything, and nobody can be asked here; add --yes")
    question = f"Remove all projects, labels and logs in {folder.home}? Models and prelabel.env stay."
    if not typer.confirm(question, err=True):
        raise BadInputError("nothing was removed; start without --fresh to go on with the present state")


def up_detached(folder: StateFolder, *, demo: bool, fresh: bool) -> None:
    """Start the supervisor in the background and return once it is ready.

    Raises:
        PrelabelError: it failed; its last report says why.
    """
    folder.make()
    options = ["--events", *(["--demo"] if demo else []), *(["--fresh", "--yes"] if fresh else [])]
    with (folder.logs / "detached.log").open("ab") as log:
        process = subprocess.Popen(
            [*COMMAND, "up", *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
            start_new_session=True, text=True,
        )  # fmt: skip
    why = f"it said nothing; see {folder.logs / 'detached.log'}"
    with Display(folder) as display:
        for line in process.stdout or ():
            event = Event(**json.loads(line))
            if event.kind == "failed" and not event.step:
                why = event.text
                continue
            display.show(event)
            if event.kind == "ready":
                return
    raise (BadInputError if process.wait() == USAGE else OutsideError)(why)


class JsonLines:
    """Events as JSON lines on standard output, as long as somebody reads them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read = True

    def __call__(self, event: Event) -> None:
        with self._lock:
            if not self._read:
                return
            try:
                sys.stdout.write(json.dumps(asdict(event)) + "\n")
                sys.stdout.flush()
            except OSError:
                self._read = False
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Display:
    """The steps with a spinner each while things come up, then the address, then notes as they come."""

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=8)
        self._steps: dict[str, Event] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        """Take in one event; may be called from any thread."""
        with self._lock:
            if event.kind == "note":
                self._console.print(Text(event.text, style="yellow"))
            elif event.kind == "ready":
                self._live.stop()
                self._announce()
            else:
                self._show_step(event)

    def _show_step(self, event: Event) -> None:
        before = self._steps.get(event.step)
        self._steps[event.step] = event
        if self._live.is_started:
            self._live.update(self._table())
        elif event.kind != "running" or before is None or before.text != event.text:
            self._console.print(
                f"{event.step}: {event.kind} {event.text}".rstrip(), highlight=False, markup=False, soft_wrap=True
            )

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for name, event in self._steps.items():
            sign = {"done": Text("✓", "green"), "failed": Text("✗", "red")}.get(event.kind, Spinner("dots"))
            table.add_row(sign, name, Text(event.text, "dim", no_wrap=True, overflow="ellipsis"))
        return table

    def _announce(self) -> None:
        settings = load_settings()
        password = settings.label_studio_password.get_secret_value()
        table = Table.grid(padding=(0, 2))
        table.add_row("Label Studio", settings.label_studio_url)
        table.add_row("e-mail", settings.label_studio_email)
        table.add_row("password", Text(password))
        table.add_row("logs", str(self._folder.logs))
        self._console.print("\nprelabel is ready.", style="bold")
        self._console.print(table, highlight=False)

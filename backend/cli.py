"""The command `prelabel`: parse, call, print; and what an error means for the exit code.

Exit codes: 0 done; 1 the answer is no; 2 usage or bad input; 3 something outside failed.
Only the module of the command that is asked for is imported, and --help imports none: `up` starts five of these
processes at once, and what one of them loads but does not need, each of them holds.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from backend.core.code_version import code_version
from backend.core.disk import keep_private
from backend.core.errors import OutsideError, PrelabelError
from backend.logs import configure_logs

BAD_INPUT, OUTSIDE, INTERRUPTED = 2, 3, 130
COMMANDS: Mapping[str, tuple[str, str]] = {  # name -> module and line of --help, in its order
    "up": ("system", "Start everything on this machine and keep it running."),
    "down": ("down", "Stop everything that `up` started."),
    "status": (
        "projects",
        "Say where each project stands. Exits with 1 where something is wrong with one, or with the workers.",
    ),
    "begin": (
        "begin",
        "Make the account's token and the first projects, connected; killed, it goes on, and once done it is done.",
    ),
    "connect": (
        "projects",
        "Connect a Label Studio project to this backend, predict its tasks and show the predictions.",
    ),
    "doctor": (
        "doctor",
        "Look at every link between Label Studio and this backend; say ok, or what to do.",
    ),
    "disconnect": (
        "projects",
        "Restore a project's settings and remove everything of ours from it.",
    ),
    "label-config": (
        "label_config",
        "Write a Label Studio config for a list of labels, few or a thousand.",
    ),
    "describe": (
        "describe",
        "Have a local language model write what texts of each label want, and what tells a label"
        " from its nearest ones.",
    ),
    "import": (
        "moving",
        "Import a file's rows into a project: each once, however often it is run.",
    ),
    "export": (
        "moving",
        "Export a project's labels with the columns that were imported; a manifest stands beside the file.",
    ),
    "train": (
        "train",
        "Train a model on a file of labelled texts; rows without a label tell what labels' names leave open.",
    ),
    "predict": (
        "predict",
        "Predict each row of a file, or, with --project, each open task that lacks the present version.",
    ),
    "plan": (
        "plan",
        "Say what `predict --llm` would take on a file: texts that reach the language models, tokens, time and price.",
    ),
    "evaluate": (
        "evaluate",
        "Compare a model's predictions with the labels of a file, and write a report.",
    ),
    "explain": (
        "explain",
        "Say why a text gets its label: candidates, neighbours, gate, votes, calibration, thresholds, milliseconds.",
    ),
    "trial": (
        "trial",
        "Replay labels in the order in which people gave them, and say what prelabel would have"
        " saved, or that it is not.",
    ),
    "missing-labels": (
        "missing_labels",
        "Group the texts that resemble none of the labels, and say what each group is about: a"
        " label that may be missing.",
    ),
    "auto-accept": (
        "auto_accept",
        "Say what is accepted without a person in a project; take it back, or go on.",
    ),
    "models": ("projects", "A project's versions, and the weights of a profile."),
    "retrain": ("retrain", "Train a project now, on all labels that are there; a worker does it."),
    "rollback": ("projects", "Serve an older version again, and stay with it until `unpin`."),
    "unpin": ("projects", "Let the next training switch versions again."),
    "freeze": ("projects", "Stop retraining a project."),
    "serve": ("processes", "Run the web process that Label Studio talks to."),
    "worker": ("processes", "Run jobs from the queue until stopped."),
    "cron": ("processes", "Queue the recurring jobs; one such process is enough."),
    "report-bug": (
        "report_bug",
        "Write versions, settings without secrets, doctor's findings and recent log lines to one file.",
    ),
}

FUNCTIONS: Mapping[str, str] = {"import": "import_data"}  # where a command has a word of Python's as its name


def application(asked: str) -> typer.Typer:
    """The command line, all of whose commands are known by their lines and only the one that is asked for is loaded."""
    app = typer.Typer(
        help="Label Studio ML backend: the right label already ticked, with a confidence that means something.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )

    @app.callback()
    def options(
        home: Annotated[
            Path | None, typer.Option(help="The state's folder; else PRELABEL_HOME, else .prelabel in this folder.")
        ] = None,
        version: Annotated[  # noqa: ARG001
            bool, typer.Option("--version", help="Say which prelabel this is.", is_eager=True, callback=_say_version)
        ] = False,
    ) -> None:
        if home is not None:
            os.environ["PRELABEL_HOME"] = str(home.absolute())

    for name, (_, line) in COMMANDS.items():
        command = loaded(name) if name == asked else None
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name, help=paragraphs(command.__doc__) if command else line)(command or not_loaded)
    return app


def loaded(name: str) -> Any:
    """A command, or a group of them, as its module has it."""
    module, _ = COMMANDS[name]
    function = FUNCTIONS.get(name, name.replace("-", "_"))
    return getattr(import_module(f"backend.commands.{module}"), function)


def paragraphs(text: str) -> str:
    """A docstring whose lines end where the terminal's do, and no longer where the source's did."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def not_loaded() -> None:
    """Stands in --help for a command that is not asked for, and so never runs."""
    raise NotImplementedError("the command that is asked for must be loaded, but was not")


def asked_for(arguments: Sequence[str]) -> str:
    """The command among the arguments: the first that is neither an option nor the value of --home."""
    words = iter(arguments)
    for word in words:
        if word == "--home":
            next(words, "")
        elif not word.startswith("-"):
            return word
    return ""


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"prelabel {code_version()}")
        raise typer.Exit


def main() -> None:
    """Run the command; an error of ours is one line on standard error, never a traceback."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before any library that reads it: idle threads would spin
    configure_logs("WARNING")
    keep_private()
    try:
        application(asked_for(sys.argv[1:]))()
    except PrelabelError as err:
        Console(stderr=True).print(f"error: {err}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(OUTSIDE if isinstance(err, OutsideError) else BAD_INPUT)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            Console(stderr=True).print(
                "stopped: no half-written file is left; the same command goes on, or begins again", style="yellow"
            )
        raise


if __name__ == "__main__":
    main()

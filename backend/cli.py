"""The command `prelabel`: parse, call, print; and what an error means for the exit code.

Exit codes: 0 done; 1 the answer is no; 2 usage or bad input; 3 something outside failed.
Only the module of the command that was asked for is imported: `up` starts five of these processes at once.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from backend.core.code_version import code_version
from backend.core.disk import keep_private
from backend.core.errors import OutsideError, PrelabelError
from backend.logs import configure_logs

BAD_INPUT, OUTSIDE, INTERRUPTED = 2, 3, 130
COMMANDS: Mapping[str, str] = {  # in the order in which --help lists them
    "up": "system",
    "down": "system",
    "status": "projects",
    "begin": "begin",
    "connect": "projects",
    "doctor": "doctor",
    "disconnect": "projects",
    "label-config": "label_config",
    "describe": "describe",
    "import": "moving",
    "export": "moving",
    "train": "files",
    "predict": "files",
    "plan": "plan",
    "evaluate": "files",
    "explain": "explain",
    "trial": "trial",
    "missing-labels": "missing_labels",
    "auto-accept": "auto_accept",
    "models": "projects",
    "rollback": "projects",
    "unpin": "projects",
    "freeze": "projects",
    "serve": "system",
    "worker": "system",
    "cron": "system",
}

FUNCTIONS: Mapping[str, str] = {"import": "import_data"}  # where a command has a word of Python's as its name


def application(asked: str) -> typer.Typer:
    """The command line with the one command that is asked for, or with all where it is none of them."""
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

    for name in [asked] if asked in COMMANDS else COMMANDS:
        function = FUNCTIONS.get(name, name.replace("-", "_"))
        command = getattr(import_module(f"backend.commands.{COMMANDS[name]}"), function)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


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

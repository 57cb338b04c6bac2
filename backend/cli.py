"""The command `prelabel`: parse, call, print; and what an error means for the exit code.

Exit codes: 0 done; 1 the answer is no; 2 usage or bad input; 3 something outside failed.
"""

import sys

import typer
from rich.console import Console

from backend.commands import projects, system
from backend.core.errors import OutsideError, PrelabelError

BAD_INPUT, OUTSIDE, INTERRUPTED = 2, 3, 130

app = typer.Typer(
    help="Label Studio ML backend: the right label already ticked, with a confidence that means something.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (
    system.up, system.down, projects.status, system.serve, system.worker, system.cron,
    projects.connect, projects.doctor, projects.disconnect,
    projects.rollback, projects.unpin, projects.freeze,
):  # fmt: skip
    app.command()(command)
app.add_typer(projects.models_app, name="models")


def main() -> None:
    """Run the command; an error of ours is one line on standard error, never a traceback."""
    try:
        app()
    except PrelabelError as err:
        Console(stderr=True).print(f"error: {err}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(OUTSIDE if isinstance(err, OutsideError) else BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()

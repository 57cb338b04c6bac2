"""`python -m backend.commands.samples`: the demo's projects, made by a process that ends; no command of its own.

Says each step in a line of standard output, and what went wrong in one of standard error.
"""

import sys

from backend.connection.demo import setup_demo
from backend.core.errors import PrelabelError
from backend.core.settings import load_settings
from backend.logs import configure_logs

FAILED = 3  # exit code


def main() -> int:
    """Make what is missing of the projects; the exit code."""
    configure_logs("ERROR")
    try:
        setup_demo(load_settings(), say)
    except PrelabelError as err:
        sys.stderr.write(f"{err}\n")
        return FAILED
    return 0


def say(step: str) -> None:
    sys.stdout.write(f"{step}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # titles are in Russian, too
    sys.exit(main())

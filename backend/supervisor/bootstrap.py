"""`make demo` and `make test` before anything is installed: the environments, made side by side.

    python3.11 -m backend.supervisor.bootstrap run     what the demo needs
    python3.11 -m backend.supervisor.bootstrap test    and what the tests need

Standard library only. The LLM voter is not built here for `run`: the page does not wait for it.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from backend.core.package_index import pip_environment_before_install
from backend.supervisor.environments import (
    LABEL_STUDIO_FOLDER,
    PYTHON,
    EnvironmentFailed,
    prepare_host,
    prepare_label_studio,
    prepare_own,
    prepare_voter,
)

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = {"run": ("stack",), "test": ("stack", "dev", "rerankers", "chroma", "parquet", "postgres")}
STILL_AT_WORK_EVERY_S = 30.0
DONE, USAGE, FAILED = 0, 2, 3


def main(arguments: list[str]) -> int:
    """Make the environments; the exit code."""
    purpose = arguments[0] if arguments else ""
    if purpose not in EXTRAS:
        say(f"the purpose must be one of {', '.join(EXTRAS)}, was {purpose!r}")
        return USAGE
    if sys.version_info[:2] != PYTHON or sys.implementation.name != "cpython":
        say(f"prelabel needs CPython 3.11, this is {sys.version.split()[0]}: make demo PYTHON=/path/to/python3.11")
        return USAGE
    failures = side_by_side(lambda: own_side(purpose), label_studio_side)
    for failure in failures:
        say(str(failure))
    return FAILED if failures else DONE


def own_side(purpose: str) -> None:
    prepare_own(ROOT, EXTRAS[purpose], say)
    if purpose == "test":
        prepare_host(ROOT, say)
        prepare_voter(ROOT, say)


def label_studio_side() -> None:
    if not os.environ.get("PRELABEL_LABEL_STUDIO_BIN"):
        prepare_label_studio(ROOT / LABEL_STUDIO_FOLDER, say, pip_environment_before_install(os.environ))


def side_by_side(*jobs: Callable[[], None]) -> list[EnvironmentFailed]:
    """Run all at once; what failed. Says every half minute that it is still at work."""
    failures: list[EnvironmentFailed] = []
    threads = [threading.Thread(target=keep_failure, args=(job, failures), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    started = said = time.monotonic()
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(0.05)
        if time.monotonic() - said > STILL_AT_WORK_EVERY_S:
            said = time.monotonic()
            say(f"still installing, {said - started:.0f} s so far")
    return failures


def keep_failure(job: Callable[[], None], failures: list[EnvironmentFailed]) -> None:
    try:
        job()
    except EnvironmentFailed as err:
        failures.append(err)


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        say("stopped; run the same command to go on")
        sys.exit(130)

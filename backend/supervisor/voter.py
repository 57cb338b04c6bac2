"""The library that runs LLMs is built after the page is up: three minutes that nobody should wait for."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

from backend.core.disk import users_umask
from backend.core.package_index import without_credentials
from backend.core.settings import Settings
from backend.supervisor.environments import COMPILERS, PIP, compiler, last_line, tail
from backend.supervisor.services import child_environment

MODULE = "llama_cpp"
EXTRA = re.compile(r"""extra\s*==\s*["']llm["']""")
NICENESS = 15
CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"


def installed() -> bool:
    importlib.invalidate_caches()
    return importlib.util.find_spec(MODULE) is not None


def obstacle() -> str:
    """What keeps the voter from being built, with the remedy; empty where nothing does."""
    if compiler():
        return ""
    return (
        f"the LLM voter is left out: no C++ compiler ({', '.join(COMPILERS)}) is on PATH; install one (Debian, Ubuntu: "
        "apt install g++; macOS: xcode-select --install) and start again"
    )


def requirement() -> str:
    """What the extra `llm` asks for, as pip takes it."""
    declared = importlib.metadata.requires("prelabel") or []
    return next(line.partition(";")[0].strip() for line in declared if EXTRA.search(line))


def build(log: Path, settings: Settings) -> str:
    """Build and install it, politely; what went wrong, with the log, or nothing."""
    constraints = ("-c", str(CONSTRAINTS)) if CONSTRAINTS.is_file() else ()
    command = [sys.executable, *PIP, "install", *constraints, requirement()]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**child_environment(settings.home), **settings.pip_environment},
            start_new_session=True,
            umask=users_umask(),
        )
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        failed = process.wait() != 0
    if failed or not installed():
        return f"the LLM voter is left out: its build failed ({without_credentials(last_line(tail(log)))}); see {log}"
    return ""

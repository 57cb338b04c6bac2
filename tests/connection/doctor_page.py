"""docs/doctor.md, made of the checks themselves: `python -m tests.connection.doctor_page` writes it again."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from backend.connection.doctor.check import Check
from backend.connection.doctor.examination import CALLED, HOST, POLLED, PROJECT

PAGE = Path(__file__).resolve().parents[2] / "docs" / "doctor.md"
INTRODUCTION = """\
# What `prelabel doctor` looks at

`prelabel doctor` makes every check below, in this order, which is the way that a prediction takes, and says what to do
about each fault. A check that cannot be made before another fault is mended is marked `?` and names that one.
`--project 7` examines one project instead of all. Exit code 0: all is ok; 1: something is not.

`--fix` does what is safe, says what it did, looks again, and exits with what is left then; where it queued a job, that
may be a moment. It never touches labels, annotations, other backends and webhooks, a Redis that prelabel did not
start, or what a person chose: a pinned version, a frozen project, another's predictions. Doing it twice changes
nothing more.

`--json` prints one object with `ok` and `rows`, each with `project`, `check`, `ok`, `finding`, `remedy`, `fixable` and
`fixed`, which is what `--fix` did.

In the tables *words* stand for what was seen, and *remedy* for what depends on it.
"""
SECTIONS: tuple[tuple[str, str, Iterable[Check[Any]]], ...] = (
    ("What all projects share", "", HOST),
    ("Each project", "", (*PROJECT, *CALLED)),
    ("Each push-only project", "The same, but for `connection` and `webhook`:", [c for c in POLLED if c not in CALLED]),
)


def page() -> str:
    parts = [INTRODUCTION]
    for title, said, checks in SECTIONS:
        rows = [_row(check, place) for check in checks for place in range(len(check.faults))]
        head = ["| check | fault | doctor says | what to do | `--fix` |", "|---|---|---|---|---|"]
        parts.append("\n".join([f"## {title}", "", *([said, ""] if said else []), *head, *rows, ""]))
    return "\n".join(parts)


def _row(check: Check[Any], place: int) -> str:
    fault = check.faults[place]
    name = check.name if place == 0 else ""
    cells = (name, fault.what, _shown(fault.says), _shown(fault.remedy), "mends" if fault.mend else "")
    return f"| {' | '.join(cells)} |"


def _shown(text: str) -> str:
    """A template with its places as a reader sees them."""
    return re.sub(r"\{(\w+)[^}]*\}", r"*\1*", text).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

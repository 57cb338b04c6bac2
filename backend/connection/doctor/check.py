"""What a check is: a name, a look, and the faults that it may find, each with its remedy and, where safe, its mending.

docs/doctor.md is made of these. Knows nothing of what is looked at.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import redis
from sqlalchemy.exc import SQLAlchemyError

from backend.core.errors import PrelabelError

S = TypeVar("S")  # what is looked at: the desk, or one project on it
BROKEN = (PrelabelError, redis.RedisError, SQLAlchemyError, OSError)  # how a link that is looked at may break


@dataclass(frozen=True, slots=True)
class Fault(Generic[S]):
    """One thing that may be wrong. `says` and `remedy` have {places} for what was seen."""

    what: str  # as the list in docs/doctor.md calls it
    says: str
    remedy: str
    mend: Callable[[S], str] | None = None  # does what is safe, again where it was done before; says what it did

    def seen(self, **facts: object) -> "Finding[S]":
        return Finding(self.says.format(**facts), self, self.remedy.format(**facts))


@dataclass(frozen=True, slots=True)
class Finding(Generic[S]):
    """What a look saw; without a fault all is well."""

    text: str
    fault: Fault[S] | None = None
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Check(Generic[S]):
    """One step of the examination."""

    name: str
    look: Callable[[S], Finding[S]]
    faults: tuple[Fault[S], ...]
    needs: tuple[str, ...] = ()  # checks that must be ok, or there is nothing to be seen


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found out."""

    project: str  # its key; empty for what all projects share
    name: str
    ok: bool
    finding: str
    remedy: str = ""  # what to do, where it is not ok
    waits_for: str = ""  # the check that must be ok before this one can be made
    mend: Callable[[], str] | None = field(default=None, compare=False)
    fixed: str = ""  # what --fix did
    fault: str = ""  # its kind, which names nothing that was seen; empty where it is ok

    def as_json(self) -> dict[str, object]:
        return {
            "project": self.project, "check": self.name, "ok": self.ok, "finding": self.finding, "remedy": self.remedy,
            "fixable": self.mend is not None, "fixed": self.fixed,
        }  # fmt: skip


UNSEEN: Fault[Any] = Fault("a check could not be made", "not to be seen: {problem}", "mend the other faults first")


def results_of(
    checks: Sequence[Check[S]], subject: S, *, project: str = "", before: Iterable[Result] = ()
) -> list[Result]:
    """Every check made, whatever becomes of the others; those that need a faulty one, also one of `before`, wait."""
    done = {result.name: result for result in before}
    made = []
    for check in checks:
        missing = next((done[name] for name in check.needs if name in done and not done[name].ok), None)
        result = _result(check, subject, project) if missing is None else _waiting(check.name, project, missing)
        done[check.name] = result
        made.append(result)
    return made


def _waiting(name: str, project: str, missing: Result) -> Result:
    first = missing.waits_for or missing.name
    return Result(project, name, False, "not looked at", f"mend {first!r} first", waits_for=first)


def _result(check: Check[S], subject: S, project: str) -> Result:
    try:
        found = check.look(subject)
    except BROKEN as err:
        found = UNSEEN.seen(problem=broken(err))
    mend = found.fault.mend if found.fault else None
    bound = None if mend is None else lambda: mend(subject)
    kind = found.fault.what if found.fault else ""
    return Result(project, check.name, found.fault is None, found.text, found.remedy, mend=bound, fault=kind)


def broken(err: Exception) -> str:
    """An error in words; of others' errors the kind alone, for their messages may hold a password."""
    if isinstance(err, PrelabelError):
        return str(err)
    return f"{type(err).__name__}{f' ({err.strerror})' if isinstance(err, OSError) and err.strerror else ''}"

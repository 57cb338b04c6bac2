"""What things weigh in memory.

A model's weight is what the process grew by while it was loaded: engines keep theirs where Python cannot count. A
project's state is small and made while requests are answered, which grow the process too; it is counted part by part.
"""

import ctypes
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def resident() -> int:
    """Bytes of this process that lie in memory."""
    return int(psutil.Process().memory_info().rss)


def give_back() -> None:
    """Return what was freed to the machine. glibc keeps it: of 196 MB of states that were dropped, 41; then 10.

    Costs 3 ms. Other C libraries have no such call.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def machine() -> int:
    """Bytes of memory that this process could have: the machine's, or its container's where that is less."""
    limits = [psutil.virtual_memory().total]
    for file in CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # no container, or "max"
            limits.append(int(file.read_text(encoding="ascii")))
    return min(limits)


def weigh(thing: object, shared: Mapping[int, str]) -> tuple[int, frozenset[str]]:
    """Bytes of a thing and all that it refers to, and which shared things it uses, whose bytes are not its own.

    Whatever has `nbytes` is taken at its word; objects of the standard library other than containers count as small.

    Args:
        shared: names by `id`.
    """
    total, uses, seen, left = 0, set(), set(), [thing]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if id(one) in shared:
            uses.add(shared[id(one)])
        elif isinstance(nbytes := getattr(one, "nbytes", None), int):
            total += nbytes
        else:
            total += sys.getsizeof(one)
            left.extend(_parts(one))
    return total, frozenset(uses)


def _parts(one: object) -> Iterable[object]:
    if isinstance(one, Mapping):
        return (part for item in one.items() for part in item)
    if isinstance(one, list | tuple | set | frozenset):
        return one
    return () if type(one).__module__.partition(".")[0] in sys.stdlib_module_names else _fields(one)


def _fields(one: object) -> Iterator[object]:
    yield from getattr(one, "__dict__", {}).values()
    for kind in type(one).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        yield from (getattr(one, name, None) for name in ((slots,) if isinstance(slots, str) else slots))

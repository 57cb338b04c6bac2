"""Values of a row: what JSON can carry, and how a table spells it."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from backend.rows.limits import MAX_DEPTH, too_deep

MISSING = {"NaT", "<NA>", "NaN", "nan"}  # what pandas and decimals call a value that is not there


def plain(value: object, depth: int = 0) -> Any:
    """The value as JSON carries it: what is no number (NaN, infinity) is missing; dates and the like are text.

    Raises:
        UnreadableRowError: it nests deeper than MAX_DEPTH.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth == MAX_DEPTH:
        raise too_deep()
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {str(name): plain(item, depth + 1) for name, item in value.items()}
    scalar = getattr(value, "item", None)  # of numpy
    if callable(scalar):
        return plain(scalar(), depth + 1)
    return None if str(value) in MISSING else str(value)


def as_cell(value: object) -> str:
    """The value as a table holds it: missing ones are empty, whole floats lose their .0, lists and objects are JSON."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value).removesuffix(".0")
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def strings_in(value: object) -> Iterator[str]:
    """All strings of a value, names of objects included, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings_in(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield str(name)
            yield from strings_in(item)

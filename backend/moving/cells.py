"""Values of a row as a table spells them: what CSV holds, and what two spellings of one row have in common."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from backend.labelstudio.schema import COLUMN_KEY, ID_KEY, OWN_KEYS

OWN = (*OWN_KEYS, ID_KEY, COLUMN_KEY)  # keys of task data that are prelabel's


def as_cell(value: object) -> str:
    """A value as CSV holds it: nothing and NaN are empty, whole floats lose their .0, lists and objects are JSON."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value).removesuffix(".0")
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def as_json(value: object) -> object:
    """A value that Label Studio's JSON can carry: NaN is null, dates and the like are text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {str(name): as_json(item) for name, item in value.items()}
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def strings_in(value: object) -> Iterator[str]:
    """All strings of a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings_in(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield str(name)
            yield from strings_in(item)


def fingerprint(data: Mapping[str, Any], identity: str) -> bytes:
    """What a row says, whatever format it stood in; 16 bytes. Empty cells and a column `id` that is the identity
    say nothing."""
    told = {
        name: cell
        for name, value in data.items()
        if name not in OWN and (cell := as_cell(value)) and (name, cell) != ("id", identity)
    }
    spelled = json.dumps(told, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(spelled.encode("utf-8", "surrogatepass")).digest()[:16]

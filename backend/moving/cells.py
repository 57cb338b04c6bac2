"""What two spellings of one row have in common, whatever formats they stood in."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from backend.labelstudio.schema import COLUMN_KEY, ID_KEY, OWN_KEYS
from backend.rows.cells import as_cell

DIGEST_BYTES = 16
OWN = (*OWN_KEYS, ID_KEY, COLUMN_KEY)  # keys of task data that are prelabel's


def fingerprint(data: Mapping[str, Any], identity: str) -> bytes:
    """What a row says, whatever format it stood in. Empty cells and a column `id` that is the identity
    say nothing."""
    told = {
        name: cell
        for name, value in data.items()
        if name not in OWN and (cell := as_cell(value)) and (name, cell) != ("id", identity)
    }
    return _digest(json.dumps(told, ensure_ascii=False, sort_keys=True))


def text_fingerprint(text: object) -> bytes:
    """The same of a text alone."""
    return _digest(as_cell(text))


def _digest(told: str) -> bytes:
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).digest()[:DIGEST_BYTES]

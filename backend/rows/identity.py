"""What tells rows apart, and what a row must hold to be a text; the same for every command."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from backend.rows.cells import as_cell, strings_in

Occurrence = Callable[[str], int]  # how often a digest was asked for by now, this time included


def identity_of(given: object, text: str, occurrence: Occurrence) -> str:
    """The id of a row; of one without, a hash of its text and how often that stood in the file by then."""
    identity = as_cell(given)
    if identity:
        return identity
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{digest}-{occurrence(digest)}"


def text_problem(columns: Mapping[str, Any], text: object) -> str:
    """Why a row is no text that can be labelled; empty where it is one."""
    if isinstance(text, bool) or not isinstance(text, str | int | float | None):
        return f"text must be a string, was of type {type(text).__name__}"
    if not as_cell(text).strip():
        return "text must hold a character, is empty"
    for part in strings_in(dict(columns)):
        if "\0" in part:
            return "must hold no NUL character; remove it"
        if not _is_unicode(part):
            return "must be UTF-8, holds bytes or characters that are not; correct them, or say --encoding"
    return ""


def _is_unicode(part: str) -> bool:
    """Whether a string can be written: half of a surrogate pair, or a byte that was none of UTF-8, cannot."""
    try:
        part.encode()
    except UnicodeEncodeError:
        return False
    return True

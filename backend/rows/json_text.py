"""JSON text to values, one at a time: a value that is too long, too deep or broken stops no other.

NaN and infinities, which JSON has not but many programs write, are values that are missing.
"""

import json
import re
from typing import IO, Any

from backend.rows.limits import MAX_CONTAINERS, MAX_ROW_CHARACTERS, UnreadableRowError, too_deep, too_long

CHUNK = 2**16  # characters read at once
NOT_SPACE = re.compile(r"[^ \t\r\n\ufeff]")
STRING = re.compile(r"(?:[^\"\\]++|\\.)*+", re.DOTALL)  # up to its end, or to where the text ends
OUTSIDE = re.compile(r"[\"\[\]{},:]")
INSIDE = re.compile(r"[\"\[\]{}]")


class CutOffError(Exception):
    """The text ends inside a value."""


def parsed(text: str) -> Any:
    """A value of its text.

    Raises:
        UnreadableRowError: it is no JSON, or has too many or too deep lists and objects, or a name twice.
    """
    if text.count("[") + text.count("{") > MAX_CONTAINERS:
        raise UnreadableRowError(f"a row must have at most {MAX_CONTAINERS} lists and objects, has more; split it")
    try:
        return json.loads(text, parse_constant=_missing, object_pairs_hook=_distinct)
    except RecursionError as err:
        raise too_deep() from err
    except json.JSONDecodeError as err:
        told = f"{err.msg} at character {err.pos + 1}"
        raise UnreadableRowError(f"must be a JSON object, but is no JSON: {told}") from err
    except ValueError as err:  # Python reads no number of more than 4,300 digits
        raise UnreadableRowError("a number must have at most 4300 digits, has more; write it as text") from err


def _missing(_name: str) -> None:
    return None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnreadableRowError("the names of an object must differ, one stands twice; rename it")
    return found


class Scanner:
    """Finds where values end, in linear time and bounded memory."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.buffer = ""
        self.at = 0

    def peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            found = NOT_SPACE.search(self.buffer, self.at)
            if found:
                self.at = found.start()
                return found[0]
            self.buffer, self.at = self.file.read(CHUNK), 0
            if not self.buffer:
                return ""

    def take(self, character: str) -> bool:
        """Whether that is the next character; goes behind it where it is."""
        found = self.peek() == character
        self.at += found
        return found

    def value(self, *, keep: bool = False) -> str | None:
        """The text of the next value, and goes behind it; None where it is longer than a row may be.

        Args:
            keep: stay before a value that is too long, in place of going behind it.

        Raises:
            CutOffError: the text ends before the value does.
        """
        self.peek()
        parts: list[str] = []
        n, depth, quoted, ended = 0, 0, False, False
        while not ended:
            start = self.at
            depth, quoted, ended = self._scan(depth, quoted=quoted)
            n += self.at - start
            parts.append(self.buffer[start : self.at])
            if n > MAX_ROW_CHARACTERS and keep:
                self.buffer, self.at = "".join(parts) + self.buffer[self.at :], 0
                return None
            if n > MAX_ROW_CHARACTERS:
                parts.clear()
            ended = ended or self._ends(depth, quoted=quoted)
        return "".join(parts) if n <= MAX_ROW_CHARACTERS else None

    def _ends(self, depth: int, *, quoted: bool) -> bool:
        """Read on; whether the text ends here, and a number or a word with it."""
        rest, more = self.buffer[self.at :], self.file.read(CHUNK)
        self.buffer, self.at = rest + more, 0
        if not more and (depth or quoted or rest):
            raise CutOffError
        return not more

    def _scan(self, depth: int, *, quoted: bool) -> tuple[int, bool, bool]:
        """Go on to the end of the value or of the buffer: depth there, whether in a string, whether at the end."""
        while True:
            if quoted:
                self.at = STRING.match(self.buffer, self.at).end()  # type: ignore[union-attr]
                if self.buffer[self.at : self.at + 1] != '"':
                    return depth, True, False
                self.at, quoted = self.at + 1, False
                if not depth:
                    return 0, False, True
            found = (INSIDE if depth else OUTSIDE).search(self.buffer, self.at)
            if found is None:
                self.at = len(self.buffer)
                return depth, False, False
            sign = found[0]
            if not depth and sign in "]},:":
                self.at = found.start()
                return 0, False, True
            self.at = found.end()
            quoted = sign == '"'
            depth += (sign in "[{") - (sign in "]}")
            if not depth and sign in "]}":
                return 0, False, True


def value_of(text: str | None) -> Any:
    """As `parsed`; raises UnreadableRowError for a text that was too long, too."""
    if text is None:
        raise too_long()
    return parsed(text)

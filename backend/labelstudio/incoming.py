"""Bodies of requests, read piece by piece, so that memory does not grow with what is sent.

A body is a JSON object. Of its members only those are kept that are asked for; a list is read
item by item, and each item is made small before the next one is read. Knows no HTTP.
"""

import codecs
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from backend.core.errors import BadInputError, TooLargeError

CHUNK = 256 * 1024  # bytes that are read at once
LONGEST = 8_000_000  # signs of one value: a text of a million Cyrillic letters is six, and JSON is 28 times as large
MOST_NESTED = 200_000  # lists and objects in one value; more would hold up all threads while it is read
MAX_ITEMS = 100_000  # of a list that is kept
MAX_PASSED = 1_000_000  # of a list that is not
BLANKS = re.compile(r"[ \t\n\r]*+")
JSON = json.JSONDecoder()
FOLLOWING = frozenset(",:]} \t\n\r")  # a value; after another sign a number may be cut off
NO_JSON = "the body must be JSON"

Take = Callable[[Any], Any]


def as_it_is(value: Any) -> Any:
    return value


def read_object(read: Callable[[int], bytes], kept: Mapping[str, Take]) -> object:
    """The body whose next bytes `read` gives, none at its end. A body that is a list is not read on, and empty.

    Args:
        kept: the members to keep, and what is kept of each item of those that are lists.

    Raises:
        BadInputError: it is not JSON, or nests too deep.
        TooLargeError: a value is longer than LONGEST or holds too much, or a list has too many items.
    """
    window = Window(read)
    if window.peek() == "[":
        return []
    body = _members(window, kept) if window.peek() == "{" else window.value()
    if window.peek():
        raise BadInputError(NO_JSON)
    return body


def _members(window: "Window", kept: Mapping[str, Take]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    last = window.opened("{", "}")
    while not last:
        name = window.value()
        window.sign(":")
        take = kept.get(name) if isinstance(name, str) else None
        value = _items(window, str(name), take) if window.peek() == "[" else window.value()
        if take is not None:
            found[str(name)] = value
        last = window.sign(",}") == "}"
    return found


def _items(window: "Window", name: str, take: Take | None) -> list[Any]:
    items: list[Any] = []
    n, limit = 0, MAX_PASSED if take is None else MAX_ITEMS
    last = window.opened("[", "]")
    while not last:
        item = window.value()
        n += 1
        if n > limit:
            raise TooLargeError(f"{name} must be at most {limit} a request, were more; select fewer")
        if take is not None:
            items.append(take(item))
        last = window.sign(",]") == "]"
    return items


class Window:
    """The part of a JSON text that is looked at."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        first = read(CHUNK)
        self._read = read
        self._decoder = codecs.getincrementaldecoder(json.detect_encoding(first))("surrogatepass")
        self._text, self._at = "", 0
        self._ended = False
        self._add(first)

    def peek(self) -> str:
        """The next sign that is no blank; none at the end."""
        while True:
            blanks = BLANKS.match(self._text, self._at)
            self._at = blanks.end() if blanks else self._at
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._add(self._read(CHUNK))

    def sign(self, expected: str) -> str:
        """One of the signs that may come here."""
        found = self.peek()
        if not found or found not in expected:
            raise BadInputError(NO_JSON)
        self._at += 1
        return found

    def opened(self, opening: str, closing: str) -> bool:
        """Take an opening bracket; whether it is closed at once."""
        self.sign(opening)
        closed = self.peek() == closing
        self._at += closed
        return closed

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            found, end = self._tried()
            if end > LONGEST + self._at or (end < 0 and len(self._text) - self._at > LONGEST):
                raise TooLargeError(f"a value in the body must be under {LONGEST} signs, one is longer; leave it out")
            if end >= 0 and (self._ended or self._text[end : end + 1] in FOLLOWING):
                self._at = end
                return found
            if self._ended:
                raise BadInputError(NO_JSON)
            if sum(self._text.count(sign, self._at) for sign in "[{") > MOST_NESTED:
                raise TooLargeError(f"a value must hold under {MOST_NESTED} lists and objects, one holds more")
            self._add(self._read(max(CHUNK, len(self._text) - self._at)))

    def _tried(self) -> tuple[Any, int]:
        """The next value and its end, as far as the text is known; -1 where it is broken, or cut off there."""
        try:
            return JSON.raw_decode(self._text, self._at)
        except RecursionError as err:
            raise BadInputError(f"{NO_JSON}; it nests too deep") from err
        except ValueError:
            return None, -1

    def _add(self, more: bytes) -> None:
        self._ended = not more
        try:
            text = self._decoder.decode(more, final=self._ended)
        except UnicodeDecodeError as err:
            raise BadInputError(NO_JSON) from err
        self._text, self._at = self._text[self._at :] + text, 0

"""JSON to rows: a list of objects, also inside an object; objects one after the other; or one object a line."""

from collections.abc import Iterator
from typing import IO, Any

from backend.core.errors import BadInputError
from backend.rows.json_text import CutOffError, Scanner, parsed, value_of
from backend.rows.limits import MAX_ROW_CHARACTERS, UnreadableRowError
from backend.rows.lines import Lines
from backend.rows.records import Record, record_of

REMEDY = "write a list of objects, or one object a line (.jsonl)"


def line_records(file: IO[str]) -> Iterator[Record]:
    """The rows of JSON lines; blank lines are none."""
    lines = Lines(file)
    number = 0
    while True:
        begin = lines.begin_row()
        try:
            line: str | None = next(lines)
        except StopIteration:
            return
        except UnreadableRowError:
            line = None
        if line is None or line.strip():
            number += 1
            yield _record(number, line, f"line {begin}: ")


def json_records(file: IO[str], name: str) -> Iterator[Record]:
    """The rows of a JSON text.

    Raises:
        BadInputError: it holds no rows, or it is not clear which; or it is broken or cut off.
    """
    scanner = Scanner(file)
    try:
        if scanner.take("["):
            yield from _list(scanner, 0)
            if scanner.peek():
                raise BadInputError(f"{name} must end with its list, but goes on; {REMEDY}")
        elif scanner.peek() == "{":
            yield from _objects(scanner, name)
        elif scanner.peek():
            raise BadInputError(f"{name} must be JSON, but begins with {scanner.peek()!r}; {REMEDY}")
    except CutOffError as err:
        problem = f"{name} must be whole JSON, but is broken or cut off"
        raise BadInputError(f"{problem}; fetch it again, or {REMEDY}") from err


def _list(scanner: Scanner, before: int) -> Iterator[Record]:
    """The rows of a list whose bracket was taken; `before` is the number of the last row."""
    number = before
    if scanner.take("]"):
        return
    while True:
        number += 1
        yield _record(number, scanner.value())
        if scanner.take("]"):
            return
        if not scanner.take(","):
            raise CutOffError


def _record(number: int, text: str | None, place: str = "") -> Record:
    try:
        return record_of(number, value_of(text))
    except UnreadableRowError as err:
        return Record(number, {}, f"{place}{err}")


def _objects(scanner: Scanner, name: str) -> Iterator[Record]:
    """Objects one after the other; or one object with the list of rows in it."""
    first = scanner.value(keep=True)
    if first is None:
        yield from _large(scanner, name)
        return
    more = scanner.peek()
    wrapped = [] if more else _rows_in(first, name)
    if wrapped:
        yield from (record_of(number, value) for number, value in enumerate(wrapped, start=1))
        return
    yield _record(1, first)
    number = 1
    while scanner.peek():
        scanner.take(",")
        number += 1
        text = scanner.value()
        if text == "":
            raise CutOffError
        yield _record(number, text)


def _rows_in(text: str, name: str) -> list[Any]:
    """The list of objects that an object wraps; empty where the object is a row itself."""
    try:
        value = parsed(text)
    except UnreadableRowError:
        return []
    lists = {key: item for key, item in value.items() if _is_rows(item)}
    if is_row(value) or not lists:
        return []
    if len(lists) > 1:
        raise BadInputError(f"{name} must hold one list of objects, holds {', '.join(lists)}; write a file of each")
    return next(iter(lists.values()))


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def is_row(value: dict[str, Any]) -> bool:
    """Whether an object is a row by itself, whatever lists it holds: it has a text, or a task's data."""
    return isinstance(value.get("text"), str) or isinstance(value.get("data"), dict)


def _large(scanner: Scanner, name: str) -> Iterator[Record]:
    """The rows of the list of objects in an object that is too long to be a row.

    Raises:
        BadInputError: it holds no such list.
    """
    scanner.take("{")
    number = 0
    while not scanner.take("}"):
        key = scanner.value()
        if not scanner.take(":"):
            raise CutOffError
        if scanner.take("["):
            is_second, holds_rows = number > 0, scanner.peek() == "{"
            if is_second and holds_rows:
                yield Record(number + 1, {}, f"another list begins at {key}, and is not read; write a file of each")
            for record in _list(scanner, number):
                if holds_rows and not is_second:
                    number = record.number
                    yield record
        else:
            scanner.value()
        scanner.take(",")
    if not number:
        problem = f"a row must have at most {MAX_ROW_CHARACTERS} characters, but {name} is one object that has more"
        raise BadInputError(f"{problem}; {REMEDY}")

"""Tables to rows, by the rules of their formats.

CSV quotes cells, doubles quotes in them, and may say its delimiter in a first line `sep=;`. TSV quotes nothing: its
cells are what stands between tabs, and tabs, line ends and backslashes in them are written as \\t, \\n, \\r, \\\\.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO

from backend.core.errors import BadInputError
from backend.rows.limits import MAX_COLUMNS, MAX_ROW_CHARACTERS, UnreadableRowError
from backend.rows.lines import Lines
from backend.rows.opening import Report
from backend.rows.records import Record

DELIMITERS = ",;\t|"
NAMED = {"\t": "tab"}
DECLARED = re.compile(r"sep=([^\r\n\"])\r?\n", re.IGNORECASE)
LOOKED_AT = 20  # rows that tell how a table is delimited
MARK = "\ufeff"

ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}
ESCAPE = re.compile(r"\\([tnr\\])")
ALL_ESCAPES = re.compile(r"(?:[^\\]|\\[tnr\\])*+")


def csv_records(file: IO[str], beginning: str, delimiter: str, name: str, report: Report) -> Iterator[Record]:
    """The rows of a CSV file.

    Args:
        beginning: its first characters, which `file` will give, too.
        delimiter: empty for a comma, unless the file says or shows another.

    Raises:
        BadInputError: it has no header that names columns, each once.
    """
    csv.field_size_limit(MAX_ROW_CHARACTERS)
    lines = Lines(file)
    declared = DECLARED.match(beginning.removeprefix(MARK))
    if declared:
        next(lines)
    chosen = delimiter or (declared[1] if declared else shown_delimiter(beginning))
    if not delimiter and chosen != ",":
        report(f"{name} is delimited by {spoken(chosen)}, and read as such; --delimiter says another")
    reader = csv.reader(lines, delimiter=chosen, strict=True)
    return _records(_csv_rows(lines, reader), name, _hint(beginning, chosen))


def tsv_records(file: IO[str], beginning: str, name: str, report: Report) -> Iterator[Record]:
    """The rows of a TSV file.

    Backslashes are escapes unless the beginning of the file shows one that is none: then all are characters, as in
    files of others.

    Raises:
        BadInputError: it has no header that names columns, each once.
    """
    escaped = "\\" not in ESCAPE.sub("", beginning).removesuffix("\\")
    return _records(_tsv_rows(Lines(file), name, report, escaped=escaped), name, _hint(beginning, "\t"))


def shown_delimiter(beginning: str) -> str:
    """The delimiter that a table's first rows have; a comma where they show no other."""
    if len(_shape(beginning, ",")[0]) > 1:
        return ","
    shapes = {delimiter: _shape(beginning, delimiter) for delimiter in DELIMITERS}
    fitting = {
        delimiter: len(rows[0])
        for delimiter, rows in shapes.items()
        if len(rows[0]) > 1 and all(len(row) == len(rows[0]) for row in rows)
    }
    return max(fitting, key=lambda delimiter: fitting[delimiter], default=",")


def spoken(delimiter: str) -> str:
    """A delimiter as messages tell it."""
    return NAMED.get(delimiter, f"'{delimiter}'")


def _shape(beginning: str, delimiter: str) -> list[list[str]]:
    """The first rows by a delimiter, at least one; the last one may be cut off, so it is left out."""
    lines = io.StringIO(beginning.removeprefix(MARK), newline="")
    try:
        rows = list(islice(filter(None, csv.reader(lines, delimiter=delimiter)), LOOKED_AT + 1))
    except csv.Error:
        rows = []
    return rows[:-1] or rows or [[]]


def _hint(beginning: str, delimiter: str) -> str:
    """Another delimiter that the header may have."""
    header = beginning.split("\n", 1)[0]
    others = [each for each in DELIMITERS if each != delimiter and each in header]
    return f"; the header looks delimited by {spoken(others[0])}: say --delimiter" if others else ""


Fields = Sequence[str] | str  # of a row, or why it cannot be read


def _csv_rows(lines: Lines, reader: Iterator[list[str]]) -> Iterator[tuple[int, Fields]]:
    """The first line of each row, and its fields."""
    while True:
        begin = lines.begin_row()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except UnreadableRowError as err:
            yield begin, f"{_lines_of(begin, lines.number)}: {err}, or close a quote that opens there"
        except csv.Error as err:
            yield begin, _malformed(begin, lines.number, str(err))
        else:
            yield begin, fields


def _malformed(begin: int, end: int, err: str) -> str:
    if "unexpected end" in err:
        return f"line {begin}: a quote opens here and is never closed, so that lines {begin} to {end} are one row"
    return f"{_lines_of(begin, end)}: must be a well-formed table row: {err}"


def _lines_of(begin: int, end: int) -> str:
    return f"line {begin}" if end <= begin else f"lines {begin} to {end}"


def _tsv_rows(lines: Lines, name: str, report: Report, *, escaped: bool) -> Iterator[tuple[int, Fields]]:
    told: set[str] = set()

    def say(what: str) -> None:
        if what not in told:
            told.add(what)
            report(f"{name}: {what}")

    while True:
        begin = lines.begin_row()
        try:
            line = next(lines)
        except StopIteration:
            return
        except UnreadableRowError as err:
            yield begin, f"line {begin}: {err}"
            continue
        line = line.removesuffix("\n").removesuffix("\r")
        if '""' in line and any(map(_is_quoted, line.split("\t"))):
            say("quotes are characters in TSV; where a program quoted cells, say --format csv --delimiter tab")
        if escaped and "\\" in line:
            say(r"\t, \n, \r and \\ are read as tab, line ends and backslash")
        cells = line.split("\t")
        yield begin, [_unescaped(cell) for cell in cells] if escaped else cells


def _is_quoted(cell: str) -> bool:
    """Whether a program seems to have quoted a cell as CSV has it."""
    return cell.startswith('"') and cell.endswith('"') and '""' in cell[1:-1]


def _unescaped(cell: str) -> str:
    if "\\" not in cell or not ALL_ESCAPES.fullmatch(cell):
        return cell
    return ESCAPE.sub(lambda found: ESCAPED[found[1]], cell)


def _records(rows: Iterator[tuple[int, Fields]], name: str, hint: str) -> Iterator[Record]:
    header = _header(rows, name)
    number = 0
    for line, fields in rows:
        if not isinstance(fields, str) and _says_nothing(fields, header):
            continue
        number += 1
        problem = fields if isinstance(fields, str) else _ragged(line, fields, header, hint)
        yield Record(number, {} if problem else dict(zip(header, fields, strict=False)), problem)


def _header(rows: Iterator[tuple[int, Fields]], name: str) -> list[str]:
    """The columns' names; those at the end that have none are no columns, others are named by their place."""
    first = next((fields for _, fields in rows if isinstance(fields, str) or any(map(str.strip, fields))), [])
    if isinstance(first, str):
        raise BadInputError(f"{name} must begin with a row of column names, but: {first}")
    named = list(first)
    while named and not named[-1].strip():
        named.pop()
    header = [cell if cell.strip() else f"column_{place}" for place, cell in enumerate(named, start=1)]
    if len(header) > MAX_COLUMNS:
        raise BadInputError(f"{name} must have at most {MAX_COLUMNS} columns, has {len(header)}; leave some out")
    twice = [cell for cell, n in Counter(header).items() if n > 1]
    if twice:
        raise BadInputError(f"the columns of {name} must differ, some stand twice: {', '.join(twice)}; rename them")
    return header


def _says_nothing(fields: Sequence[str], header: Sequence[str]) -> bool:
    """Whether a row is blank: no cell, or, as spreadsheets leave them at the end, nothing but empty ones."""
    return not any(fields) and (len(fields) != 1 or len(header) > 1)


def _ragged(line: int, fields: Sequence[str], header: Sequence[str], hint: str) -> str:
    """What is wrong with the number of fields; empty ones at the end are nothing."""
    if len(fields) >= len(header) and not any(cell.strip() for cell in fields[len(header) :]):
        return ""
    return f"line {line}: must have {len(header)} fields like the header, has {len(fields)}{hint}"

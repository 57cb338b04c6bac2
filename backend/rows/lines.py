"""Lines of a text, none of them held whole where it is too long."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from backend.rows.limits import MAX_ROW_CHARACTERS, too_long

REST = 2**16  # characters of a line that is too long, dropped at once


@dataclass
class Lines:
    """An iterator that goes on after it raised: the line that was too long is left out."""

    file: IO[str]
    number: int = 0  # of the line that was read last, from 1
    _row: int = 0  # characters of the row up to here

    def begin_row(self) -> int:
        """The number of the next line, with which a row begins."""
        self._row = 0
        return self.number + 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """The next line with its end.

        Raises:
            UnreadableRowError: the row has more than MAX_ROW_CHARACTERS.
        """
        line = self.file.readline(MAX_ROW_CHARACTERS)
        if not line:
            raise StopIteration
        self.number += 1
        self._row += len(line)
        if self._row >= MAX_ROW_CHARACTERS:
            while line and not line.endswith(("\n", "\r")):
                line = self.file.readline(REST)
            raise too_long()
        return line

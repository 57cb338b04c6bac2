"""The file of rows that were left out."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from backend.rows.records import Reject
from backend.rows.writing import Write, writing_rows


@dataclass
class Rejects:
    """The file of rows that were left out: made with the first one, whole with the last. It holds no text."""

    path: Path | None  # None writes nothing
    for_spreadsheet: bool = False  # see backend.rows.writing
    _stack: ExitStack = field(default_factory=ExitStack)
    _write: Write | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.__exit__(*raised)  # type: ignore[arg-type]

    def add(self, reject: Reject) -> None:
        if self.path is None:
            return
        if self._write is None:
            self._write = self._stack.enter_context(writing_rows(self.path, for_spreadsheet=self.for_spreadsheet))
        self._write({"row": reject.number, "id": reject.id, "reason": reject.reason})

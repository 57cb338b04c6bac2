"""Computed predictions of one version on their way to Label Studio: a file that survives the process.

Its rows stand by rising task id and are read one at a time, so that memory does not grow with a project.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from backend.core.disk import writing
from backend.core.projects import ProjectFolder
from backend.labelstudio.records import Json

BLOCK = 64 * 1024  # bytes read at once


@dataclass(frozen=True, slots=True)
class Spool:
    """Computed predictions of one version that are not yet pushed."""

    folder: Path
    version: str

    @property
    def file(self) -> Path:
        return self.folder / f"{self.version}.jsonl"

    @property
    def begun(self) -> Path:
        """Exists from the beginning of a push to its known end."""
        return self.folder / f"{self.version}.pushing"

    def rows(self) -> Iterator[Json]:
        """Whole lines only: a killed writer may leave half of one."""
        if not self.file.exists():
            return
        with self.file.open(encoding="utf-8", newline="\n") as file:
            yield from (json.loads(line) for line in file if line.endswith("\n"))

    def last_task(self) -> int:
        """The task of the last row; 0 where there is none."""
        if not self.file.exists():
            return 0
        with self.file.open("rb") as file:
            end = _end_of_last_line(file, file.seek(0, os.SEEK_END))
            if not end:
                return 0
            file.seek(_end_of_last_line(file, end - 1))
            return int(json.loads(file.readline())["task"])

    def append(self, rows: Sequence[Json]) -> None:
        """Add rows; half of a line, which a killed writer has left, goes.

        Raises:
            StateError: the state folder takes no writes.
        """
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.file.open("ab+") as file:
                file.truncate(_end_of_last_line(file, file.seek(0, os.SEEK_END)))
                file.write("".join(_line(row) for row in rows).encode())

    def count(self) -> int:
        """How many rows there are."""
        if not self.file.exists():
            return 0
        with self.file.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))

    def begin(self) -> None:
        """Mark that a push begins."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.begun.touch()

    def clear(self) -> None:
        self.file.unlink(missing_ok=True)
        self.begun.unlink(missing_ok=True)


def spool_of(folder: ProjectFolder, version: str) -> Spool:
    return Spool(folder.root / "spool", version)


def _end_of_last_line(file: BinaryIO, end: int) -> int:
    """Where the last whole line before `end` ends; reads backwards from there."""
    while end:
        begin = max(0, end - BLOCK)
        file.seek(begin)
        place = file.read(end - begin).rfind(b"\n")
        if place >= 0:
            return begin + place + 1
        end = begin
    return 0


def _line(row: Json) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"

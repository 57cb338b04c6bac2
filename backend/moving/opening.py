"""Bytes to text: a file or standard input, unpacked, in the encoding that it is in.

UTF-8 and UTF-16 are read as what they are. Of any other encoding only a guess is possible, and a wrong one would spoil
every text: so it is named and must be asked for.
"""

import codecs
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from charset_normalizer import from_bytes

from backend.core.errors import BadInputError

STDIN = Path("-")
SAMPLE = 256 * 1024  # bytes that are looked at before the first row
GUESSES = ["cp1251", "koi8_r", "cp866", "cp1252"]  # of Russian and western texts; more would be taken for each other
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
NUL_SHARE = 0.2  # of every other byte: UTF-16 without a mark
GZIP = b"\x1f\x8b"

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Opened:
    """A source of bytes, unpacked, and how much of it was read."""

    name: str
    stream: "io.BufferedReader[Any]"
    raw: BinaryIO
    size: int  # bytes of the file as it lies there; 0 where nobody knows

    @property
    def share(self) -> float | None:
        """How much was read, 0-1; None where nobody knows."""
        if not self.size:
            return None
        return 1.0 if self.raw.closed else min(1.0, self.raw.tell() / self.size)

    def text(self, encoding: str, report: Report) -> IO[str]:
        """The source as text. Bytes that UTF-8 does not have become lone surrogates, which a reader of rows rejects.

        Raises:
            BadInputError: it is in another encoding than UTF-8 or UTF-16, and `encoding` names none.
        """
        chosen = _known(encoding) if encoding else encoding_of(self.stream.peek(SAMPLE), self.name)
        if not encoding and chosen.startswith("utf-16"):
            report(f"{self.name} is in UTF-16, and read as such")
        errors = "strict" if chosen.startswith("utf-16") else "surrogateescape"
        return io.TextIOWrapper(self.stream, encoding=chosen, errors=errors, newline="")


@contextmanager
def opening(path: Path) -> Iterator[Opened]:
    """A file, or standard input for `-`.

    Raises:
        BadInputError: it is no file, cannot be read, or is damaged; also while the block reads it.
    """
    name = "standard input" if path == STDIN else str(path)
    if path != STDIN and not path.is_file():
        raise BadInputError(f"{path} must be a file, but is not; check the path")
    try:
        raw = cast("BinaryIO", sys.stdin.buffer) if path == STDIN else path.open("rb", buffering=0)
        with raw:
            stream: io.BufferedReader[Any] = io.BufferedReader(cast("io.RawIOBase", raw), SAMPLE)
            if stream.peek(2)[:2] == GZIP:
                stream = io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=stream)), SAMPLE)
            yield Opened(name, stream, raw, 0 if path == STDIN else path.stat().st_size)
    except UnicodeDecodeError as err:
        problem = f"{name} must be {err.encoding} throughout, but is not at byte {err.start}"
        raise BadInputError(f"{problem}; name its encoding with --encoding") from err
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise BadInputError(f"{name} must be a whole gzip file, but is cut off or damaged; fetch it again") from err
    except OSError as err:
        raise BadInputError(f"{name} must be readable, but is not: {err.strerror}; check its rights") from err


def encoding_of(sample: bytes, name: str) -> str:
    """The encoding of a source by its first bytes.

    Raises:
        BadInputError: neither UTF-8 nor UTF-16.
    """
    for mark, encoding in BOMS.items():
        if sample.startswith(mark):
            return encoding
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if max(even, odd) > NUL_SHARE * max(1, len(sample) // 2):
        return "utf-16-le" if odd > even else "utf-16-be"
    lines = [line for line in sample.split(b"\n")[:-1] or [sample] if not line.isascii()]
    broken = [line for line in lines if not _is_utf8(line)]
    if len(broken) > 1 and 2 * len(broken) > len(lines):
        place = sample.index(broken[0])
        raise BadInputError(f"{name} must be UTF-8, but is not at byte {place}; {_remedy(sample)}")
    return "utf-8"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _remedy(sample: bytes) -> str:
    best = from_bytes(sample, cp_isolation=GUESSES).best()
    if best is None:
        return "name its encoding with --encoding"
    return f"it looks like {best.encoding}: say --encoding {best.encoding}"


def _known(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError as err:
        raise BadInputError(f"--encoding must be an encoding that Python knows, was {encoding!r}; try cp1251") from err

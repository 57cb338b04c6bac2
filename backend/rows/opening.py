"""Bytes to text: a file or standard input, unpacked, in the encoding that it is in.

UTF-8, UTF-16 and UTF-32 are read as what they are. Of any other encoding only a guess is possible, and a wrong one
would spoil every text: so it is named and must be asked for. A file that unpacks to too much is refused.
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
from typing import IO, Any, cast

from charset_normalizer import from_bytes

from backend.core.errors import BadInputError
from backend.rows.limits import FREE_BYTES, MAX_RATIO

STDIN = Path("-")
SAMPLE = 256 * 1024  # bytes that are looked at before the first row
PACKED = 8 * 1024  # packed bytes that are read at once: those not used yet count as if they were
GUESSES = ["cp1251", "koi8_r", "cp866", "cp1252"]  # of Russian and western texts; more would be taken for each other
BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins like UTF-16's, so it comes first
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
WIDE = ("utf-16", "utf-32")
NUL_SHARE = 0.2  # of every other byte: UTF-16 without a mark
GZIP = b"\x1f\x8b"

Report = Callable[[str], None]


class _Counted(io.RawIOBase):
    """Bytes as they come, counted."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self.raw = raw
        self.n_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        n = cast("int", self.raw.readinto(buffer) or 0)
        self.n_read += n
        return n


class _Unpacked(io.RawIOBase):
    """What gzip unpacks to, as long as that stays in proportion."""

    def __init__(self, packed: _Counted, name: str) -> None:
        self.packed, self.name = packed, name
        buffered: Any = io.BufferedReader(packed, PACKED)
        self.unpacker = gzip.GzipFile(fileobj=buffered)
        self.n_unpacked = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        n = self.unpacker.readinto(buffer)
        self.n_unpacked += n
        if self.n_unpacked > max(FREE_BYTES, MAX_RATIO * self.packed.n_read):
            raise BadInputError(
                f"{self.name} must unpack to at most {MAX_RATIO} times its size, unpacks to more; look at what is in "
                "it, and give it unpacked (gunzip)"
            )
        return n


@dataclass(frozen=True, slots=True)
class Opened:
    """A source of bytes, unpacked, and how much of it was read."""

    name: str
    stream: "io.BufferedReader[Any]"
    counted: _Counted
    size: int  # bytes of the file as it lies there; 0 where nobody knows

    @property
    def share(self) -> float | None:
        """How much was read, 0-1; None where nobody knows."""
        return min(1.0, self.counted.n_read / self.size) if self.size else None

    def encoding(self, named: str, report: Report) -> str:
        """The encoding to read with: the one that was named, or the one of the first bytes.

        Raises:
            BadInputError: it is in another encoding than Unicode's, and `named` names none.
        """
        chosen = _known(named) if named else encoding_of(self.stream.peek(SAMPLE), self.name)
        if not named and chosen.startswith(WIDE):
            report(f"{self.name} is in {chosen[:6].upper()}, and read as such")
        return chosen

    def beginning(self, encoding: str) -> str:
        """The first characters, which are still to be read."""
        return codecs.getincrementaldecoder(encoding)("replace").decode(self.stream.peek(SAMPLE))

    def text(self, encoding: str, newline: str = "") -> IO[str]:
        """The source as text. Bytes that UTF-8 does not have become lone surrogates, which a reader of rows rejects."""
        errors = "strict" if encoding.startswith(WIDE) else "surrogateescape"
        return io.TextIOWrapper(self.stream, encoding=encoding, errors=errors, newline=newline)


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
        with _raw(path) as raw:
            counted = _Counted(raw)
            stream: io.BufferedReader[Any] = io.BufferedReader(counted, SAMPLE)
            if stream.peek(2)[:2] == GZIP:
                packed = _Counted(cast("io.RawIOBase", stream))
                stream = io.BufferedReader(_Unpacked(packed, name), SAMPLE)
            yield Opened(name, stream, counted, 0 if path == STDIN else path.stat().st_size)
    except UnicodeDecodeError as err:
        problem = f"{name} must be {err.encoding} throughout, but is not at byte {err.start}"
        raise BadInputError(f"{problem}; name its encoding with --encoding") from err
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise BadInputError(f"{name} must be a whole gzip file, but is cut off or damaged; fetch it again") from err
    except OSError as err:
        raise BadInputError(f"{name} must be readable, but is not: {err.strerror}; check its rights") from err


def _raw(path: Path) -> io.RawIOBase:
    if path == STDIN:
        return cast("io.RawIOBase", open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))
    return cast("io.RawIOBase", path.open("rb", buffering=0))


def encoding_of(sample: bytes, name: str) -> str:
    """The encoding of a source by its first bytes.

    Raises:
        BadInputError: none of Unicode's.
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

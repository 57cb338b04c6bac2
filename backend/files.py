"""Files of text that are read whole, and files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.core.disk import writing
from backend.core.errors import BadInputError

HALF = "backslashreplace"  # half a character (a lone surrogate) has no UTF-8; in JSON this writes its escape


def read_text(path: Path) -> str:
    """A small file of text, whole.

    Raises:
        BadInputError: not a file, not UTF-8, or not readable.
    """
    if not path.is_file():
        raise BadInputError(f"{path} must be a file, but is not; check the path")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as err:
        raise BadInputError(f"{path} must be UTF-8, but is not at byte {err.start}; convert it with iconv") from err
    except OSError as err:
        raise BadInputError(f"{path} must be readable, but is not: {err.strerror}") from err


@contextmanager
def appearing(path: Path, *, keep: bool = True) -> Iterator[Path]:
    """A hidden file beside `path` that becomes it when the block ends, and vanishes where it fails.

    Args:
        keep: False for a file that only serves the block: it vanishes in any case.

    Raises:
        StateError: there is no room, or no right to write.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        os.close(handle)
        try:
            yield Path(name)
            if keep:
                Path(name).chmod(0o644)
                Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)

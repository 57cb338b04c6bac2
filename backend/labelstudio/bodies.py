"""Bodies of large requests: JSON lists in temporary files, so that memory does not grow with what is sent."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from backend.core.disk import writing
from backend.labelstudio.records import Json


def bodies(items: Iterable[Json], max_bytes: int) -> Iterator[IO[bytes]]:
    """As few JSON lists as `max_bytes` allows. Each file is gone when the next one is asked for.

    Raises:
        StateError: the folder for temporary files takes no writes.
    """
    left = iter(items)
    first = next(left, None)
    while first is not None:
        with tempfile.TemporaryFile() as file:
            with writing(Path(tempfile.gettempdir())):
                first = _filled(file, first, left, max_bytes)
                file.flush()
            yield file


def _filled(file: IO[bytes], first: Json, left: Iterator[Json], max_bytes: int) -> Json | None:
    """Write a list that begins with `first`; the item that has no room in it, None where no item is left."""
    file.write(b"[" + _encoded(first))
    over = None
    for item in left:
        encoded = b"," + _encoded(item)
        if file.tell() + len(encoded) + 1 > max_bytes:
            over = item
            break
        file.write(encoded)
    file.write(b"]")
    return over


def _encoded(item: Json) -> bytes:
    return json.dumps(item, ensure_ascii=False).encode()

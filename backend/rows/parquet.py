"""Parquet, which needs a library that the rest does not."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from backend.core.errors import BadInputError, MissingExtraError
from backend.rows.limits import FREE_BYTES, FREE_ROWS, MAX_RATIO, MAX_ROWS_PER_BYTE
from backend.rows.opening import STDIN
from backend.rows.records import Record, record_of

ROWS = 1000  # read at once
AT_ONCE = 64 * 2**20  # bytes of such rows; of longer ones a row at a time


def parquet_records(path: Path) -> Iterator[Record]:
    """The rows of a Parquet file.

    Raises:
        BadInputError: it is none, or holds far more than its size lets expect.
        MissingExtraError: pyarrow is not installed.
    """
    if path == STDIN:
        raise BadInputError("Parquet must be read from a file, not from standard input; name the file")
    if not path.is_file():
        raise BadInputError(f"{path} must be a file, but is not; check the path")
    arrow, parquet = pyarrow()
    try:
        with parquet.ParquetFile(path) as shape:
            _check(shape.metadata, path)
            texts = [field.name for field in shape.schema_arrow if arrow.types.is_string(field.type)]
        # a text that many rows share stays one until its size was counted
        with parquet.ParquetFile(path, read_dictionary=texts) as file:
            rows = _rows(file.iter_batches(batch_size=ROWS), path)
            yield from (record_of(number, row) for number, row in enumerate(rows, start=1))
    except (arrow.ArrowException, OSError) as err:
        raise BadInputError(f"{path} must be a whole Parquet file, but is cut off or damaged; fetch it again") from err


def _rows(batches: Iterable[Any], path: Path) -> Iterator[dict[str, Any]]:
    """The rows of batches, as long as their texts stay in proportion to the file."""
    allowed = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    for batch in batches:
        n_bytes = sum(_spelled_out(column) for column in batch.columns)
        allowed -= n_bytes
        if allowed < 0:
            raise _too_much(path)
        step = ROWS if n_bytes < AT_ONCE else 1
        for start in range(0, batch.num_rows, step):
            yield from batch.slice(start, step).to_pylist()


def _spelled_out(column: Any) -> int:
    """Bytes of a column's values, each counted as often as it stands there."""
    if not hasattr(column, "dictionary"):
        return int(column.nbytes)
    from pyarrow import compute

    lengths = compute.binary_length(column.dictionary).take(column.indices)
    return int(compute.sum(lengths).as_py() or 0)


def _too_much(path: Path) -> BadInputError:
    return BadInputError(f"{path} must unpack to at most {MAX_RATIO} times its size, unpacks to more; look at it")


def _check(metadata: Any, path: Path) -> None:
    size = path.stat().st_size
    unpacked = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    if unpacked > max(FREE_BYTES, MAX_RATIO * size):
        raise _too_much(path)
    if metadata.num_rows > max(FREE_ROWS, MAX_ROWS_PER_BYTE * size):
        raise BadInputError(
            f"{path} must have at most {MAX_ROWS_PER_BYTE} rows a byte, has {metadata.num_rows} in {size} bytes; "
            "look at it: most of its rows are the same"
        )


def pyarrow() -> tuple[Any, Any]:
    """The library for Parquet, and its module of that name.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as err:
        raise MissingExtraError("Parquet needs pyarrow; run: pip install 'prelabel[parquet]'") from err
    return arrow, parquet

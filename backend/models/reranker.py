"""Cross-encoders: how relevant a passage is to a text, by a model that reads both together.

Decides how pairs are clipped, batched and remembered, and that every library means the same by relevance: the sigmoid
of the model's one logit. Knows nothing of labels or of what is done with a relevance.
"""

import hashlib
import importlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from cachetools import LRUCache

from backend.core.errors import ArtefactError, BadInputError, MissingExtraError
from backend.core.types import FloatArray

BATCH = 32  # pairs computed at once
MAX_TOKENS = 512  # of text and passage together: what cross-encoders of this size were trained to read
MAX_CHARACTERS = 800  # of each side, about 200 tokens: the subject stands at the beginning, and no library cuts more
CACHE_PAIRS = 200_000  # relevances kept: those of 10,000 texts with 20 candidates, about 30 MB
INSTALL = "pip install 'prelabel[rerankers]'"
UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError)  # a folder that is no such model

Pair = tuple[str, str]  # a text, a passage


class Engine(Protocol):
    """A loaded cross-encoder; not required to be thread-safe."""

    def logits(self, pairs: Sequence[Pair]) -> FloatArray:
        """(n_pairs,), any real; larger is more relevant."""
        ...


@dataclass(frozen=True)
class LoadedReranker:
    """A loaded cross-encoder behind a lock and a cache by pair."""

    engine: Engine
    cache: LRUCache[bytes, float] = field(default_factory=lambda: LRUCache(CACHE_PAIRS), repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def relevance(self, pairs: Sequence[Pair]) -> FloatArray:
        """(n_pairs,), 0-1. Each pair is computed once as long as the cache holds it."""
        clipped = [(_readable(text), _readable(passage)) for text, passage in pairs]
        keys = [_key(pair) for pair in clipped]
        with self._lock:
            missing = {key: pair for key, pair in zip(keys, clipped, strict=True) if key not in self.cache}
            computed = sigmoid(self.engine.logits(list(missing.values()))).tolist() if missing else []
            fresh = dict(zip(missing, computed, strict=True))
            found = [fresh[key] if key in fresh else self.cache[key] for key in keys]
            self.cache.update(fresh)
        return np.array(found, np.float32)


def sigmoid(logits: FloatArray) -> FloatArray:
    """1 / (1 + exp(-logit)), without overflow at either end."""
    small = np.exp(-np.abs(logits.astype(np.float64)))
    return np.asarray(np.where(logits >= 0, 1.0 / (1.0 + small), small / (1.0 + small)), np.float32)


def _readable(text: str) -> str:
    """The beginning of a text, without NUL and half characters, which tokenisers refuse."""
    return text[:MAX_CHARACTERS].replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def _key(pair: Pair) -> bytes:
    return hashlib.blake2b("\0".join(pair).encode("utf-8"), digest_size=16).digest()


@dataclass(frozen=True)
class SentenceTransformersEngine:
    """A cross-encoder as sentence-transformers loads it."""

    model: Any

    def logits(self, pairs: Sequence[Pair]) -> FloatArray:
        from torch.nn import Identity

        found = self.model.predict(list(pairs), batch_size=BATCH, activation_fn=Identity(), show_progress_bar=False)
        return np.asarray(found, np.float32).reshape(len(pairs))


@dataclass(frozen=True)
class FlagEmbeddingEngine:
    """A cross-encoder as FlagEmbedding loads it."""

    model: Any

    def logits(self, pairs: Sequence[Pair]) -> FloatArray:
        parts = [  # it draws a progress bar where it is given as much as a batch
            self.model.compute_score(list(pairs[start : start + BATCH]), batch_size=BATCH + 1, normalize=False)
            for start in range(0, len(pairs), BATCH)
        ]
        return np.concatenate([np.asarray(part, np.float32).reshape(-1) for part in parts])


def load_cross_encoder(path: Path, *, max_tokens: int = MAX_TOKENS) -> LoadedReranker:
    """Load a sequence classifier with one logit by sentence-transformers.

    Raises:
        ArtefactError: the folder cannot be loaded, or the model has several logits.
    """
    from sentence_transformers import CrossEncoder  # seconds to import: only who reranks pays
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # it would write on the standard error of every command
    try:
        model = CrossEncoder(str(path), device="cpu", local_files_only=True, max_length=max_tokens)
    except UNREADABLE as err:
        raise unusable(path) from err
    if model.num_labels != 1:
        raise ArtefactError(f"{path} must be a cross-encoder with one logit, has {model.num_labels}; name another")
    return LoadedReranker(SentenceTransformersEngine(model))


def load_flag_reranker(path: Path, *, max_tokens: int = MAX_TOKENS) -> LoadedReranker:
    """Load a sequence classifier with one logit by FlagEmbedding.

    Raises:
        MissingExtraError: FlagEmbedding is not installed.
        ArtefactError: the folder cannot be loaded, or the model has several logits.
    """
    try:
        library = importlib.import_module("FlagEmbedding")
    except ImportError as err:
        raise MissingExtraError(f"this reranker needs FlagEmbedding, which is not installed; run `{INSTALL}`") from err
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = library.FlagReranker(str(path), use_fp16=False, devices="cpu", max_length=max_tokens, normalize=False)
    except UNREADABLE as err:
        raise unusable(path) from err
    n_logits = int(model.model.config.num_labels)
    if n_logits != 1:
        raise ArtefactError(f"{path} must be a cross-encoder with one logit, has {n_logits}; name another")
    return LoadedReranker(FlagEmbeddingEngine(model))


def unusable(path: Path) -> ArtefactError:
    return ArtefactError(f"{path} must be a cross-encoder, but cannot be loaded; run `prelabel models fetch`")


LOADERS: dict[str, Callable[..., LoadedReranker]] = {
    "cross-encoder": load_cross_encoder,
    "flag-reranker": load_flag_reranker,
}


def load_reranker(kind: str, path: Path, options: Mapping[str, Any]) -> LoadedReranker:
    """Load a cross-encoder of a kind that a profile names.

    Raises:
        BadInputError: the profile names another kind or an option that does not exist.
        ArtefactError: the folder cannot be loaded.
        MissingExtraError: the library that loads it is not installed.
    """
    unknown = options.keys() - {"max_tokens"}
    if kind not in LOADERS or unknown:
        raise BadInputError(
            f"a reranker must be of kind none, {', '.join(LOADERS)} with the option max_tokens at most, "
            f"was {kind} with {sorted(unknown)}; correct the profile"
        )
    return LOADERS[kind](path, **options)

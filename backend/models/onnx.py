"""Embedders by ONNX Runtime: a graph and a tokeniser, nothing else of the model's framework.

Decides how texts become the graph's inputs and its output a vector; where the graph comes from is others' business.
"""

import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from backend.core.errors import ArtefactError, MissingExtraError
from backend.core.types import FloatArray
from backend.models.windows import windows_of

BATCH = 32  # texts split into tokens at once
RUN_TOKENS = 2_048  # computed at once, padding included: attention takes 100 MB for four texts of 512, 800 MB for 32
CHARACTERS_A_TOKEN = 8  # more than any ordinary text has: clipping by it loses nothing a model would read
PADDINGS = ("[PAD]", "<pad>")  # XLM-R counts positions from the first token that is not this one
INSTALL = "pip install onnxruntime"
LEAST_NORM = 1e-12

Part = tuple[slice, slice]  # texts, and their tokens up to the longest text's last


@dataclass(frozen=True)
class OnnxEngine:
    """A session and its tokeniser; not thread-safe, since a tokeniser's padding is its state."""

    session: Any
    tokenizer: Any
    inputs: frozenset[str]  # that the graph takes
    pooling: str  # mean, or cls: the first token's
    max_tokens: int
    prefix: str = ""
    layers: tuple[int, ...] = ()  # whose vectors stand beside the last one's

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n_texts, dim); each layer's part has unit length."""
        clipped = [self.prefix + text[: self.max_tokens * CHARACTERS_A_TOKEN] for text in texts]
        return np.concatenate([self._batch(clipped[start : start + BATCH]) for start in range(0, len(texts), BATCH)])

    def windows(self, text: str) -> list[str]:
        return windows_of(text, n_tokens=self._n_tokens, max_tokens=self.max_tokens)

    def _n_tokens(self, text: str) -> int:
        """With those that are cut off."""
        read = self.tokenizer.encode(self.prefix + text)
        return len(read.ids) + sum(len(rest.ids) for rest in read.overflowing)

    def _batch(self, texts: Sequence[str]) -> FloatArray:
        read = self.tokenizer.encode_batch(list(texts))
        columns = {
            "input_ids": [one.ids for one in read],
            "attention_mask": [one.attention_mask for one in read],
            "token_type_ids": [one.type_ids for one in read],
        }
        feed = {name: np.array(rows, np.int64) for name, rows in columns.items() if name in self.inputs}
        mask = np.array(columns["attention_mask"])
        return np.concatenate([self._run(feed, mask, part) for part in parts_of(mask)])

    def _run(self, feed: Mapping[str, Any], mask: Any, part: Part) -> FloatArray:
        states = self.session.run(None, {name: rows[part] for name, rows in feed.items()})
        pooled = [
            state[:, 0] if self.pooling == "cls" else mean(state, mask[part])
            for state in states[: 1 + len(self.layers)]
        ]
        return side_by_side(pooled)


def parts_of(mask: Any) -> Iterator[Part]:
    """What of a padded batch is computed at once, of its mask (n_texts, n_tokens), 1 for tokens, which stand first."""
    n_texts = max(1, RUN_TOKENS // mask.shape[1])
    for start in range(0, len(mask), n_texts):
        rows = slice(start, start + n_texts)
        yield rows, slice(0, int(mask[rows].sum(axis=1).max()))


def side_by_side(pooled: Sequence[FloatArray]) -> FloatArray:
    """(n_texts, dim * n_layers) of a vector a layer, each scaled to unit length."""
    parts = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), LEAST_NORM) for part in pooled]
    return np.asarray(np.concatenate(parts, axis=1), np.float32)


def mean(tokens: FloatArray, mask: Any) -> FloatArray:
    """(n_texts, dim), of (n_texts, n_tokens, dim) over the tokens that are not padding."""
    weights = mask[:, :, None].astype(np.float32)
    return np.asarray((tokens * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0), np.float32)


def load_engine(
    path: Path, *, file: str, pooling: str, max_tokens: int, prefix: str = "", layers: tuple[int, ...] = ()
) -> OnnxEngine:
    """Load `file` and tokenizer.json of a folder.

    Args:
        layers: whose tokens the graph yields after the last layer's, in this order.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        ArtefactError: the folder cannot be loaded, or its graph yields no vector a token.
    """
    session = open_session(path / file)
    tokenizer = open_tokenizer(path / "tokenizer.json", max_tokens)
    engine = OnnxEngine(
        session, tokenizer, frozenset(one.name for one in session.get_inputs()), pooling, max_tokens, prefix, layers
    )
    outputs = [len(one.shape) for one in session.get_outputs()][: 1 + len(layers)]
    if outputs != [3] * (1 + len(layers)):
        raise ArtefactError(f"{path / file} must yield a vector a token first, but does not; name another graph")
    return engine


def open_session(graph: Path | bytes, weights: Mapping[str, FloatArray] | None = None) -> Any:
    """Of a file, or of a model in memory.

    Args:
        weights: of a model that names them and does not hold them; the session takes its own copy.
    """
    runtime = onnx_runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors only: it warns on standard error about machines that it does not know
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads give the cores to others
    options.enable_cpu_mem_arena = False  # it never gives back what the longest texts took once: a GB and more
    if weights:
        values = [runtime.OrtValue.ortvalue_from_numpy(weight) for weight in weights.values()]
        options.add_external_initializers(list(weights), values)
    try:
        source = str(graph) if isinstance(graph, Path) else graph
        return runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as err:
        named = graph if isinstance(graph, Path) else "a graph in memory"
        raise ArtefactError(
            f"{named} must be an ONNX graph, but cannot be loaded; run `prelabel models fetch`"
        ) from err


def onnx_runtime() -> ModuleType:
    """ONNX Runtime, which calls its maker from 1.29 on unless it is told not to before it is loaded.

    Raises:
        MissingExtraError: it is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as err:
        raise MissingExtraError(f"this embedder needs ONNX Runtime, which is not installed; run `{INSTALL}`") from err


def open_tokenizer(path: Path, max_tokens: int) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as err:
        raise ArtefactError(f"{path} must be a tokeniser, but cannot be loaded; run `prelabel models fetch`") from err
    padding = next((token for token in PADDINGS if tokenizer.token_to_id(token) is not None), None)
    if padding is None:
        raise ArtefactError(f"{path} must know one of the tokens {', '.join(PADDINGS)}, but does not; name another")
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(padding), pad_token=padding)
    return tokenizer

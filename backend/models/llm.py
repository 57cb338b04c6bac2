"""A local language model that says how likely each of several answers is after a text.

Decides how tokens are batched and remembered; knows nothing of labels, prompts or what the answers mean.
Every answer ends with a newline token, so that "card" does not win over "card_lost" by being its beginning.
"""

import atexit
import ctypes
import importlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backend.core.errors import ArtefactError, BadInputError, MissingExtraError, OutsideError
from backend.core.types import FloatArray

N_CTX = 2048  # tokens in memory at once: the frame, one text, and a batch of its answers
N_THREADS = 2  # a laptop's share; more would contend with the embedder
MAX_TEXT_TOKENS = 256  # per text: its subject stands at its beginning, and time grows with length
MAX_ANSWER_TOKENS = 48  # per answer: longer names differ within that
MAX_ANSWERS = 14  # scored in one batch; more take turns
CHARS_PER_TOKEN = 16  # characters looked at per token that is kept; ordinary text has about 4
PIECE_BYTES = 512  # of one token; the longest of a vocabulary are runs of blanks
BATCH_MULTIPLE = 4  # llama.cpp rounds differently in other batch shapes, and scores would move with them
PREFIX, TEXT, PADDING, ANSWERS = 0, 1, 2, 3  # sequence ids; from ANSWERS on one for each answer
INSTALL = "pip install llama-cpp-python"


@dataclass(frozen=True, slots=True)
class Scored:
    """How likely each answer is after one text."""

    logprobs: FloatArray  # (n_answers,), nats: the sum over the answer's tokens and the newline that ends it
    tokens: int  # evaluated for this text; the constant beginning is not counted


@dataclass(frozen=True, slots=True)
class Token:
    """One row of a batch."""

    id: int
    position: int
    sequence: int
    output: bool = False  # whether the distribution after it is wanted


class LlamaModel:
    """A GGUF file and its context, which one thread uses at a time.

    What stands before the texts stays evaluated from call to call. Scores are the same for the same text and the same
    answers in the same order; in other company a quantised model's answer moves by a few tenths, since sums are then
    added up in another order and activations are rounded to eight bits.
    """

    def __init__(self, path: Path, *, n_ctx: int = N_CTX, n_threads: int = N_THREADS) -> None:
        """Load a model; takes about a second per GB.

        Raises:
            MissingExtraError: llama-cpp-python is not installed.
            ArtefactError: llama.cpp cannot load the file.
        """
        self.name = path.stem
        self._context = Context(path, n_ctx=n_ctx, n_threads=n_threads)
        self._lock = threading.Lock()
        self._remembered: list[int] = []
        self._s_per_token = 0.0  # halfway between the last text's speed and what was believed before
        self._newline = self._context.tokenise("\n")[-1]

    def score(
        self,
        before: str,
        after: str,
        texts: Sequence[str],
        answers: Sequence[Sequence[str]],
        *,
        timeout_s: float = threading.TIMEOUT_MAX,
    ) -> list[Scored]:
        """How likely each text's own answers are, in order.

        Texts and answers are clipped to MAX_TEXT_TOKENS and MAX_ANSWER_TOKENS; control tokens spelled out in them are
        ordinary characters. Costs about one evaluation of each text and of its answers.

        Args:
            before: what precedes every text; evaluated once and kept. Ours: control tokens in it take effect.
            after: what stands between a text and its answer; ours, not empty.
            timeout_s: how long to wait for other threads, which may be using the model.

        Raises:
            BadInputError: nothing comes after the text, or no room is left for texts and answers.
            OutsideError: llama.cpp could not evaluate, or the model was busy for too long.
        """
        beginning = self._context.tokenise(before, ours=True, first=True)
        ending = self._context.tokenise(after, ours=True)
        if not ending:
            raise BadInputError("a prompt must go on after the text, but ends with it; add what precedes the answer")
        if not self._lock.acquire(timeout=min(timeout_s, threading.TIMEOUT_MAX)):
            raise OutsideError(f"the model must be free within {timeout_s:.1f} s, but is busy; ask again later")
        try:
            self._remember(beginning, reserved=len(ending))
            return [self._score_text(text, ending, names) for text, names in zip(texts, answers, strict=True)]
        finally:
            self._lock.release()

    def expected_s(self, after: str, text: str, answers: Sequence[str]) -> float:
        """Seconds that scoring one text will take, from the speed seen so far; 0 before anything was scored."""
        n_answers = sum(min(len(self._context.tokenise(answer)), MAX_ANSWER_TOKENS) for answer in answers)
        n_text = min(len(self._context.tokenise(text)), MAX_TEXT_TOKENS)
        return self._s_per_token * (n_text + len(self._context.tokenise(after, ours=True)) + n_answers)

    def _remember(self, beginning: list[int], *, reserved: int) -> None:
        room = self._context.n_ctx - MAX_TEXT_TOKENS - MAX_ANSWERS * MAX_ANSWER_TOKENS - reserved - 2 * BATCH_MULTIPLE
        if len(beginning) > room:
            raise BadInputError(f"a prompt must leave room for text and answers: {room} tokens, was {len(beginning)}")
        if beginning == self._remembered:
            return
        self._remembered = []
        self._context.forget(PREFIX)
        self._context.decode([Token(token, i, PREFIX) for i, token in enumerate(beginning)])
        self._remembered = beginning

    def _score_text(self, text: str, ending: list[int], answers: Sequence[str]) -> Scored:
        """One text's answers, leaving nothing but the remembered beginning behind."""
        since = time.monotonic()
        tokens = [*self._context.tokenise(text)[:MAX_TEXT_TOKENS], *ending]
        rows = [self._context.tokenise(name)[:MAX_ANSWER_TOKENS] or [self._newline] for name in answers]
        start, end = len(self._remembered), len(self._remembered) + len(tokens)
        question = [Token(token, i, TEXT, output=i == end - 1) for i, token in enumerate(tokens, start)]
        try:
            self._context.copy(PREFIX, TEXT)
            (after_text,) = self._context.decode(question)
            first = log_probs(after_text, [row[0] for row in rows])
            turns = (rows[i : i + MAX_ANSWERS] for i in range(0, len(rows), MAX_ANSWERS))
            rest = [score for turn in turns for score in self._score_rest(turn, end)]
        finally:
            self._context.forget(TEXT)
        n_tokens = len(tokens) + sum(map(len, rows))
        self._s_per_token = (self._s_per_token + (time.monotonic() - since) / n_tokens) / (
            2 if self._s_per_token else 1
        )
        return Scored(first + np.asarray(rest, dtype=np.float32), n_tokens)

    def _score_rest(self, answers: Sequence[Sequence[int]], start: int) -> list[float]:
        """Log-probabilities of all of each answer but its first token, in one batch."""
        sequences = range(ANSWERS, ANSWERS + len(answers))
        batch = [
            Token(token, i, sequence, output=True)
            for sequence, answer in zip(sequences, answers, strict=True)
            for i, token in enumerate(answer, start)
        ]
        try:
            for sequence in sequences:
                self._context.copy(TEXT, sequence)
            rows = iter(self._context.decode(batch))
            return [
                sum(float(log_probs(next(rows), [target])[0]) for target in (*answer[1:], self._newline))
                for answer in answers
            ]
        finally:
            for sequence in sequences:
                self._context.forget(sequence)


def log_probs(logits: FloatArray, targets: Sequence[int]) -> FloatArray:
    """Log-probabilities (n_targets,) of some tokens from logits (n_vocab,)."""
    top = logits.max()
    picked: FloatArray = logits[list(targets)] - (top + np.log(np.exp(logits - top).sum()))
    return picked


class Context:
    """The seam to llama.cpp: tokens in, logits out, sequences copied and forgotten. Not thread-safe."""

    def __init__(self, path: Path, *, n_ctx: int, n_threads: int) -> None:
        self._lib = silent_llama_cpp()
        self.n_ctx = n_ctx
        self._model = self._load(path)
        self._context = self._open(n_ctx, n_threads)
        self._batch = self._lib.llama_batch_init(n_ctx, 0, 1)
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
        settings.n_seq_max = ANSWERS + MAX_ANSWERS
        settings.n_threads = settings.n_threads_batch = n_threads
        settings.flash_attn_type = self._lib.LLAMA_FLASH_ATTN_TYPE_DISABLED  # else scores move with the batch shape
        settings.kv_unified = True  # sequences share the prefix's cells instead of n_ctx / n_seq_max each
        context = self._lib.llama_init_from_model(self._model, settings)
        if not context:
            self._lib.llama_model_free(self._model)
            raise ArtefactError(f"llama.cpp must open a context of {n_ctx} tokens, but did not; free some memory")
        return context

    def tokenise(self, text: str, *, ours: bool = False, first: bool = False) -> list[int]:
        """Tokens of a text; only in texts of `ours` control tokens take effect.

        Others are cut to CHARS_PER_TOKEN characters per token that can be kept, since the tokeniser is slow.
        """
        data = (text if ours else text[: CHARS_PER_TOKEN * MAX_TEXT_TOKENS]).encode("utf-8", errors="replace")
        tokens = (self._lib.llama_token * (len(data) + 2))()
        found = self._lib.llama_tokenize(self._vocab, data, len(data), tokens, len(tokens), first, ours)
        return list(tokens[: max(found, 0)])

    def decode(self, tokens: Sequence[Token]) -> list[FloatArray]:
        """Evaluate and return the logits (n_vocab,) after each output token, in order; valid until the next call.

        Raises:
            OutsideError: llama.cpp could not.
        """
        if not tokens:
            return []
        padding = [Token(tokens[0].id, i, PADDING) for i in range(-len(tokens) % BATCH_MULTIPLE)]
        self._fill([*tokens, *padding])
        failed = self._lib.llama_decode(self._context, self._batch)
        self.forget(PADDING)
        if failed:
            raise OutsideError(f"llama.cpp must evaluate {len(tokens)} tokens, but returned {failed}; free some memory")
        return [self._logits(i) for i, token in enumerate(tokens) if token.output]

    def _fill(self, tokens: Iterable[Token]) -> None:
        batch = self._batch
        for i, token in enumerate(tokens):
            batch.token[i] = token.id
            batch.pos[i] = token.position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = token.sequence
            batch.logits[i] = token.output
            batch.n_tokens = i + 1

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

    def copy(self, source: int, target: int) -> None:
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def forget(self, sequence: int) -> None:
        self._lib.llama_memory_seq_rm(self._memory, sequence, -1, -1)


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

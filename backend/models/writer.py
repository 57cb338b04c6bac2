"""A local language model that goes on with a text, up to the end of the line.

Always takes the likeliest token, so that the same beginning gives the same words. Knows nothing of labels or prompts.
"""

from pathlib import Path

from backend.core.errors import BadInputError
from backend.models.llm import BATCH_MULTIPLE, LEAVES, N_CTX, N_THREADS, TRUNK, Context
from backend.models.trie import Node

MAX_WRITTEN_TOKENS = 64  # a sentence or two


class LlamaWriter:
    """A GGUF file and its context, for one thread."""

    def __init__(self, path: Path, *, n_ctx: int = N_CTX, n_threads: int = N_THREADS) -> None:
        """Load a model; takes about a second per GB.

        Raises:
            MissingExtraError: llama-cpp-python is not installed.
            ArtefactError: llama.cpp cannot load the file.
        """
        self.name = path.stem
        self._context = Context(path, n_ctx=n_ctx, n_threads=n_threads)
        self._remembered: tuple[int, ...] = ()

    def write(self, before: str, asked: str) -> str:
        """One line of at most MAX_WRITTEN_TOKENS, without blanks around it; it may be empty, or break off.

        Args:
            before: evaluated once and kept. Ours: control tokens in it take effect.
            asked: what differs from call to call, a few thousand characters; control tokens spelled out in it are
                ordinary characters.

        Raises:
            BadInputError: both are too long for the model's context.
            OutsideError: llama.cpp could not evaluate.
        """
        beginning = self._context.tokenise(before, ours=True, first=True)
        tokens = self._context.tokenise(asked)
        room = self._context.n_ctx - MAX_WRITTEN_TOKENS - 2 * BATCH_MULTIPLE
        if not tokens or len(beginning) + len(tokens) > room:
            raise BadInputError(
                f"a prompt must have 1 to {room} tokens, was {len(beginning)} and {len(tokens)}; shorten it"
            )
        self._remember(beginning)
        try:
            self._context.copy(TRUNK, LEAVES)
            return self._line(tokens)
        finally:
            self._context.forget(LEAVES)

    def _remember(self, beginning: tuple[int, ...]) -> None:
        if beginning == self._remembered:
            return
        self._remembered = ()
        self._context.forget(TRUNK)
        self._context.decode([Node(token, i, [TRUNK]) for i, token in enumerate(beginning)])
        self._remembered = beginning

    def _line(self, tokens: tuple[int, ...]) -> str:
        """What the likeliest tokens spell after those given, up to a line break."""
        place, written = len(self._remembered), b""
        for _ in range(MAX_WRITTEN_TOKENS):
            last = place + len(tokens) - 1
            (logits,) = self._context.decode(
                [Node(token, i, [LEAVES], output=i == last) for i, token in enumerate(tokens, place)]
            ).values()
            place, tokens = last + 1, (int(logits.argmax()),)
            written += self._context.spelled(tokens[0])
            if self._context.ends(tokens[0]) or b"\n" in written.lstrip():
                break
        return written.decode("utf-8", errors="ignore").strip().partition("\n")[0].strip()

"""Windows: a text that a model cannot read at once, as overlapping pieces that it can.

A text that fits stays whole, so that its vector is what it always was.
"""

from collections.abc import Callable

WINDOW = 300  # characters: in longer windows one sentence drowns (found with 250, 500 and 1,000, in two languages)
OVERLAP = 40  # characters: half a sentence, so that none is only ever read in halves


def windows_of(text: str, *, n_tokens: Callable[[str], int], max_tokens: int) -> list[str]:
    """The text itself where the model reads it whole, else pieces of at most WINDOW characters, in order.

    Args:
        n_tokens: how many tokens the model makes of a text, its own marks included.
        max_tokens: that it reads at once.
    """
    if len(text) < max_tokens // 2 or n_tokens(text) <= max_tokens:  # no text here has two tokens a character
        return [text]
    pieces, start = [], 0
    while start < len(text):
        end = _end(text, start)
        pieces.append(text[start:end])
        if end == len(text):
            break
        start = _next_start(text, start, end)
    return pieces


def _end(text: str, start: int) -> int:
    """Where a window ends: after a sentence or else a word, if one ends in its second half."""
    end = start + WINDOW
    if end >= len(text):
        return len(text)
    half = start + WINDOW // 2
    sentences = [at + 1 for sign in ".!?…;" if (at := text.rfind(f"{sign} ", half, end)) >= 0]
    space = text.rfind(" ", half, end)
    return max(sentences) if sentences else (space if space >= 0 else end)


def _next_start(text: str, start: int, end: int) -> int:
    """OVERLAP characters back, at the beginning of a word where there is one."""
    space = text.find(" ", end - OVERLAP, end)
    return max(start + 1, space + 1 if space >= 0 else end - OVERLAP)

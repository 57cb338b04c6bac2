"""Texts that show what a collection of texts is about: near its middle, and not one like the other."""

from collections.abc import Sequence

import numpy as np

from backend.core.types import FloatArray
from training.splits import group_of

ALIKE = 0.5  # weight of being like what was taken already, against being near the middle (Carbonell, Goldstein 1998)


def typical(texts: Sequence[str], units: FloatArray, *, k: int) -> tuple[str, ...]:
    """Up to k texts, the most central first; none says what another says.

    Args:
        units: (n_texts, dim), the texts' vectors, of unit length.
    """
    if not len(texts):
        return ()
    middle = units.mean(axis=0)
    central = units @ (middle / max(float(np.linalg.norm(middle)), 1e-9))
    taken: dict[str, int] = {}
    said = [group_of(text) for text in texts]
    like = np.zeros(len(texts), np.float32)  # the most that a text is like one of those taken
    open_ = np.ones(len(texts), np.bool_)
    while open_.any() and len(taken) < k:
        row = int(np.where(open_, central - ALIKE * like, -np.inf).argmax())
        taken[said[row]] = row
        like = np.maximum(like, units @ units[row])
        open_ &= np.array([each != said[row] for each in said])
    return tuple(texts[row] for row in taken.values())

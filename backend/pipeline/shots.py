"""Shots: which accepted examples a voter is shown before a text.

All texts whose likeliest label is of one neighbourhood are shown the same examples, a typical one of each label there:
a model reads them once for all of these texts, and those are the labels that such a text can be mistaken for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from backend.core.types import FloatArray, IntArray, LabelSpace
from backend.pipeline.question import Shot, spoken

N_SHOTS = 8  # a prompt: more cost a small model more attention than they tell it


@dataclass(frozen=True)
class ShotBook:
    """The examples to show, by the column of a text's likeliest label."""

    pages: tuple[tuple[Shot, ...], ...] = ()  # of each neighbourhood, the least typical first; empty without examples
    ids: frozenset[str] = frozenset()  # of all examples that are shown
    page_of: tuple[int, ...] = field(default=(), repr=False)  # by column

    def shots(self, column: int) -> tuple[Shot, ...]:
        """What is shown before a text whose likeliest label is that of the column."""
        return self.pages[self.page_of[column]] if column < len(self.page_of) else ()

    @classmethod
    def of(
        cls, space: LabelSpace, labels: FloatArray, ids: Sequence[str], texts: Sequence[str], columns: IntArray,
        vectors: FloatArray,
    ) -> "ShotBook":  # fmt: skip
        """From all that an index holds.

        Args:
            labels: (n_labels, dim), of the labels' own words, for labels without an example.
            ids: of the examples; `texts`, cleaned, `columns` and `vectors` (n_examples, dim) in the same order.
        """
        places = np.array(labels, np.float32)
        for column in np.unique(columns[columns < len(space)]):
            places[column] = vectors[columns == column].mean(axis=0)
        pages, shown, page_of = [], [], [0] * len(space)
        for page, hood in enumerate(neighbourhoods(places, N_SHOTS)):
            typical = [_typical(column, hood, columns, vectors) for column in hood]
            rows = [of[at] for at in reversed(range(N_SHOTS)) for of in typical if at < len(of)]
            pages.append(tuple(Shot(texts[row], spoken(space.labels[columns[row]].name)) for row in rows))
            shown += [ids[row] for row in rows]
            for column in hood:
                page_of[column] = page
        return cls(tuple(pages), frozenset(shown), tuple(page_of))


def neighbourhoods(places: FloatArray, size: int) -> list[list[int]]:
    """Rows in groups of at most `size` that lie near each other: parted along the widest direction, again and again.

    As few groups as there can be, of sizes that differ by one at most.
    """
    if not len(places):
        return []
    found: list[list[int]] = []
    open_: list[IntArray] = [np.arange(len(places))]
    while open_:
        rows = open_.pop()
        if len(rows) <= size:
            found.append(rows.tolist())
            continue
        spread = places[rows] - places[rows].mean(axis=0)
        along = spread @ np.linalg.svd(spread, full_matrices=False)[2][0]
        order = rows[np.argsort(along, kind="stable")]
        n_groups = -(-len(rows) // size)
        cut = -(-len(rows) * (n_groups // 2) // n_groups)
        open_ += [order[cut:], order[:cut]]
    return found


def _typical(column: int, hood: Sequence[int], columns: IntArray, vectors: FloatArray) -> list[int]:
    """The examples of a label that are nearest to its mean, nearest first: its part of the page, at least one."""
    rows = np.flatnonzero(columns == column)
    if not len(rows):
        return []
    n_known = len(np.intersect1d(hood, columns))
    nearness = vectors[rows] @ vectors[rows].mean(axis=0)
    typical: list[int] = rows[np.argsort(-nearness, kind="stable")[: max(1, N_SHOTS // n_known)]].tolist()
    return typical

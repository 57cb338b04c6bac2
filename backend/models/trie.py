"""Prompts and answers as one tree of tokens: what several of them share is evaluated once, in one batch.

Knows tokens as numbers only. A path from the root is a prompt and one answer to it but its last token, after which
nothing is asked; each leaf is a sequence of its own, and a token belongs to the sequences of all leaves below it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

WORTH_A_SEAM = 16  # tokens that an earlier end of a batch must spare: less than what one more batch costs


@dataclass(frozen=True, slots=True)
class Query:
    """One prompt and its answers, in tokens."""

    prompt: tuple[int, ...]  # at least one
    answers: tuple[tuple[int, ...], ...]  # each at least one

    @property
    def n_nodes(self) -> int:
        """Of the answers alone, which share what they begin with."""
        return len({answer[:end] for answer in self.answers for end in range(1, len(answer))})

    @property
    def n_leaves(self) -> int:
        """Paths that begin no other one, at least one: the last token of an answer is on none."""
        paths = sorted({answer[:-1] for answer in self.answers} or {()})
        return sum(path != following[: len(path)] for path, following in pairwise(paths)) + 1


@dataclass(slots=True)
class Node:
    """One row of a batch."""

    id: int
    position: int
    sequences: list[int] = field(default_factory=list)
    output: bool = False  # whether the distribution after it is wanted


@dataclass(frozen=True, slots=True)
class Layout:
    """A batch, and where each answer lies in it."""

    nodes: tuple[Node, ...]
    places: tuple[tuple[tuple[int, ...], ...], ...]  # a query's answers: the node before each token
    new: tuple[int, ...]  # nodes that a query has and none before it had
    n_sequences: int


def layout(queries: Sequence[Query], *, skip: int, first_sequence: int) -> Layout:
    """The tree of some queries without the first `skip` tokens, which all of them share and memory holds.

    Args:
        skip: fewer than the shortest prompt has tokens.
        first_sequence: the first leaf's; the others follow.
    """
    nodes: list[Node] = []
    places: dict[tuple[int, int], tuple[int, ...]] = {}
    new = [0] * len(queries)
    sequence = first_sequence
    last_path: tuple[int, ...] = ()
    last_rows: list[int] = []
    for path, query, answer in sorted(_paths(queries, skip)):
        shared = common_length(path, last_path)
        if shared < len(last_path):  # else the last leaf goes on
            sequence += 1
        rows = [*last_rows[:shared], *range(len(nodes), len(nodes) + len(path) - shared)]
        nodes += [Node(token, position) for position, token in enumerate(path[shared:], skip + shared)]
        for row in rows:
            if sequence not in nodes[row].sequences[-1:]:
                nodes[row].sequences.append(sequence)
        places[query, answer] = tuple(rows[len(queries[query].prompt) - skip - 1 :])
        for row in places[query, answer]:
            nodes[row].output = True
        new[query] += len(path) - shared
        last_path, last_rows = path, rows
    by_query = tuple(tuple(places[at, n] for n in range(len(query.answers))) for at, query in enumerate(queries))
    return Layout(tuple(nodes), by_query, tuple(new), sequence + 1 - first_sequence if nodes else 0)


def _paths(queries: Sequence[Query], skip: int) -> Iterator[tuple[tuple[int, ...], int, int]]:
    for at, query in enumerate(queries):
        yield from (((*query.prompt[skip:], *answer[:-1]), at, n) for n, answer in enumerate(query.answers))


def batches(queries: Sequence[Query], *, max_tokens: int, room: int, max_leaves: int) -> Iterator[list[int]]:
    """Which queries go together: neighbours in the order of their tokens, as many as fit, at least one.

    A batch ends early where its last queries begin otherwise than those before them and like the next ones, which
    would evaluate that beginning again.

    Args:
        max_tokens: of a batch, without what all of it begins with, which is evaluated before.
        room: tokens of a batch with its beginning.
        max_leaves: of a batch.
    """
    order = sorted(range(len(queries)), key=lambda at: queries[at].prompt)
    ordered = [queries[at] for at in order]
    pairs = pairwise(query.prompt for query in ordered)
    shared = [0, *(common_length(one, other) for one, other in pairs)]  # what each begins with like the one before it
    start = 0
    while start < len(order):
        end = _extent(ordered, shared, start, max_tokens=max_tokens, room=room, max_leaves=max_leaves)
        if end < len(order):
            end = _seam(shared, start, end)
        yield order[start:end]
        start = end


def _extent(
    queries: Sequence[Query], shared: Sequence[int], start: int, *, max_tokens: int, room: int, max_leaves: int
) -> int:
    """Up to where the queries from `start` on find room in one batch: at least one."""
    size = beginning = leaves = 0
    for at in range(start, len(queries)):
        query, in_common = queries[at], shared[at] if at > start else 0
        size += len(query.prompt) + query.n_nodes - in_common
        beginning = min(beginning, in_common) if at > start else len(query.prompt) - 1
        leaves += query.n_leaves
        if at > start and (size > room or size - beginning > max_tokens or leaves > max_leaves):
            return at
    return len(queries)


def _seam(shared: Sequence[int], start: int, end: int) -> int:
    """Where a batch of the queries from `start` to `end` ends best: not before its middle."""
    places = range(end, start + (end - start) // 2, -1)
    least = min(shared[at] for at in places)
    return next(at for at in places if shared[at] < least + WORTH_A_SEAM)


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return min(len(one), len(other))


def shared_beginning(prompts: Sequence[tuple[int, ...]]) -> int:
    """How many tokens all of them begin with, at least one short of the shortest."""
    lowest, highest = min(prompts), max(prompts)
    return min(common_length(lowest, highest), min(map(len, prompts)) - 1)

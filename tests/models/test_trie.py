"""Prompts and answers as rows of a batch; tokens are numbers."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.models.trie import Layout, Query, batches, common_length, layout, shared_beginning

FIRST = 2  # sequence of the first leaf
TOKENS = st.integers(0, 3)  # few, so that much is shared
PROMPTS = st.lists(TOKENS, min_size=1, max_size=6).map(tuple)
ANSWERS = st.lists(st.lists(TOKENS, min_size=1, max_size=3).map(tuple), max_size=4).map(tuple)
QUERIES = st.lists(st.builds(Query, PROMPTS, ANSWERS), min_size=1, max_size=6)


def of(prompt: Sequence[int], *answers: Sequence[int]) -> Query:
    return Query(tuple(prompt), tuple(map(tuple, answers)))


def laid(queries: Sequence[Query], skip: int = 0) -> Layout:
    return layout(queries, skip=skip, first_sequence=FIRST)


def shared_by_all(queries: Sequence[Query]) -> int:
    return shared_beginning([query.prompt for query in queries])


def beginnings(query: Query, skip: int) -> set[tuple[int, ...]]:
    """Every path from the root to a node that one query alone would have."""
    whole = [(*query.prompt, *answer[:-1]) for answer in query.answers]
    return {path[:end] for path in whole for end in range(skip + 1, len(path) + 1)}


def test_what_prompts_and_answers_share_stands_in_a_batch_once() -> None:
    found = laid([of([1, 2], [5, 9], [5, 6, 9], [7, 9], [8]), of([1, 3], [5, 9])])
    assert [(node.id, node.position, node.sequences, node.output) for node in found.nodes] == [
        (1, 0, [2, 3, 4], False),
        (2, 1, [2, 3], True),
        (5, 2, [2], True),
        (6, 3, [2], True),
        (7, 2, [3], True),
        (3, 1, [4], True),
        (5, 2, [4], True),
    ]
    assert found.places == (((1, 2), (1, 2, 3), (1, 4), (1,)), ((5, 6),))
    assert found.new == (5, 2)
    assert found.n_sequences == 3


def test_after_an_answers_last_token_nothing_is_asked() -> None:
    found = laid([of([1, 2], [5], [6])])
    assert [(node.id, node.output) for node in found.nodes] == [(1, False), (2, True)]
    assert found.places == (((1,), (1,)),)


def test_what_memory_holds_stands_in_no_batch() -> None:
    found = laid([of([1, 2], [5, 9]), of([1, 3], [5, 9])], skip=1)
    assert [(node.id, node.position) for node in found.nodes] == [(2, 1), (5, 2), (3, 1), (5, 2)]
    assert found.places == (((0, 1),), ((2, 3),))


def test_answers_keep_their_places_whatever_the_order_of_their_tokens() -> None:
    found = laid([of([1], [9, 0], [4, 0], [9, 0])])
    ids = [[found.nodes[row].id for row in rows] for rows in found.places[0]]
    assert ids == [[1, 9], [1, 4], [1, 9]]


def test_a_query_without_answers_needs_no_rows() -> None:
    assert laid([of([1, 2])]) == Layout((), ((),), (0,), 0)


@given(QUERIES)
def test_no_two_rows_are_the_same_beginning(queries: list[Query]) -> None:
    skip = shared_by_all(queries)
    found = laid(queries, skip)
    assert len(found.nodes) == len(set[tuple[int, ...]]().union(*(beginnings(query, skip) for query in queries)))


@given(QUERIES)
def test_each_new_row_is_counted_for_one_query(queries: list[Query]) -> None:
    found = laid(queries, shared_by_all(queries))
    assert sum(found.new) == len(found.nodes)
    assert min(found.new) >= 0


@given(QUERIES)
def test_the_rows_of_a_sequence_spell_a_prompt_and_an_answer(queries: list[Query]) -> None:
    """Each such path is spelt by a sequence or begins one that is, and no sequence spells anything else."""
    skip = shared_by_all(queries)
    found = laid(queries, skip)
    spelt: dict[int, tuple[int, ...]] = {}
    for node in found.nodes:
        for sequence in node.sequences:
            path = spelt.get(sequence, ())
            assert node.position == skip + len(path)
            spelt[sequence] = (*path, node.id)
    wanted = {(*query.prompt[skip:], *answer[:-1]) for query in queries for answer in query.answers}
    assert set(spelt.values()) <= wanted
    assert all(any(path == whole[: len(path)] for whole in spelt.values()) for path in wanted)
    assert sorted(spelt) == list(range(FIRST, FIRST + found.n_sequences))


@given(QUERIES)
def test_an_answers_places_are_the_prompts_last_row_and_its_own(queries: list[Query]) -> None:
    found = laid(queries, shared_by_all(queries))
    outputs: set[int] = set()
    for query, places in zip(queries, found.places, strict=True):
        assert len(places) == len(query.answers)
        for answer, rows in zip(query.answers, places, strict=True):
            assert tuple(found.nodes[row].id for row in rows) == (query.prompt[-1], *answer[:-1])
            last = [found.nodes[row].position for row in rows]
            assert last == list(range(len(query.prompt) - 1, len(query.prompt) + len(answer) - 1))
            outputs.update(rows)
    assert outputs == {row for row, node in enumerate(found.nodes) if node.output}


@given(QUERIES)
def test_a_row_stands_after_the_rows_that_it_looks_at(queries: list[Query]) -> None:
    """Sequences of a row are also those of the row before it on the path."""
    seen: dict[int, set[int]] = {}
    skip = shared_by_all(queries)
    for node in laid(queries, skip).nodes:
        if node.position > skip:
            assert set(node.sequences) <= seen[node.position - 1]
        seen.setdefault(node.position, set()).update(node.sequences)


@given(QUERIES, st.integers(1, 30), st.integers(1, 30), st.integers(1, 8))
def test_batches_hold_every_query_once_within_all_limits(
    queries: list[Query], tokens: int, room: int, leaves: int
) -> None:
    found = list(batches(queries, max_tokens=tokens, room=room, max_leaves=leaves))
    assert sorted(at for batch in found for at in batch) == list(range(len(queries)))
    for batch in found:
        part = [queries[at] for at in batch]
        assert len(batch) == 1 or len(laid(part).nodes) <= room
        assert len(batch) == 1 or len(laid(part, shared_by_all(part)).nodes) <= tokens
        assert len(batch) == 1 or laid(part).n_sequences <= leaves


@given(QUERIES, st.integers(1, 30))
def test_batches_keep_prompts_together_that_begin_alike(queries: list[Query], tokens: int) -> None:
    found = batches(queries, max_tokens=tokens, room=99, max_leaves=99)
    order = [queries[at].prompt for batch in found for at in batch]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("case", "tokens", "room", "leaves", "found"),
    [
        ("room for all", 6, 7, 9, [[0, 1, 2]]),
        ("too many beside the beginning", 5, 7, 9, [[0, 1], [2]]),
        ("too many with it", 6, 6, 9, [[0, 1], [2]]),
        ("too many answers", 6, 7, 2, [[0, 1], [2]]),
    ],
)
def test_a_batch_that_has_room_for_the_next_query_takes_it(
    case: str, tokens: int, room: int, leaves: int, found: list[list[int]]
) -> None:
    queries = [of([1, 2], [5, 9]), of([1, 3], [5, 9]), of([1, 4], [5, 9])]
    assert list(batches(queries, max_tokens=tokens, room=room, max_leaves=leaves)) == found


def test_a_batch_ends_before_a_beginning_that_the_next_one_would_evaluate_again() -> None:
    pages = [[page, *range(20)] for page in (1, 2)]
    queries = [of([*page, 50 + at], [5, 9]) for page in pages for at in range(4)]
    found = list(batches(queries, max_tokens=54, room=99, max_leaves=99))
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_batch_ends_late_where_ending_early_spares_little() -> None:
    queries = [of([page, 7, 7, 50 + at], [5, 9]) for page in (1, 2) for at in range(4)]
    found = list(batches(queries, max_tokens=16, room=99, max_leaves=99))
    assert list(map(len, found)) == [5, 3]


def test_answers_of_one_token_take_no_leaf_each() -> None:
    queries = [of([1, at], *([5 + n] for n in range(9))) for at in range(4)]
    assert list(batches(queries, max_tokens=99, room=99, max_leaves=4)) == [[0, 1, 2, 3]]


def test_a_long_beginning_that_all_share_leaves_a_batch_its_size() -> None:
    queries = [of([*range(100), at], [5, 9]) for at in range(4)]
    assert list(batches(queries, max_tokens=8, room=200, max_leaves=9)) == [[0, 1, 2, 3]]


def test_a_query_that_no_batch_has_room_for_goes_alone() -> None:
    assert list(batches([of([1] * 9, [5]), of([2], [5])], max_tokens=3, room=3, max_leaves=1)) == [[0], [1]]


def test_no_queries_no_batches() -> None:
    assert list(batches([], max_tokens=9, room=9, max_leaves=9)) == []


@pytest.mark.parametrize(
    ("case", "one", "other", "length"),
    [
        ("none", [1], [2], 0),
        ("some", [1, 2], [1, 3], 1),
        ("one begins the other", [1], [1, 2], 1),
        ("empty", [], [], 0),
    ],
)
def test_a_common_beginning_is_measured(case: str, one: list[int], other: list[int], length: int) -> None:
    assert common_length(one, other) == common_length(other, one) == length


@pytest.mark.parametrize(
    ("case", "prompts", "length"),
    [
        ("one prompt", [(1, 2, 3)], 2),
        ("one begins the others", [(1, 2), (1, 2, 3), (1, 2, 4)], 1),
        ("they part", [(1, 2, 3), (1, 5, 3), (1, 2, 4)], 1),
        ("nothing", [(1, 2), (2, 2)], 0),
    ],
)
def test_what_all_prompts_share_leaves_each_a_token(case: str, prompts: list[tuple[int, ...]], length: int) -> None:
    assert shared_beginning(prompts) == length

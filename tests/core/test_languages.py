"""Which languages a person may name, and what is known of them."""

import pytest

from backend.core.errors import BadInputError
from backend.core.languages import checked_language, name_of, quality_of


@pytest.mark.parametrize(
    ("given", "kept"),
    [("", ""), ("de", "de"), ("deu", "de"), ("ger", "de"), ("tlh", "tlh"), ("mixed", "mixed")],
)
def test_a_code_is_kept_in_its_shortest_form(given: str, kept: str) -> None:
    assert checked_language(given, "--language") == kept


@pytest.mark.parametrize("given", ["xx", "German", "DE", "de-AT", "Ido"])
def test_what_is_no_code_is_refused_with_the_way_out(given: str) -> None:
    said = f"--language must be a code of ISO 639 such as en, ru, de or zh, or \"mixed\", was '{given}'; leave it empty"
    with pytest.raises(BadInputError) as caught:
        checked_language(given, "--language")
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("language", "name", "quality"),
    [
        ("de", "German", "measured"),
        ("fr", "French", "supported by the model"),
        ("tlh", "Klingon", "not supported: expect little"),
        ("und", "an unknown language", "not supported: expect little"),
        ("mixed", "several languages", "as well as each of them"),
    ],
)
def test_a_language_has_a_name_and_a_quality(language: str, name: str, quality: str) -> None:
    assert (name_of(language), quality_of(language, "embedded")) == (name, quality)


def test_what_was_measured_was_measured_with_one_profile() -> None:
    assert quality_of("de", "full") == "supported by the model"

"""Which language a project's texts are in."""

import pytest

from backend.pipeline.language import detect_language, language_of


@pytest.mark.parametrize(
    ("what", "texts", "language"),
    [
        ("nothing", [], "en"),
        ("digits only", ["123", "!"], "en"),
        ("English", ["where is it", "cancel"], "en"),
        ("Russian with brands", ["чехол для iPhone пришёл быстро", "чай хороший"], "ru"),
        ("both", ["where is it", "чай хороший"], "mixed"),
        ("one stray", ["чай"] + ["tea"] * 19, "en"),
    ],
)
def test_the_alphabet_of_most_texts_decides(what: str, texts: list[str], language: str) -> None:
    assert detect_language(texts) == language, what


def test_a_reason_speaks_the_language_of_its_text() -> None:
    assert (language_of("Купил Samsung Galaxy, доволен"), language_of("where is my order")) == ("ru", "en")

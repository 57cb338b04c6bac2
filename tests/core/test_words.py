"""What counts as a word of a text."""

import pytest

from backend.core.words import folded, pairs_of, words_of


@pytest.mark.parametrize(
    ("script", "text", "words"),
    [
        ("Latin", "l'été: reset 2 c3po", ["l", "été", "reset", "2", "c3po"]),
        ("Chinese, sign by sign", "我的 iPhone坏了", ["我", "的", "iPhone", "坏", "了"]),
        ("Japanese", "返金する", ["返", "金", "す", "る"]),
        ("Thai, signs with their marks", "ที่นี่", ["ที่", "นี่"]),
        ("Hindi, with its vowel signs", "हिन्दी में", ["हिन्दी", "में"]),
        ("Korean, which has spaces", "한국어 문장", ["한국어", "문장"]),
    ],
)
def test_a_script_is_cut_as_it_wants(script: str, text: str, words: list[str]) -> None:
    assert words_of(text) == words, script


def test_pairs_of_signs_stand_for_words_and_end_with_their_run() -> None:
    assert pairs_of("我的 iPhone坏了吗") == ["我的", "坏了", "了吗"]
    assert pairs_of("no sign here") == []


def test_an_arabic_word_is_written_one_way() -> None:
    assert folded("أُحِبُّ القِراءةَ إلـــى") == folded("احب القراءه الي")
    assert folded("été: reset") == "été: reset"

"""How a text that a model cannot read at once is parted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.models.windows import OVERLAP, WINDOW, windows_of

SENTENCE = "The courier came late and the soup was cold. "


def windows(text: str, max_tokens: int = 100) -> list[str]:
    return windows_of(text, n_tokens=lambda piece: len(piece.split()), max_tokens=max_tokens)


def test_a_text_that_fits_stays_whole() -> None:
    assert windows(SENTENCE * 10) == [SENTENCE * 10]
    assert windows("") == [""]


def test_a_window_ends_after_a_sentence_and_begins_with_a_word() -> None:
    parts = windows(SENTENCE * 100)
    assert all(part.rstrip().endswith(".") for part in parts)
    assert all((SENTENCE * 2).find(part[:10]) >= 0 and part[0] != " " for part in parts)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=WINDOW, max_size=3 * WINDOW))
def test_nothing_is_left_out_and_windows_overlap_by_little(text: str) -> None:
    parts = windows_of(text, n_tokens=len, max_tokens=50)
    at = 0
    for part in parts:
        assert 0 < len(part) <= WINDOW
        found = text.find(part, max(0, at - OVERLAP))
        assert found <= at
        at = found + len(part)
    assert at == len(text)


@pytest.mark.parametrize("text", ["x" * 6_000, "字" * 6_000, "слово " * 1_000, ". " * 3_000])
def test_their_number_is_bounded_whatever_the_text(text: str) -> None:
    assert len(windows_of(text, n_tokens=len, max_tokens=512)) <= 6_000 // (WINDOW // 2 - OVERLAP) + 1

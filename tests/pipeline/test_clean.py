"""What cleaning takes out of a text, and what it must leave."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pipeline.clean import MAX_CHARACTERS, clean

CASES = [
    ("nothing", "where is my order?", "where is my order?"),
    ("link", "see https://shop.example/a?b=1 now", "see now"),
    ("link without scheme", "see www.shop.example/a now", "see now"),
    ("tag", "<p>good <b>tea</b></p>", "good tea"),
    ("entity", "tea &amp; coffee&nbsp;shop", "tea & coffee shop"),
    ("tag as entities", "&lt;br&gt;tea", "tea"),
    ("comparison", "2 < 3 and 5 > 4", "2 < 3 and 5 > 4"),
    ("e-mail", "write to ann.lee+x@mail.example.com today", "write to today"),
    ("phone", "call +7 (912) 345-67-89 please", "call please"),
    ("price", "it cost 1500 in 2024", "it cost 1500 in 2024"),
    ("emoji, whatever its colour", "great👍🏽 tea ❤️", "great 👍 tea ❤"),
    ("flag and family", "🇷🇺 tea 👨‍👩‍👧", "🇷🇺 tea 👨 👩 👧"),
    ("a number in a box", "1\ufe0f\u20e3 tea", "1 tea"),
    ("a trade mark", "Tea® and Chai™", "Tea and Chai"),
    ("words in angle brackets", "<where is my parcel>", "where is my parcel"),
    ("words between words", "Subject <refund please> urgent", "Subject refund please urgent"),
    ("words that begin like a tag", "<a parcel is late>", "a parcel is late"),
    ("a place to fill in", "deliver to <address> today", "deliver to address today"),
    ("less and more around words", "if price <old price> 3", "if price old price 3"),
    ("an element with attributes", "<span class='x' data-y=\"1 > 0\">good</span> tea", "good tea"),
    ("an element of another's", "good<o:p></o:p> tea", "good tea"),
    ("an element that nothing closes", "good<BR />tea<img src=a.png>", "good tea"),
    ("a comment", "good <!-- a > b --> tea", "good tea"),
    ("a soft hyphen", "re\u00adfund", "refund"),
    ("a soft hyphen as an entity", "re&shy;fund", "refund"),
    (
        "signs of no width in words",
        "re\u200bfund can\u200dcel \u2060tea\ufeff",
        "refund cancel tea",
    ),
    ("a mark of direction", "\u200frefund\u202c", "refund"),
    ("wide letters", "ｒｅｆｕｎｄ　１２", "refund 12"),
    ("ligatures", "oﬃce ﬁne", "office fine"),
    ("letters of formulae", "𝐫𝐞𝐟𝐮𝐧𝐝", "refund"),
    ("quotes and dashes", "don’t say “tea” — «чай»…", 'don\'t say "tea" - "чай"...'),
    ("decomposed letters", "moи\u0306 e\u0301te\u0301", "moй été"),
    ("a number sign", "счёт № 5, 20 м²", "счёт № 5, 20 м²"),
    ("white space", " a\t\n b\u00a0c ", "a b c"),
    ("NUL", "a\0b", "a b"),
    ("Russian", "Чай хороший, ёмкость маленькая", "Чай хороший, ёмкость маленькая"),
]


@pytest.mark.parametrize(("raw", "cleaned"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_contact_data_and_markup_go_and_words_and_emoji_stay(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned


@given(st.text(max_size=300))
def test_no_text_makes_cleaning_fail_or_leaves_a_line_break(text: str) -> None:
    cleaned = clean(text)
    assert "\n" not in cleaned
    assert "\0" not in cleaned


@pytest.mark.parametrize("unit", ["a", "1 ", "<a ", "&lt;", "a.", "@a.", "<!--"])
def test_a_text_of_a_million_characters_is_read_from_its_beginning(unit: str) -> None:
    assert len(clean(unit * (1_000_000 // len(unit)))) <= MAX_CHARACTERS

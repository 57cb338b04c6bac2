"""Cleaning: what is left of a text for models to read.

A pure function with a version, because a model trained on texts cleaned one way must not read them
cleaned another. Takes out what carries no topic (links, markup, contact data, signs that nobody
sees), never words and never emoji, and writes alike what reads alike (quotes, wide letters).
"""

import html
import unicodedata
from collections.abc import Callable

import regex

from backend.core.reading import READ_CHARACTERS

CLEANING = 2  # raise it with any change of what `clean` returns; it stands in every model's manifest
MAX_CHARACTERS = 50_000  # far more than models read; a text of a megabyte must not cost seconds

ENDLESS_REFERENCE = regex.compile(r"&#[0-9]{4000,}+;?")  # a number that Python refuses to read
ORDINARY = regex.compile(r"[\t-\r -~\u00C0-\u00FF\u0410-\u044F\u0401\u0451]*+")  # reads as it is written
UNSEEN = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Emoji_Modifier}\u20E3]++")
CONTROL = regex.compile(r"[\p{Cc}\p{Cs}\p{Co}\p{Cn}]")
MARKS = regex.compile(r"(\p{M}{8})\p{M}++")  # no script puts more on a letter; sorting them is slow
# Wide letters, ligatures, letters of formulae, Roman numerals: each reads as plain letters do.
COMPATIBLE = regex.compile(
    r"[\uFF01-\uFFEE\uFB00-\uFDEF\uFE70-\uFEFC\U0001D400-\U0001D7FF\u2160-\u217F"
    r"\u0132\u0133\u01C4-\u01CC\u01F1-\u01F3]++"
)
SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u2032`\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        "\u2026": "...",
    }
)
EMOJI = regex.compile(
    r"\p{Regional_Indicator}{2}"
    r"|[[\p{Emoji_Presentation}\p{Extended_Pictographic}]--[\u00A9\u00AE\u2122\p{Regional_Indicator}]]",
    regex.V1,
)
TRADE_MARK = regex.compile(r"[\u00A9\u00AE\u2122]")
COMMENT = regex.compile(r"<!--.{0,2000}?-->", regex.DOTALL)
BRACKETED = regex.compile(r"<(/?)([a-zA-Z][\w:-]*+)((?:[^<>\"']++|\"[^\"<]*+\"|'[^'<]*+'){0,200}+)>")
ATTRIBUTES = regex.compile(r"(?:\s++[\w:@.-]++(?:\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|[^\s\"'=<>`]++)))++\s*+/?|\s*+/?")
CLOSED = regex.compile(r"</([a-zA-Z][\w:-]*+)")
# Elements that stand without an end; others are markup where the text closes them.
MARKUP = frozenset({"a", "b", "i", "p", "br", "dd", "dt", "hr", "li", "td", "th", "tr", "img", "wbr"})
URL = regex.compile(r"\b(?:https?|ftp)://\S+|\bwww\.\S+", regex.IGNORECASE)
EMAIL = regex.compile(r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
PHONE = regex.compile(r"(?<![\w.,])(?:\+|\b)\d(?:[\s()-]{0,2}\d){9,13}(?![\w])")
SPACE = regex.compile(r"\s+")


def clean(text: str) -> str:
    """One line without links, tags, addresses, phone numbers and unseen signs; never raises."""
    text = html.unescape(ENDLESS_REFERENCE.sub("\ufffd", text[:MAX_CHARACTERS]))
    text = _without_markup(plain(text))
    for pattern in (URL, EMAIL, CONTROL, PHONE):
        text = pattern.sub(" ", text)
    return SPACE.sub(" ", text).strip()


def plain(text: str) -> str:
    """A text in which what reads alike is written alike; emoji stand apart from words."""
    if ORDINARY.fullmatch(text):
        return text.replace("`", "'")
    text = MARKS.sub(r"\1", UNSEEN.sub("", text))
    text = COMPATIBLE.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    text = unicodedata.normalize("NFC", text).translate(SIGNS)
    return EMOJI.sub(r" \g<0> ", TRADE_MARK.sub(" ", text))


def _without_markup(text: str) -> str:
    """Without tags and comments; of other words in angle brackets the brackets alone go."""
    if "<" not in text:
        return text
    text = COMMENT.sub(" ", text)
    return BRACKETED.sub(_inner({name.lower() for name in CLOSED.findall(text)}), text)


def _inner(closed: set[str]) -> Callable[[regex.Match[str]], str]:
    """What stays of something in angle brackets, where the text closes these elements."""

    def inner(found: regex.Match[str]) -> str:
        closes, name, rest = found.groups()
        marks_up = closes or "=" in rest or name.lower() in MARKUP | closed
        return " " if marks_up and ATTRIBUTES.fullmatch(rest) else f" {name}{rest} "

    return inner


def share_cut(text: str) -> float:
    """Share of a text's end that no model reads, 0-1; links and markup left out."""
    if len(text) <= READ_CHARACTERS:
        return 0.0
    cleaned = clean(text)
    read = min(1.0, READ_CHARACTERS / max(len(cleaned), 1)) * min(1.0, MAX_CHARACTERS / len(text))
    return 1.0 - read

"""Cleaning: what is left of a text for models to read.

A pure function with a version, because a model trained on texts cleaned one way must not read them cleaned another.
Takes out what carries no topic (links, markup, contact data, emoji), never words.
"""

import html

import regex

from backend.core.reading import READ_CHARACTERS

CLEANING = 1  # raise it with any change of what `clean` returns; it stands in every model's manifest
MAX_CHARACTERS = 50_000  # far more than models read, and a text of a megabyte must not cost seconds

ENDLESS_REFERENCE = regex.compile(r"&#[0-9]{4000,}+;?")  # a number that Python refuses to read
TAG = regex.compile(r"<!--.{0,2000}?-->|</?[a-zA-Z][^<>]{0,1000}>", regex.DOTALL)
URL = regex.compile(r"\b(?:https?|ftp)://\S+|\bwww\.\S+", regex.IGNORECASE)
EMAIL = regex.compile(r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
PHONE = regex.compile(r"(?<![\w.,])(?:\+|\b)\d(?:[\s()-]{0,2}\d){9,13}(?![\w])")
EMOJI = regex.compile(
    r"[\p{Emoji_Presentation}\p{Extended_Pictographic}\p{Regional_Indicator}\p{Emoji_Modifier}\uFE0F\u200D\u20E3]"
)
CONTROL = regex.compile(r"[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}]")
SPACE = regex.compile(r"\s+")


def clean(text: str) -> str:
    """One line without links, tags, addresses, phone numbers, emoji and control characters; never raises."""
    text = html.unescape(ENDLESS_REFERENCE.sub("\ufffd", text[:MAX_CHARACTERS]))
    for pattern in (TAG, URL, EMAIL, EMOJI, CONTROL, PHONE):
        text = pattern.sub(" ", text)
    return SPACE.sub(" ", text).strip()


def share_cut(text: str) -> float:
    """Share of a text's end that no model reads, 0-1; links and markup, which nobody misses, left out."""
    if len(text) <= READ_CHARACTERS:
        return 0.0
    cleaned = clean(text)
    read = min(1.0, READ_CHARACTERS / max(len(cleaned), 1)) * min(1.0, MAX_CHARACTERS / len(text))
    return 1.0 - read

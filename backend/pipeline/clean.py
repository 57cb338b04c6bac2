"""Cleaning: what is left of a text for models to read.

A pure function with a version, because a model trained on texts cleaned one way must not read them cleaned another.
Takes out what carries no topic (links, markup, contact data, emoji), never words.
"""

import html

import regex

CLEANING = 1  # raise it with any change of what `clean` returns; it stands in every model's manifest
MAX_CHARACTERS = 50_000  # no model here reads further, and a text of a megabyte must not cost seconds

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
    text = html.unescape(text[:MAX_CHARACTERS])
    for pattern in (TAG, URL, EMAIL, EMOJI, CONTROL, PHONE):
        text = pattern.sub(" ", text)
    return SPACE.sub(" ", text).strip()

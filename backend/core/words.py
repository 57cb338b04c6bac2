"""What counts as a word of a text, in every script, and how it is written: one rule for all who count words."""

from itertools import pairwise

import regex

# Of scripts without spaces each sign, with its marks, stands alone: pairs of them make words.
WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\u30FC\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*+"
    r"|[\w--[\p{Han}\p{Hiragana}\p{Katakana}\u30FC\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]]++",
    regex.V1,
)
RUN = regex.compile(  # of such signs
    r"(?:[\p{Han}\p{Hiragana}\p{Katakana}\u30FC\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*+)++", regex.V1
)
ARABIC = regex.compile(r"\p{Arabic}")
DROPPED = regex.compile(r"[\u0640\u064B-\u065F\u0670]++")  # tatweel, which only stretches, and vowel marks
ALIKE = str.maketrans("\u0622\u0623\u0625\u0671\u0649\u0629", "\u0627\u0627\u0627\u0627\u064a\u0647")


def words_of(text: str) -> list[str]:
    """In order, as they are written; of scripts without spaces, sign by sign."""
    return WORD.findall(text)


def pairs_of(text: str) -> list[str]:
    """Neighbouring signs of scripts without spaces, in order."""
    runs = (WORD.findall(run) for run in RUN.findall(text))
    return [first + second for signs in runs for first, second in pairwise(signs)]


def folded(text: str) -> str:
    """An Arabic text in which a word is written one way; others as they are.

    Everyday Arabic leaves vowel marks, forms of alef, final ya and the feminine ending to taste:
    they are folded as Lucene's ArabicNormalizer does.
    """
    return DROPPED.sub("", text).translate(ALIKE) if ARABIC.search(text) else text

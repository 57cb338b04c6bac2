"""Names written from right to left inside a line that runs from left to right, and the other way round."""

import regex

FROM_RIGHT = regex.compile(r"[\p{Bidi_Class=R}\p{Bidi_Class=AL}]")
FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"  # Unicode Standard Annex 9, section 2.4


def isolated(name: str) -> str:
    """A name that keeps to itself what it does to the order of signs around it; others as they are.

    Without that, a number that follows an Arabic name in an English line is shown before it.
    """
    return f"{FIRST_STRONG_ISOLATE}{name}{POP_ISOLATE}" if FROM_RIGHT.search(name) else name

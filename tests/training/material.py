"""Labelled texts for tests: three intents that share few words, in as many variants as asked for."""

from itertools import islice, product

from backend.core.types import Example, Label, LabelSpace

SPACE = LabelSpace(
    (
        Label("cancel_order", "cancel_order", "stop an order"),
        Label("lost_card", "lost_card", "a bank card is gone"),
        Label("opening_hours", "opening_hours", "when a shop is open"),
    ),
    "other",
)
PHRASES = {
    "cancel_order": (("please", "kindly", "now"), ("cancel", "stop", "call off"), ("my order", "the purchase", "it")),
    "lost_card": (("my", "our", "the"), ("card", "visa", "bank card"), ("is lost", "was stolen", "is gone")),
    "opening_hours": (
        ("when", "what time", "until when"),
        ("is the shop", "are you", "is it"),
        ("open", "closed", "free"),
    ),
    "other": (("how", "why", "where"), ("tall is", "old is", "far is"), ("everest", "the moon", "that singer")),
}
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def texts_of(label: str, n: int) -> list[str]:
    variants = (" ".join(words) for words in product(*PHRASES[label], NUMBERS))
    return list(islice(variants, n))


def examples_of(n_each: int, *, labels: tuple[str, ...] = tuple(PHRASES)) -> list[Example]:
    """`n_each` examples of each label, in turn."""
    by_label = [
        [Example(f"{label}-{i}", text, label) for i, text in enumerate(texts_of(label, n_each))] for label in labels
    ]
    return [example for examples in zip(*by_label, strict=True) for example in examples]

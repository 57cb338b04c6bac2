"""Labels that may be missing: groups of what resembles no label, found again from what was left out."""

import numpy as np

from backend.assembly import Assembly
from backend.pipeline.retrieve import embed_texts
from tests.training.material import texts_of
from training.missing import FEWEST, groups_of

ODD = ["zebra", "the invoice of may", "a song about rain"]


def test_texts_of_one_kind_are_one_group_which_its_words_and_texts_show(assembly: Assembly) -> None:
    embedder = assembly.embedder("en")
    kinds = {label: texts_of(label, 12) for label in ("cancel_order", "lost_card")}
    texts = [*kinds["cancel_order"], *ODD, *kinds["lost_card"]]
    vectors = embed_texts(texts, embedder, np.zeros((0, embedder.dim), np.float32))
    first, second = groups_of(texts, vectors, embedder)[:2]
    found = {frozenset(texts[row] for row in group.rows) for group in (first, second)}
    assert found == {frozenset(kinds["cancel_order"]), frozenset(kinds["lost_card"])}
    for group in (first, second):
        own = {texts[row] for row in group.rows}
        assert set(group.typical) <= own
        assert all(any(word in text.split() for text in own) for word in group.words)
    assert {word for group in (first, second) for word in group.words} & {"cancel", "order"}


def test_a_few_texts_are_no_group(assembly: Assembly) -> None:
    embedder = assembly.embedder("en")
    texts = ODD[: FEWEST - 1]
    assert groups_of(texts, embed_texts(texts, embedder, np.zeros((0, embedder.dim), np.float32)), embedder) == []
    assert groups_of([], np.zeros((0, embedder.dim), np.float32), embedder) == []

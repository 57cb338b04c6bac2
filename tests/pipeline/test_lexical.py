"""Word forms that count as one word for BM25."""

import pytest

from backend.pipeline.lexical import Stemmer, stemmed_as


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "cancelled orders", "cancel order"),
        ("ru", "чёрные заказы", "черный заказ"),
        ("mixed", "orders заказы", "order заказ"),
        ("de", "Bestellungen", "Bestellung"),
        ("fr", "annulées", "annulé"),
        ("es", "pedidos", "pedido"),
        ("ar", "الطَّلَـــبات", "الطلبات"),
    ],
)
def test_forms_of_a_word_are_one_in_its_language(language: str, one: str, other: str) -> None:
    stemmer = Stemmer(stemmed_as(language))
    assert stemmer.stems(one) == stemmer.stems(other)


def test_ukrainian_words_are_not_stemmed_as_russian_ones() -> None:
    assert Stemmer(stemmed_as("uk")).stems("замовлення") == ["замовлення"]
    assert Stemmer(stemmed_as("uk")).stems("orders") == ["order"], "other scripts as ever"


def test_chinese_texts_share_signs_and_pairs() -> None:
    stemmer = Stemmer(stemmed_as("zh"))
    shared = set(stemmer.stems("取消我的订单")) & set(stemmer.stems("请取消订单"))
    assert {"取消", "订单"} <= shared

"""Which language a project's texts are in."""

from collections.abc import Sequence

import pytest

from backend.pipeline.language import detect_language, language_shares
from samples import Sample, load_samples

ENGLISH = ["where is my order", "cancel it please", "the parcel never arrived", "refund", "hi"]
GERMAN = [
    "wo bleibt meine Bestellung", "bitte stornieren", "das Paket kam nie an", "Rückerstattung", "hallo zusammen",
]  # fmt: skip
RUSSIAN = ["чехол для iPhone пришёл быстро", "чай хороший", "верните деньги", "где мой заказ"]
CHINESE = ["这周五点叫我起床", "我的订单在哪里", "取消", "请给我一张去丹佛的火车票"]
JAPANESE = ["今日はいい天気です", "東京特許許可局", "注文はどこですか", "返金してください"]
ARABIC = ["أين طلبي", "أريد استرداد أموالي", "ألغ الحجز من فضلك"]
FRENCH = ["où est ma commande", "annulez s'il vous plaît", "le colis n'est jamais arrivé"]
SPANISH = ["dónde está mi pedido", "cancélelo por favor", "el paquete nunca llegó"]


@pytest.mark.parametrize(
    ("what", "texts", "language"),
    [
        ("nothing", [], "en"),
        ("digits only", ["123", "!"], "en"),
        ("English", ENGLISH, "en"),
        ("German", GERMAN, "de"),
        ("Russian with brands", RUSSIAN, "ru"),
        ("Ukrainian", ["де моє замовлення", "скасуйте, будь ласка", "посилка так і не надійшла"], "uk"),
        ("Chinese", CHINESE, "zh"),
        ("Japanese, some of it without kana", JAPANESE, "ja"),
        ("Arabic", ARABIC, "ar"),
        ("French", FRENCH, "fr"),
        ("Spanish", SPANISH, "es"),
        ("two scripts", ["where is it", "чай хороший"], "mixed"),
        ("two languages of one script", ENGLISH + GERMAN, "mixed"),
        ("three languages", ENGLISH + RUSSIAN + CHINESE, "mixed"),
        ("one stray", ["верните деньги", *(f"cancel order {n} please" for n in range(19))], "en"),
        ("the same word again and again", ["tea"] * 20, "en"),
        ("words of five letters", ["order", "hello", "money", "plane", "reset"], "en"),
        ("a script that no model reads", ["ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ", "ᎣᏏᏲ"], "und"),
    ],
)
def test_the_texts_tell_their_language_together(what: str, texts: list[str], language: str) -> None:
    assert detect_language(texts) == language, what


@pytest.mark.parametrize("sample", load_samples(), ids=lambda sample: sample.language)
@pytest.mark.parametrize("n_texts", [3, 30])
def test_a_few_texts_of_a_sample_are_in_its_language(sample: Sample, n_texts: int) -> None:
    for start in (0, 40, 80):
        texts = [row.text for row in sample.rows[start : start + n_texts]]
        assert detect_language(texts) == sample.language


@pytest.mark.parametrize(
    ("what", "names", "language"),
    [
        ("English", ["alarm_query", "alarm_remove", "audio_volume_down"], "en"),
        ("words of many languages", ["spam", "ham"], "en"),
        ("German", ["Rechnung", "Kündigung", "Lieferung verspätet"], "de"),
        ("Cyrillic that says little", ["позитив", "негатив"], "ru"),
        ("Japanese", ["スポーツ", "政治"], "ja"),
        ("numbers", ["1", "2"], "en"),
    ],
)
def test_labels_tell_the_language_where_there_are_no_texts(what: str, names: Sequence[str], language: str) -> None:
    assert detect_language([], names=names) == language, what


def test_texts_outweigh_the_labels_names() -> None:
    assert detect_language(GERMAN, names=["alarm", "weather"]) == "de"


def test_shares_are_of_texts_and_largest_first() -> None:
    shares = language_shares([*CHINESE, *ENGLISH[:2]])
    assert list(shares) == ["zh", "en"]
    assert shares["zh"] == pytest.approx(4 / 6)

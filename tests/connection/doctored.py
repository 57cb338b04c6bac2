"""A stack for doctor's tests: web process, queue and Label Studio of one module, and connected projects on it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backend.connection.connect import ConnectOptions, connect, disconnect
from backend.connection.doctor.check import Result
from backend.connection.doctor.examination import desk_of_doctor, examine, examine_project
from backend.core.errors import PrelabelError
from backend.loop.desk import Desk, ProjectDesk
from tests.stack import Backend, RunningLabelStudio, make_backend

CONFIG = """<View><Text name="text" value="$text"/><Choices name="c" toName="text">%s</Choices></View>"""
LABELS = ("praise", "complaint")
TEXTS = ("a fine thing", "it broke at once", "would buy it again", "money back please")
OPTIONS = ConnectOptions(language="en")


def config_of(labels: Iterable[str]) -> str:
    return CONFIG % "".join(f'<Choice value="{label}"/>' for label in labels)


def backend_of(home: Path, redis_url: str, label_studio: RunningLabelStudio, models: Path, **values: str) -> Backend:
    given = {
        "PRELABEL_REDIS_URL": redis_url,
        "PRELABEL_LABEL_STUDIO_URL": label_studio.url,
        "PRELABEL_LABEL_STUDIO_TOKEN": label_studio.token,
    }
    return make_backend(home, {**given, **values}, models)


@contextmanager
def connected(backend: Backend, options: ConnectOptions = OPTIONS) -> Iterator[ProjectDesk]:
    """A connected project with a few texts, until the block ends."""
    with desk_of_doctor(backend.settings) as desk:
        project = desk.client.create_project(title="doctored", label_config=config_of(LABELS))
        desk.client.import_tasks(project.id, [{"text": text} for text in TEXTS])
        connect(desk, project, options, lambda _: None)
        yield desk.project(str(project.key))
        with suppress(PrelabelError):  # a test may have untied it
            disconnect(desk, str(project.key), lambda _: None)


def again(work: ProjectDesk) -> ProjectDesk:
    return work.desk.project(work.key)


def project_faults(work: ProjectDesk) -> dict[str, Result]:
    return faults(examine_project(work.desk, work.key))


def host_faults(desk: Desk) -> dict[str, Result]:
    return faults(examine(desk))


def faults(results: Iterable[Result]) -> dict[str, Result]:
    """What is wrong, by the name of the check; without what could not be looked at."""
    return {result.name: result for result in results if not result.ok and not result.waits_for}


def mend(result: Result) -> str:
    assert result.mend is not None, "--fix can mend it"
    return result.mend()

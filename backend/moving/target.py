"""Which project data moves into or out of, and what prelabel needs to know of it. It need not be connected."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from filelock import FileLock

from backend.core.disk import writing
from backend.core.errors import BadInputError, LabelStudioError
from backend.core.labels import spelled
from backend.core.projects import ProjectSettings, project_folder
from backend.core.settings import Settings
from backend.files import read_text
from backend.labelstudio.client import LabelStudioClient, open_client
from backend.labelstudio.records import Json, Project
from backend.labelstudio.schema import Control, usable_control
from backend.ledger import Ledger, open_ledger
from backend.moving.sending import Sink


@dataclass(frozen=True, slots=True)
class Target:
    """A project, or, in a dry run, one that would be created."""

    sink: Sink
    project_id: int  # 0 where it would be created
    key: str
    control: Control
    folder: Path  # where imports and exports keep how far they are; may be deleted when none runs
    settings: ProjectSettings


@contextmanager
def open_project(settings: Settings, project_id: int) -> Iterator[tuple[LabelStudioClient, Target]]:
    """An existing project.

    Raises:
        LabelStudioError: there is none of that number, or this account may not see it.
        BadInputError: its label config cannot be served.
    """
    with closing(open_client(settings)) as client:
        yield client, _target(settings, client, client.project(project_id))


@contextmanager
def open_titled(
    settings: Settings, title: str, label_config: Path | None, *, new_config: Callable[[], str], dry_run: bool
) -> Iterator[tuple[LabelStudioClient, Target]]:
    """The project of a title, created where there is none: a second run must find the first one's.

    Titles are one where they read alike, as labels are; blanks around them make no second project.

    Args:
        label_config: an XML file; of a project that exists, it must have the same labels.
        new_config: gives the XML of a project that is created where there is no such file.

    Raises:
        BadInputError: several have that title, or the label config cannot be read or served, or is another one's.
    """
    with closing(open_client(settings)) as client, ExitStack() as stack:
        with nullcontext() if dry_run else _one_at_a_time(settings.home / "moves"):
            known = _titled(client, title)
            if known is not None:
                found = _target(settings, client, known)
                if label_config is not None:
                    _require_same(found, _control(read_text(label_config), found.settings), title)
            else:
                xml = read_text(label_config) if label_config is not None else new_config()
                control = _control(xml, ProjectSettings())
                if dry_run:
                    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                    found = Target(NoProject(), 0, "", control, folder, ProjectSettings())
                else:
                    made = stack.enter_context(_made(client, spelled(title), xml))
                    found = _target(settings, client, made)
        yield client, found


def _titled(client: LabelStudioClient, title: str) -> Project | None:
    named = [project for project in client.projects() if spelled(project.title) == spelled(title)]
    if len(named) > 1:
        numbers = ", ".join(str(project.id) for project in named)
        raise BadInputError(f"--title must name one project, there are {len(named)} ({numbers}); use --project")
    return named[0] if named else None


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """So that two imports into one new title make one project."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "creating.lock")
    with lock:
        yield


@contextmanager
def _made(client: LabelStudioClient, title: str, xml: str) -> Iterator[Project]:
    """A new project, which is gone again where the block fails before a task came in."""
    project = client.create_project(title=title, label_config=xml)
    try:
        yield project
    except BaseException:
        with suppress(LabelStudioError):  # it stays then, and a next run takes it by its title
            if not client.count(project.id, []):
                client.delete_project(project.id)
        raise


@contextmanager
def opened_ledger(settings: Settings) -> Iterator[Ledger]:
    ledger = open_ledger(settings)
    try:
        yield ledger
    finally:
        ledger.engine.dispose()


def _target(settings: Settings, client: LabelStudioClient, project: Project) -> Target:
    key = str(project.key)
    chosen = project_folder(settings.projects_dir, key).settings()
    control = _control(project.label_config, chosen)
    return Target(client, project.id, key, control, settings.home / "moves" / key, chosen)


def _control(xml: str, chosen: ProjectSettings) -> Control:
    return replace(usable_control(xml, chosen), renamed=chosen.renamed)


def _require_same(found: Target, wanted: Control, title: str) -> None:
    if (found.control.text_key, found.control.space) != (wanted.text_key, wanted.space):
        raise BadInputError(
            f"--label-config must hold the labels, hints and text of project {found.project_id}, which has the title "
            f"{title!r} already, but holds others; leave it out, or choose another --title"
        )


class NoProject:
    """What a dry run finds where the project would be created."""

    def count(self, _project_id: int, _filters: Sequence[Json]) -> int:
        return 0

    def pages_above(
        self, _project_id: int, _task_id: int, *, include: str, filters: Sequence[Json] = ()  # noqa: ARG002
    ) -> Iterator[list[Json]]:  # fmt: skip
        return iter(())

    def _never(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("a dry run writes nothing")

    import_tasks = import_predictions = project = update_project = task = delete_task = _never

"""Doctor: looks at every link between Label Studio and this backend, says what to do about each that is broken, and
mends what can be mended safely. The order is the way that a prediction takes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from backend.connection.doctor import half_done, host, link, models, project, queue, state, versions
from backend.connection.doctor.check import BROKEN, Check, Fault, Finding, Result, broken, results_of
from backend.connection.versions import key_of
from backend.core.errors import LabelStudioError, PrelabelError
from backend.core.projects import ProjectKey
from backend.core.settings import Settings
from backend.loop.desk import Desk, ProjectDesk

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Named:
    """A project that is connected, and may be there no more."""

    desk: Desk
    key: str

    @property
    def id(self) -> int:
        return ProjectKey.parse(self.key).id


DELETED: Fault[Named] = Fault(
    "the project was deleted", "Label Studio has no project {id} any more", "run: prelabel disconnect --project {id}"
)
UNREADABLE: Fault[Named] = Fault(
    "the project cannot be read", "{problem}", "do what it says; check that the token's account may see the project"
)


def there(named: Named) -> Finding[Named]:
    try:
        return Finding(repr(named.desk.project(named.key).project.title))
    except PrelabelError as err:
        if isinstance(err, LabelStudioError) and err.gone:
            return DELETED.seen(id=named.id)
        return UNREADABLE.seen(problem=err)


HOST: tuple[Check[Desk], ...] = (
    *host.LABEL_STUDIO, *state.CHECKS, *host.WEB, *queue.CHECKS, *models.CHECKS, *link.STRAY, *state.LEFT_OVERS,
)  # fmt: skip
PROJECT: tuple[Check[Named], ...] = (Check("project", there, (DELETED, UNREADABLE), needs=("Label Studio", "token")),)
CALLED: tuple[Check[ProjectDesk], ...] = (
    *project.CONFIG,
    *link.CALLED,
    *versions.CHECKS,
    *project.CONTENT,
    *half_done.CHECKS,
)
POLLED: tuple[Check[ProjectDesk], ...] = (
    *project.CONFIG,
    *link.POLLED,
    *versions.CHECKS,
    *project.CONTENT,
    *half_done.CHECKS,
)


def desk_of_doctor(settings: Settings) -> Desk:
    """A desk on which nothing that hangs keeps the rest waiting."""
    return Desk(settings, queue_answers_within_s=queue.ANSWER_S)


def examine_all(desk: Desk, project_id: int = 0) -> list[Result]:
    """What all projects share, then one project, or each that is connected.

    Raises:
        BadInputError: no such project is connected.
    """
    shared = examine(desk)
    if not next(result.ok for result in shared if result.name == state.DATABASE):
        return shared
    keys = [key_of(desk, project_id)] if project_id else desk.ledger.project_keys()
    return shared + [result for key in keys for result in examine_project(desk, key, before=shared)]


def examine(desk: Desk) -> list[Result]:
    """The checks that hold for all projects."""
    return results_of(HOST, desk)


def examine_project(desk: Desk, key: str, *, before: Sequence[Result] = ()) -> list[Result]:
    """The checks of one project; where it cannot be read, that alone. `before` are those that all projects share."""
    first = results_of(PROJECT, Named(desk, key), project=key, before=before)
    if not all(result.ok for result in first):
        return first
    work = desk.project(key)
    checks = POLLED if work.row.push_only else CALLED
    return first + results_of(checks, work, project=key, before=before)


def glance(work: ProjectDesk) -> list[Result]:
    """What is wrong with a project, as far as two quick requests tell: for `prelabel status`."""
    way = link.POLLED if work.row.push_only else (link.WEBHOOK,)
    results = results_of((*project.CONFIG, *way), work)
    return [result for result in results if not result.ok and not result.waits_for]


def glance_at_queue(desk: Desk) -> list[Result]:
    """What keeps all projects waiting, whatever is wrong with them: for `prelabel status`."""
    checks = [check for check in queue.CHECKS if check.name in queue.GLANCED]
    return [result for result in results_of(checks, desk) if not result.ok and not result.waits_for]


def examine_and_mend(desk: Desk, report: Report, project_id: int = 0) -> list[Result]:
    """Mend what can be mended, and look again; a job that was queued may not have run by then."""
    fixed = _mended(examine_all(desk, project_id), report)
    again = examine_all(desk, project_id)
    return [replace(result, fixed=fixed.get((result.project, result.name), "")) for result in again]


def _mended(results: Sequence[Result], report: Report) -> dict[tuple[str, str], str]:
    done = {}
    for result in results:
        if result.mend is None:
            continue
        try:
            done[result.project, result.name] = result.mend()
        except BROKEN as err:
            report(f"{result.name}: not mended: {broken(err)}")
    return done

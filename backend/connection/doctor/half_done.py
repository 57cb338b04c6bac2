"""Doctor on what a Label Studio left half done whose SQLite was locked: it carries a request out again, from its
beginning, after a part of it was done (1.23.2).
"""

from backend.connection.doctor.check import Check, Fault, Finding
from backend.core.labels import spelled
from backend.labelstudio.filters import annotated, not_skipped, unlabelled
from backend.loop.desk import ProjectDesk


def recount(work: ProjectDesk) -> str:
    work.desk.client.recount(work.id)
    return f"Label Studio counted again; {_n_uncounted(work)} tasks are left"


UNCOUNTED: Fault[ProjectDesk] = Fault(
    "annotated tasks that count as open",
    "{n} tasks have an annotation and count as open: a bulk action was cut short",
    "run: prelabel doctor --fix; until then they are predicted, and a bulk accept labels them twice",
    recount,
)
DOUBLE: Fault[ProjectDesk] = Fault(
    "an empty project of the same title",
    "{others} has the title of this project and no task",
    "delete it in Label Studio if nobody made it on purpose",
)


def counted(work: ProjectDesk) -> Finding[ProjectDesk]:
    n = _n_uncounted(work)
    return UNCOUNTED.seen(n=n) if n else Finding("every annotated task counts as labelled")


def title(work: ProjectDesk) -> Finding[ProjectDesk]:
    alike = [
        project
        for project in work.desk.client.projects()
        if project.id != work.id and spelled(project.title) == spelled(work.project.title)
    ]
    empty = [str(project.id) for project in alike if not project.counters["task_number"]]
    if empty:
        return DOUBLE.seen(others=f"project {', '.join(empty)}")
    return Finding("no empty project has the same title")


def _n_uncounted(work: ProjectDesk) -> int:
    return work.desk.client.count(work.id, [annotated(), unlabelled(), not_skipped()])


CHECKS: tuple[Check[ProjectDesk], ...] = (
    Check("counters", counted, (UNCOUNTED,)),
    Check("title", title, (DOUBLE,)),
)

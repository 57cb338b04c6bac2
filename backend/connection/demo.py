"""The demo's two projects: made, filled and connected once, and gone on with where that was interrupted."""

from collections.abc import Callable

from backend.connection.connect import UNCERTAINTY, ConnectOptions, connect, prepare
from backend.core.artefacts import OWN_PREFIX
from backend.core.settings import Settings
from backend.labelstudio.instructions import instruction_html
from backend.labelstudio.records import Project
from backend.labelstudio.wire import Json, shown_data
from backend.loop.desk import Desk, ProjectDesk
from samples import Sample, load_samples

Report = Callable[[str], None]


def setup_demo(settings: Settings, report: Report) -> list[int]:
    """Create, fill and connect the sample projects that do not exist yet; the ids of all of them, in order."""
    with Desk(settings) as desk:
        return [_project_of(desk, sample, report) for sample in load_samples()]


def _project_of(desk: Desk, sample: Sample, report: Report) -> int:
    project = _begun(desk, sample) or _create(desk, sample, report)
    if not project.model_version.startswith(OWN_PREFIX):  # the last that connecting sets
        _fill(desk, project, sample, report)
    return project.id


def _begun(desk: Desk, sample: Sample) -> Project | None:
    """The sample's project, connected or still empty; one of that name with other people's tasks is theirs."""
    known = set(desk.ledger.project_keys())
    named = [project for project in desk.client.projects() if project.title == sample.title]
    ours = [project for project in named if str(project.key) in known or not project.counters["task_number"]]
    return ours[0] if ours else None


def _create(desk: Desk, sample: Sample, report: Report) -> Project:
    report(f"{sample.title}: project")
    return desk.client.create_project(
        title=sample.title,
        label_config=sample.label_config,
        sampling=UNCERTAINTY,
        expert_instruction=instruction_html(sample.guideline),
    )


def _fill(desk: Desk, project: Project, sample: Sample, report: Report) -> None:
    options = ConnectOptions(language=sample.language)
    work = prepare(desk, project, options)
    if not project.counters["task_number"]:
        report(f"{sample.title}: {len(sample.rows)} texts")
        desk.client.import_tasks(project.id, _tasks(work, sample))
    connect(desk, project, options, lambda step: report(f"{sample.title}: {step}"))


def _tasks(work: ProjectDesk, sample: Sample) -> list[Json]:
    """Texts that show nothing yet: which tasks are blind is known once they have their numbers.

    Given labels and gold stay in the file.
    """
    shown = shown_data(None, work.control)
    return [{"text": row.text, "id": row.id, **shown} for row in sample.rows]

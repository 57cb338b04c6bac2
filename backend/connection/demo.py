"""The demo's two projects: made, filled and connected once."""

import html
from collections.abc import Callable

from backend.connection.connect import UNCERTAINTY, ConnectOptions, connect, prepare
from backend.core.errors import BadInputError
from backend.core.projects import ProjectKey
from backend.core.settings import Settings
from backend.labelstudio.wire import Json, shown_data
from backend.loop.desk import Desk, ProjectDesk
from samples import Sample, load_samples

Report = Callable[[str], None]


def setup_demo(settings: Settings, report: Report) -> list[int]:
    """Create, fill and connect the sample projects that do not exist yet; the ids of all of them, in order."""
    with Desk(settings) as desk:
        return [_project_of(desk, sample, report) for sample in load_samples()]


def _project_of(desk: Desk, sample: Sample, report: Report) -> int:
    connected = {ProjectKey.parse(key).id for key in desk.ledger.project_keys()}
    by_title = {project.title: project.id for project in desk.client.projects() if project.id in connected}
    return by_title.get(sample.title) or _create(desk, sample, report)


def _create(desk: Desk, sample: Sample, report: Report) -> int:
    report(f"{sample.title}: project")
    project = desk.client.create_project(
        title=sample.title,
        label_config=sample.label_config,
        sampling=UNCERTAINTY,
        expert_instruction=f'<div style="white-space: pre-wrap">{html.escape(sample.guideline)}</div>',
    )
    options = ConnectOptions(language=sample.language)
    work = prepare(desk, project, options)
    report(f"{sample.title}: {len(sample.rows)} texts")
    desk.client.import_tasks(project.id, _tasks(work, sample))
    connect(desk, project, options, lambda step: report(f"{sample.title}: {step}"))
    return project.id


def _tasks(work: ProjectDesk, sample: Sample) -> list[Json]:
    """Texts with what shows the first decisions; given labels and gold stay in the file."""
    served = work.served()
    if served is None:
        raise BadInputError(f"project {work.key} must have a version by now, has none")
    pipeline = served.pipeline.without_llm()
    decisions = pipeline.run([row.text for row in sample.rows], deadline_s=float("inf"))
    return [
        {"text": row.text, "id": row.id, **shown_data(decision, work.control)}
        for row, decision in zip(sample.rows, decisions, strict=True)
    ]

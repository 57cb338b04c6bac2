"""Projects that tests make in a real Label Studio: their label config, and the English sample in them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from xml.sax.saxutils import quoteattr

from backend.connection.connect import ConnectOptions, connect
from backend.labelstudio.wire import choice
from backend.loop.desk import Desk, ProjectDesk
from samples import load_samples
from tests.stack import Backend

CONFIG = """<View>
  <Text name="text" value="$text"/>
  <Choices name="intent" toName="text" choice="single">%s</Choices>
</View>"""


def config_of(labels: Sequence[str]) -> str:
    """A static list of labels over a text."""
    return CONFIG % "".join(f"<Choice value={quoteattr(label)}/>" for label in labels)


@contextmanager
def half_labelled(backend: Backend, n_tasks: int) -> Iterator[ProjectDesk]:
    """A connected project, half of it labelled, not yet trained; the web process runs, workers do not."""
    sample = load_samples()[0]
    labels = sorted({row.gold for row in sample.rows})
    with Desk(backend.settings) as desk, backend.web():
        project = desk.client.create_project(title="half labelled", label_config=config_of(labels))
        ids = desk.client.import_tasks(project.id, [{"text": row.text} for row in sample.rows[:n_tasks]])
        connect(desk, project, ConnectOptions(language="en"), lambda _: None)
        work = desk.project(str(project.key))
        for task_id, row in zip(ids[: n_tasks // 2], sample.rows, strict=False):
            desk.client.create_annotation(task_id, [choice(work.control, row.gold)], lead_time_s=1.0)
        yield work

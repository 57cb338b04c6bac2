"""A project in a real Label Studio to move data into and out of, and a person's command line."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from backend.core.settings import Settings
from backend.labelstudio.client import LabelStudioClient, open_client
from backend.labelstudio.records import Task
from backend.labelstudio.schema import ID_KEY
from backend.moving.exported import What
from backend.moving.exporting import Manifest
from backend.moving.importing import ImportOptions
from backend.moving.sending import Imported
from prelabel import export_labels, import_texts
from prelabel.moving import DEFAULTS
from tests.stack import RunningLabelStudio

CONFIG = """<View><Text name="t" value="$text"/><Choices name="c" toName="t">
<Choice value="yes" alias="y"/><Choice value="no"/></Choices></View>"""


@dataclass(frozen=True)
class Playground:
    """One project and one state folder."""

    home: Path
    label_studio: RunningLabelStudio
    client: LabelStudioClient
    project_id: int

    @property
    def settings(self) -> Settings:
        token = SecretStr(self.label_studio.token)
        return Settings(home=self.home, label_studio_url=self.label_studio.url, label_studio_token=token)

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PRELABEL_")}
        return {
            **inherited,
            "PRELABEL_HOME": str(self.home),
            "PRELABEL_LABEL_STUDIO_URL": self.label_studio.url,
            "PRELABEL_LABEL_STUDIO_TOKEN": self.label_studio.token,
        }

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "backend.cli", *map(str, arguments)]

    def run(self, *arguments: object, given: bytes = b"", expected: int = 0) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(self.command(*arguments), env=self.environment, input=given, capture_output=True)
        assert done.returncode == expected, done.stderr.decode()
        return done

    def imported(self, data: Path, options: ImportOptions = DEFAULTS) -> Imported:
        """Import a file in this process."""
        return import_texts(data, project=self.project_id, options=options, settings=self.settings)

    def exported(self, out: Path, what: What = "tasks", *, split: str = "") -> Manifest:
        """Export to a file in this process."""
        return export_labels(self.project_id, out, what=what, split=split, settings=self.settings)

    def annotate(self, task_id: int, label: str, *, lead_time_s: float = 2.0) -> int:
        result = {"from_name": "c", "to_name": "t", "type": "choices", "value": {"choices": [label]}}
        return self.client.create_annotation(task_id, [result], lead_time_s=lead_time_s)

    def tasks(self) -> list[Task]:
        return list(self.client.tasks(self.project_id))

    def rows(self) -> Counter[str]:
        """How often each row stands in the project."""
        return Counter(task.data[ID_KEY] for task in self.tasks())


@contextmanager
def playing(label_studio: RunningLabelStudio, home: Path, *, keep: bool = False) -> Iterator[Playground]:
    """A project of its own, gone with the block unless it is kept."""
    settings = Settings(label_studio_url=label_studio.url, label_studio_token=SecretStr(label_studio.token))
    with closing(open_client(settings)) as client:
        project = client.create_project(title=f"moving {home}"[:50], label_config=CONFIG)
        yield Playground(home, label_studio, client, project.id)
        if not keep:
            client.delete_project(project.id)

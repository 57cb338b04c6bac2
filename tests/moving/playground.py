"""A project in a real Label Studio to move data into and out of, and a person's command line."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.records import Task
from backend.labelstudio.schema import ID_KEY
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

    def imported(self, data: Path, *arguments: object, expected: int = 0) -> dict[str, Any]:
        """What `prelabel import` says of a file."""
        done = self.run("import", data, "--project", self.project_id, *arguments, "--json", expected=expected)
        return dict(json.loads(done.stdout))

    def tasks(self) -> list[Task]:
        return list(self.client.tasks(self.project_id))

    def rows(self) -> Counter[str]:
        """How often each row stands in the project."""
        return Counter(task.data[ID_KEY] for task in self.tasks())

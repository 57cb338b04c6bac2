"""prelabel inside HumanSignal's own server, for people who host their models with label-studio-ml.

Two thin subclasses over one core, because the library's two lines call a model differently. The project must be known
to prelabel (`prelabel connect --push-only`), and prelabel's workers must run: a hosted model answers from what they
published, and `fit` only asks them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog

from backend.answering import Answering, answering_of
from backend.core.errors import MissingExtraError, PrelabelError
from backend.core.projects import UNCONFIGURED, ProjectKey
from backend.core.settings import load_settings
from backend.labelstudio.wire import Json, SetupRequest, predict_request
from backend.logs import configure_logs, told

try:
    from label_studio_ml.model import LabelStudioMLBase
except ImportError as err:
    raise MissingExtraError(
        "hosting prelabel with HumanSignal's server needs label-studio-ml; its 1.0.9 pins a Flask of 2021, so install "
        "it so: pip install --no-deps label-studio-ml==1.0.9 && pip install colorama label-studio-tools lxml Pillow"
    ) from err

INITIAL = "INITIAL"  # what the server of 1.0.9 tells Label Studio as the version, whatever a model says

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Hosted:
    """What both subclasses do: look the project up, answer, ask the workers."""

    answering: Answering

    def version(self, project_id: str, label_config: str) -> str:
        """The version that serves the project; `pl-unconfigured` where prelabel does not know it."""
        key = self._key(project_id)
        return self.answering.setup(SetupRequest(key, label_config, "")) if key else UNCONFIGURED

    def predict(
        self, project_id: str, label_config: str, tasks: Sequence[Json], context: Mapping[str, Any] | None
    ) -> list[Any]:
        """One prediction a task, in order; an empty list for "none yet"."""
        key = self._key(project_id)
        if key is None:
            log.warning("project_unknown", project=project_id, remedy="prelabel connect --push-only")
            return [[] for _ in tasks]
        body = {
            "tasks": list(tasks), "project": str(key), "label_config": label_config, "params": {"context": context},
        }  # fmt: skip
        return [item if item is not None else [] for item in self.answering.predict(predict_request(body))]

    def ask(self, event: str, data: Mapping[str, Any]) -> Json:
        """Ask the workers for what an event calls for: {"job": id}, or {} where there is nothing to do."""
        project = data.get("project")
        key = self._key(str(project.get("id", "")) if isinstance(project, Mapping) else "")
        try:
            job = self.answering.event(event, key) if key else ""
        except PrelabelError as err:
            log.warning("job_not_queued", event_name=event, **told(err))  # the workers poll: nothing is lost
            return {}
        return {"job": job} if job else {}

    def _key(self, project_id: str) -> ProjectKey | None:
        """The connected project of that id; the youngest, where the id was used again."""
        keys = [ProjectKey.parse(key) for key in self.answering.ledger.project_keys()]
        mine = [key for key in keys if str(key.id) == project_id.partition(".")[0]]
        return max(mine, key=lambda key: key.created, default=None)


@lru_cache(maxsize=1)
def hosted() -> Hosted:
    """This process's core; its models load in the background."""
    settings = load_settings()
    configure_logs(settings.log_level)  # to standard error: standard output is the host's
    answering = answering_of(settings)
    answering.begin()
    return Hosted(answering)


class PreAnnotator1(LabelStudioMLBase):  # type: ignore[misc]
    """For label-studio-ml 1.x, whose server knows one model and tells it neither project nor version."""

    def predict(self, tasks: Sequence[Json], context: Mapping[str, Any] | None = None, **_: Any) -> list[Any]:
        project = str(tasks[0].get("project", "")) if tasks else ""
        predictions = hosted().predict(project, self.label_config or "", tasks, context)
        return [{**item, "model_version": INITIAL} if item else item for item in predictions]

    def fit(self, tasks: Sequence[Json], workdir: str | None = None, **event: Any) -> Json:  # noqa: ARG002
        """Returns nothing that the server would keep: a result of its own would become the version."""
        hosted().ask(str(event.get("event", "")), event.get("data") or {})
        return {}


class PreAnnotator2(LabelStudioMLBase):  # type: ignore[misc]
    """For label-studio-ml 2.x, whose server makes a model for each request."""

    def setup(self) -> None:
        self.set("model_version", hosted().version(str(self.project_id), self.label_config or ""))

    def predict(self, tasks: Sequence[Json], context: Mapping[str, Any] | None = None, **_: Any) -> list[Any]:
        return hosted().predict(str(self.project_id), self.label_config or "", tasks, context)

    def fit(self, event: str, data: Mapping[str, Any], **_: Any) -> Json:
        return hosted().ask(event, data)


def installed_line() -> int:
    """The major version of label-studio-ml; 2 where it runs from a checkout that has no metadata."""
    try:
        return int(version("label-studio-ml").partition(".")[0])
    except PackageNotFoundError:
        return 2


PreAnnotator = PreAnnotator1 if installed_line() < 2 else PreAnnotator2

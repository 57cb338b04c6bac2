"""Label Studio's projects, tasks and annotations as dataclasses, read from the API's JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backend.core.projects import ProjectKey

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Project:
    """What prelabel needs of a project; `raw` is the whole answer, for the snapshot that `disconnect` restores."""

    id: int
    key: ProjectKey
    title: str
    label_config: str
    model_version: str
    sampling: str
    show_collab_predictions: bool
    counters: Mapping[str, int]
    raw: Json


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation as the API gives it."""

    id: int
    completed_by: int
    result: tuple[Json, ...]
    was_cancelled: bool
    ground_truth: bool
    lead_time_s: float | None
    created_at: str
    updated_at: str
    parent_prediction: int | None
    has_prediction: bool  # carries the prediction it was made from: a person saw it
    import_id: int | None
    updated_by: int | None
    from_draft: bool = False  # opened more than once, so that its lead time does not tell when

    @property
    def submitted(self) -> bool:
        """Whether a person submitted it: it was neither accepted with many others nor imported."""
        return self.updated_by is not None


@dataclass(frozen=True, slots=True)
class Task:
    id: int
    data: Mapping[str, Any]
    created_at: str
    updated_at: str
    is_labeled: bool  # by as many people as the project wants; an export does not tell
    total_annotations: int  # without the cancelled ones
    cancelled_annotations: int
    annotations: tuple[Annotation, ...]
    predictions: tuple[Json, ...]  # id, model_version, score, result
    project_id: int = 0

    @property
    def open(self) -> bool:
        """Whether it may still be shown to somebody to label: filters.open_tasks says the same."""
        return not self.is_labeled

    @property
    def unlabelled(self) -> bool:
        """Without an annotation that is not cancelled."""
        return self.total_annotations == 0


@dataclass(frozen=True, slots=True)
class Pulse:
    """What moves when anything in a project's tasks does."""

    newest: str  # updated_at of the task that changed last; empty where there is none
    n_tasks: int
    n_annotations: int  # without the cancelled ones


COUNTERS = (
    "task_number",
    "num_tasks_with_annotations",
    "total_annotations_number",
    "skipped_annotations_number",
    "ground_truth_number",
)


def project_of(raw: Json) -> Project:
    return Project(
        id=raw["id"],
        key=ProjectKey.of(raw["id"], raw["created_at"]),
        title=raw.get("title") or "",
        label_config=raw.get("label_config") or "",
        model_version=raw.get("model_version") or "",
        sampling=raw.get("sampling") or "",
        show_collab_predictions=bool(raw.get("show_collab_predictions")),
        counters={name: raw.get(name) or 0 for name in COUNTERS},
        raw=raw,
    )


def task_of(raw: Mapping[str, Any]) -> Task:
    """A task from the API or from an export."""
    annotations = tuple(_annotation(item) for item in raw.get("annotations") or () if isinstance(item, dict))
    kept = [annotation for annotation in annotations if not annotation.was_cancelled]
    return Task(
        id=raw["id"],
        data=raw.get("data") or {},
        created_at=raw.get("created_at") or "",
        updated_at=raw.get("updated_at") or "",
        is_labeled=bool(raw.get("is_labeled")),
        total_annotations=raw["total_annotations"] if isinstance(raw.get("total_annotations"), int) else len(kept),
        cancelled_annotations=raw.get("cancelled_annotations") or 0,
        annotations=annotations,
        predictions=tuple(item for item in raw.get("predictions") or () if isinstance(item, dict)),
        project_id=raw.get("project") or 0,
    )


def _annotation(raw: Json) -> Annotation:
    person = raw.get("completed_by")
    return Annotation(
        id=raw["id"],
        completed_by=person["id"] if isinstance(person, dict) else person or 0,
        result=tuple(raw.get("result") or ()),
        was_cancelled=bool(raw.get("was_cancelled")),
        ground_truth=bool(raw.get("ground_truth")),
        lead_time_s=raw.get("lead_time"),
        created_at=raw.get("created_at") or "",
        updated_at=raw.get("updated_at") or "",
        parent_prediction=raw.get("parent_prediction"),
        has_prediction=bool(raw.get("prediction")),
        import_id=raw.get("import_id"),
        updated_by=raw.get("updated_by"),
        from_draft=raw.get("draft_created_at") is not None,
    )

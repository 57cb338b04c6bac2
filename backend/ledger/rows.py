"""What the database holds, as plain values; what they mean for training is decided in training.dataset."""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

How = Literal["seen", "bulk", "blind", "unaided", "imported", "auto", "unknown"]
REGION_ID_LENGTH = 10  # as many characters as the editor's own ids have
Kind = Literal["mark", "annotation"]


def hash_of_text(text: str) -> str:
    """What tells an edited text from the one that was decided upon, without holding it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Training:
    """One training and what became of it."""

    version: str
    why: str
    started_at: float
    seconds: float
    n_examples: int
    promoted: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A prediction as it was pushed."""

    task_id: int
    version: str
    generation: int
    label: str
    confidence: float
    stage: str
    kind: str
    text_hash: str = ""  # of the text that it was made of; empty: not known, or not stored in Label Studio
    stored_at: float = 0.0  # unix, by Label Studio's clock, where it replaced another; 0: nothing came before

    @property
    def tick(self) -> str:
        """The label that was ticked on the page; empty where nothing was."""
        return "" if self.kind == "blind" else self.label

    @property
    def region_id(self) -> str:
        """Names a tick in Label Studio: an annotation that is made of it keeps it. Equal content, equal name."""
        content = f"{self.version}/{self.generation}/{self.label}/{self.confidence:.6f}/{self.stage}"
        return hashlib.sha256(content.encode()).hexdigest()[:REGION_ID_LENGTH]


@dataclass(frozen=True, slots=True)
class OnScreen:
    """What a person saw beside the text that they labelled."""

    shown: Shown | None  # None: nothing of ours, or not known
    known: bool = True


@dataclass(frozen=True, slots=True)
class Accepted:
    """One state of one annotation, beside what was shown when it was made."""

    task_id: int
    annotation_id: int
    annotation_updated_at: str
    annotator: int
    label: str
    how: How
    lead_time_s: float | None
    version: str
    generation: int
    shown_label: str
    confidence: float | None
    stage: str


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How often annotations of one kind went with what a version said."""

    version: str  # empty where none had said anything
    how: str
    ticked: bool  # whether the version named a label; shown to nobody where `how` is blind
    kept: bool  # whether it is the label that people gave
    n: int


@dataclass(frozen=True, slots=True)
class AutoAccepted:
    """A label that was accepted without a person, and stands."""

    task_id: int
    version: str
    label: str
    confidence: float
    kind: Kind
    annotation_id: int = 0  # 0 for marks, and until Label Studio has named it


@dataclass(frozen=True, slots=True)
class IndexRow:
    """An accepted label that the neighbour index holds, or (empty label) must forget."""

    task_id: int
    text: str
    label: str
    bucket: int
    generation: int


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """Where a project stands."""

    key: str
    config_hash: str = ""
    watermark: str = ""
    counters: dict[str, Any] | None = None
    generation: int = 0
    pinned: str = ""
    frozen: bool = False
    changed_labels: int = 0
    changed_at: float = 0.0
    due_at: float = 0.0
    trained_at: float = 0.0
    trained_labels: int = 0
    webhook_at: float = 0.0
    reconciled_at: float = 0.0
    snapshot: dict[str, Any] | None = None

    @property
    def push_only(self) -> bool:
        """Whether Label Studio does not call us for this project, so that it is polled."""
        return bool((self.snapshot or {}).get("push_only"))

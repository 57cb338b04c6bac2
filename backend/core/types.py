"""The nouns that several packages share: label, label space, example, neighbour, decision.

Plain frozen dataclasses; nothing here knows JSON, Label Studio or a model library.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from backend.core.explanation import Explanation

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

DecisionKind = Literal["label", "out_of_scope", "abstain"]
Stage = Literal["retrieve", "classify", "vote"]
STAGES: tuple[Stage, ...] = ("retrieve", "classify", "vote")  # in the order of their cost


@dataclass(frozen=True, slots=True)
class Label:
    """One choice of a label config."""

    value: str  # what travels on the wire: the alias where there is one
    name: str  # what the annotator reads
    hint: str = ""  # description, possibly empty; label names alone must work

    @property
    def document(self) -> str:
        """The text that stands for this label in an index."""
        return f"{self.name.replace('_', ' ')}. {self.hint}" if self.hint else self.name.replace("_", " ")


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """The labels a text can get, in the order of the label config.

    `labels` leaves the out-of-scope choice out: it is a decision, not a candidate.
    """

    labels: tuple[Label, ...]
    oos_value: str = ""  # wire value of the choice that means "none of these"; empty where there is none

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(label.value for label in self.labels)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled text that prelabel may learn from."""

    id: str  # unique within a project: the task's id, or the row's identity in a file
    text: str  # as it came, not cleaned
    label: str  # a value of the label space, or its oos_value


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A labelled example that resembles a text; never shown with its own text."""

    example_id: str
    label: str
    similarity: float  # cosine, -1..1


@dataclass(frozen=True, slots=True)
class LabelProb:
    """One line of a decision's alternatives."""

    label: str
    probability: float  # calibrated, 0-1, not renormalised


@dataclass(frozen=True, slots=True)
class Decision:
    """What prelabel says about one text."""

    kind: DecisionKind
    predicted_label: str  # the best label, also when abstaining; oos_value, or empty, when out_of_scope
    confidence: float  # calibrated probability (0-1) that `predicted_label` (or out_of_scope) is right
    p_out_of_scope: float  # calibrated, 0-1
    stage: Stage  # the cost level that decided
    reason: str  # one line, in the project's language; names labels and ids, never another text
    alternatives: tuple[LabelProb, ...]  # best first, out-of-scope left out; up to ten
    neighbours: tuple[Neighbour, ...] = ()  # nearest first
    milliseconds: float = 0.0  # this text's share of its batch
    tokens: int = 0  # evaluated by LLMs for this text
    unvoted: bool = False  # language models would have been asked, but there was neither time nor means
    share_cut: float = 0.0  # 0-1, of the text's end that no model read, because the text is too long
    scores: Mapping[str, float] = field(default_factory=dict)  # measured of the best label, before any weight


@dataclass(frozen=True, slots=True)
class DataFingerprint:
    """What a model was trained on, without the texts."""

    n_examples: int
    n_labels: int
    sha256: str  # over the sorted (id, text, label) triples
    per_label: Mapping[str, int] = field(default_factory=dict)


class Pipeline(Protocol):
    """What serving, jobs and commands need from a pipeline; see backend.pipeline.pipeline."""

    @property
    def labels(self) -> LabelSpace: ...

    def run(self, texts: Sequence[str], *, deadline_s: float) -> list[Decision | None]:
        """One decision a text, in order; None where the deadline passed before any level had looked at it."""
        ...

    def explain(self, text: str) -> "Explanation":
        """The decision that `run` makes about a text alone, without a deadline, and what led to it."""
        ...

    def without_llm(self) -> "Pipeline":
        """The same pipeline whose LLM level is off."""
        ...

    def with_live(self, examples: Sequence[Example]) -> "Pipeline":
        """The same pipeline whose neighbour index also holds `examples`, newest last.

        An example replaces one of the same id; an empty label forgets it. Replaces what an earlier call added.
        """
        ...

"""An embedder for tests: texts that share words are near each other. Meets the pipeline's protocol."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from backend.core.deadline import Deadline
from backend.core.types import Example, FloatArray, Label, LabelSpace
from backend.pipeline.decide import Policy
from backend.pipeline.levels import Retrieval
from backend.pipeline.pipeline import Pipeline
from backend.pipeline.retrieve import Index, embed_examples, embed_labels, usable

SPACE = LabelSpace(
    (
        Label("cancel_order", "cancel_order", "stop an order before it is sent"),
        Label("repeat_order", "repeat_order", "buy the same again"),
        Label("lost_card", "lost_card", "a bank card is gone"),
    ),
    "other",
)


@dataclass(frozen=True)
class WordEmbedder:
    """Words hashed to directions."""

    dim: int = 256
    lead: int = 256
    floor: float = 0.0
    spread: float = 0.1
    asked: list[str] = field(default_factory=list)  # every text that was embedded

    def embed(self, texts: Sequence[str]) -> FloatArray:
        self.asked.extend(texts)
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, int(hashlib.sha256(word.strip(".,!?").encode()).hexdigest(), 16) % self.dim] += 1.0
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)

    def windows(self, texts: Sequence[str], *, deadline: Deadline) -> list[FloatArray]:
        """A text of any length is one window."""
        return [vector[None] for vector in self.embed(texts)]


def index_of(examples: Sequence[Example], *, space: LabelSpace = SPACE) -> Index:
    embedder, kept = WordEmbedder(), usable(examples, space)
    labels = embed_labels(space, embedder)
    return Index.of(space, labels, kept, embed_examples(kept, embedder, labels))


def pipeline_of(examples: Sequence[Example] = (), *, space: LabelSpace = SPACE) -> Pipeline:
    """A pipeline without a classifier."""
    return Pipeline(space, Retrieval(WordEmbedder(), index_of(examples, space=space)), Policy(space))

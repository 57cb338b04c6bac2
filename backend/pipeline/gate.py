"""The gate: which texts a costlier level looks at: only those that the cheaper ones are not sure of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from backend.core.types import STAGES, BoolArray, FloatArray, Stage
from backend.pipeline.evidence import NO_STAGE, Evidence

THRESHOLDS: Mapping[Stage, float] = {  # confidence from which a level's answer stands
    "retrieve": 0.995,  # the classifier costs a tenth of the embedding that was paid already: nearly always worth it
    "classify": 0.6,  # a vote costs a thousand times a classification; before the first label a third of texts get one
}


@dataclass(frozen=True)
class Gate:
    """Stated thresholds; learned ones replace them once there is a stated loss."""

    thresholds: Mapping[Stage, float] = field(default_factory=lambda: THRESHOLDS)

    def unsure(self, probs: FloatArray, evidence: Evidence) -> BoolArray:
        """(n_texts,): readable, and the best probability is under the threshold of the level that it comes from."""
        needed = np.array([*(self.thresholds.get(stage, 0.0) for stage in STAGES), np.inf])
        at = np.where(evidence.stages == NO_STAGE, len(STAGES), evidence.stages)
        unsure: BoolArray = probs.max(axis=1) < needed[at]
        return evidence.readable & unsure

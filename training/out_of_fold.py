"""What a model says about its examples when it has not seen them: calibrates it, and judges it where labels are few.

Kept beside the model, with the scores behind each answer: thresholds that promise a precision are chosen from it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from backend.core.types import FloatArray, IntArray, Stage
from backend.pipeline.decide import ABSTAIN_BELOW
from backend.pipeline.evidence import Evidence
from backend.pipeline.fuse import Fuser, signs, weighted
from backend.pipeline.pipeline import Pipeline
from backend.pipeline.scaling import Scaling
from backend.pipeline.stored import HALF
from training.blind import Blindfold
from training.calibrate import MAX_ROWS, Calibration, calibrate
from training.evaluate import Outcome
from training.judge import Judged

OUT_OF_FOLD = "out_of_fold.jsonl"


class Asking(Protocol):
    """Which examples are asked about."""

    @property
    def seed(self) -> int: ...

    @property
    def judges(self) -> frozenset[str] | None:
        """Ids whose labels may judge and calibrate; None: all."""
        ...


@dataclass(frozen=True)
class OutOfFold:
    """Evidence about some examples, by level."""

    blindfold: Blindfold
    asked: IntArray  # rows of the examples
    seen: dict[Stage, Evidence]
    unknown: dict[Stage, Evidence]

    @classmethod
    def of(cls, blindfold: Blindfold, asking: Asking) -> "OutOfFold":
        """About the examples that may judge, at most MAX_ROWS of them, spread over all."""
        examples = blindfold.material.examples
        rows = [row for row, one in enumerate(examples) if asking.judges is None or one.id in asking.judges]
        asked = np.random.default_rng(asking.seed).permutation(np.array(rows, np.int64))[:MAX_ROWS]
        asked = np.sort(asked) if len(examples) > 1 else asked[:0]  # of a single example there is nothing left
        seen, unknown = (blindfold.evidence(asked, without=left) for left in ("group", "label"))
        return cls(blindfold, asked, _levels(seen), _levels(unknown))

    @property
    def columns(self) -> IntArray:
        return self.blindfold.rows.columns[self.asked]

    def calibrated(self, *, share: float, expected: Scaling) -> Calibration:
        """As `calibrate` does it."""
        return calibrate(self.seen, self.unknown, self.columns, share=share, expected=expected)

    def probabilities(self, fuser: Fuser) -> FloatArray:
        """(n_asked, n_labels + 1), by the last level."""
        return fuser.fuse(list(self.seen.values())[-1])

    def judged(self, pipeline: Pipeline) -> Judged:
        """What would have been decided about each example."""
        probs, material = self.probabilities(pipeline.fuser), self.blindfold.material
        examples = [material.examples[row] for row in self.asked]
        outcomes = [
            Outcome(
                example.id, example.label, material.values[best], float(row[best]), float(row[-1]),
                bool(row[best] < ABSTAIN_BELOW),
            )
            for example, row, best in zip(examples, probs, probs.argmax(axis=1).tolist(), strict=True)
        ]  # fmt: skip
        return Judged("out_of_fold" if outcomes else "none", examples, outcomes)

    def save(self, folder: Path, fuser: Fuser) -> None:
        """One line an example: its label, what was said with which confidence, and the scores that this came from."""
        last = list(self.seen)[-1]
        evidence, probs = self.seen[last], self.probabilities(fuser)
        logits, found, values = weighted(evidence, fuser.weights[last]), signs(evidence), self.blindfold.material.values
        with (folder / OUT_OF_FOLD).open("w", encoding="utf-8", errors=HALF) as file:
            for at, row in enumerate(self.asked.tolist()):
                best = int(probs[at].argmax())
                line = {
                    "id": self.blindfold.material.examples[row].id, "label": values[self.columns[at]],
                    "predicted": values[best], "confidence": round(float(probs[at, best]), 6),
                    "p_out_of_scope": round(float(probs[at, -1]), 6), "score": round(float(logits[at, best]), 4),
                    "signs": {name: round(float(sign[at]), 4) for name, sign in found.items() if np.isfinite(sign[at])},
                }  # fmt: skip
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def unseen_of(folder: Path, *, but: str) -> FloatArray:
    """What a model said of its examples unseen, as p(out of scope); those of the label `but` are left out."""
    with (folder / OUT_OF_FOLD).open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return np.array([line["p_out_of_scope"] for line in lines if line["label"] != but], np.float32)


def _levels(evidence: Evidence) -> dict[Stage, Evidence]:
    """The same evidence as each level leaves it."""
    if "classifier" not in evidence.names:
        return {"retrieve": evidence}
    return {"retrieve": evidence.before("classifier"), "classify": evidence}

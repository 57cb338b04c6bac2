"""The policy: probabilities and evidence to one decision a text, with a reason a person can check.

A reason names labels and ids of examples, never another text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from backend.core.direction import isolated
from backend.core.types import STAGES, Decision, DecisionKind, FloatArray, LabelProb, LabelSpace, Neighbour
from backend.pipeline.clean import share_cut
from backend.pipeline.evidence import NO_STAGE, Evidence
from backend.pipeline.reasons import Messages, Speaker

ABSTAIN_BELOW = 0.2  # under it a tick is wrong more often than four times in five and costs more than it saves
K_ALTERNATIVES = 10
K_SHOWN = 5  # nearest examples that a reason counts
K_IDS = 2  # of them that it names
ID_LENGTH = 8  # characters of an id: rows without one are named by a hash


@dataclass(frozen=True)
class Policy:
    """When to say a label, when out of scope, when nothing."""

    space: LabelSpace
    abstain_below: float = ABSTAIN_BELOW
    speaker: Speaker = field(default_factory=Speaker)

    def decide(self, probs: FloatArray, evidence: Evidence, *, milliseconds: float = 0.0) -> list[Decision]:
        """One decision a text, in order.

        Args:
            probs: (n_texts, n_labels + 1), calibrated.
            milliseconds: each text's share of the time that its batch took.
        """
        readable = evidence.readable
        return [self._one(probs[row], evidence, row, bool(readable[row]), milliseconds) for row in range(len(evidence))]

    def _one(self, probs: FloatArray, evidence: Evidence, row: int, readable: bool, milliseconds: float) -> Decision:
        order = np.argsort(-probs[:-1], kind="stable")[:K_ALTERNATIVES]
        best = int(order[0]) if len(order) else -1
        kind = self._kind(probs, best, readable)
        is_oos = kind == "out_of_scope"
        alternatives = tuple(LabelProb(self.space.labels[i].value, float(probs[i])) for i in order)
        return Decision(
            kind=kind,
            predicted_label=self.space.oos_value if is_oos or best < 0 else self.space.labels[best].value,
            confidence=float(np.clip(probs[-1] if is_oos or best < 0 else probs[best], 0.0, 1.0)),
            p_out_of_scope=float(np.clip(probs[-1], 0.0, 1.0)),
            stage=STAGES[max(int(evidence.stages[row]), 0)],
            reason=self._reason(kind, probs, order.tolist(), evidence, row, readable),
            alternatives=alternatives,
            neighbours=evidence.neighbours[row][:K_SHOWN],
            milliseconds=milliseconds,
            tokens=int(evidence.tokens[row]),
            scores=_scores(evidence, row, best),
        )

    def _kind(self, probs: FloatArray, best: int, readable: bool) -> DecisionKind:
        if not readable or best < 0 or max(probs[best], probs[-1]) < self.abstain_below:
            return "abstain"
        if probs[-1] > probs[best]:
            return "out_of_scope"
        return "label" if self._can_choose else "abstain"

    @property
    def _can_choose(self) -> bool:
        """Whether a label is said against something: another one, or the choice for none of these."""
        return len(self.space) > 1 or bool(self.space.oos_value)

    def _reason(
        self, kind: DecisionKind, probs: FloatArray, order: Sequence[int], evidence: Evidence, row: int, readable: bool
    ) -> str:
        messages = self.speaker.messages(evidence.texts[row])
        if not readable or not order:
            return messages.say("no_labels" if readable else "unreadable")
        if kind == "abstain" and not self._can_choose:
            return messages.say("one_label")
        if kind == "abstain" and self.space.oos_value:
            order = sorted([*order[:2], len(probs) - 1], key=lambda column: -probs[column])
        names = [self._name(column) for column in order[:2]]
        shares = [f"{100 * float(probs[column]):.0f}" for column in order[:2]]
        if kind == "abstain" and len(names) > 1:
            return messages.say(
                "abstain_two", label=names[0], percent=shares[0], other=names[1], other_percent=shares[1]
            )
        if kind != "label":
            return messages.say(kind, label=names[0], percent=shares[0])
        value = self.space.labels[order[0]].value
        like = [near for near in evidence.neighbours[row][:K_SHOWN] if near.label == value]
        stage = STAGES[max(int(evidence.stages[row]), 0)] if evidence.stages[row] != NO_STAGE else "retrieve"
        reason = _resembles(like, names[0], messages) if like else messages.say(stage, label=names[0])
        return messages.say("next", reason=reason, label=names[1], percent=shares[1]) if len(names) > 1 else reason

    def with_cut(self, decision: Decision, text: str) -> Decision:
        """The decision about a text as it came; says how much of it was read where that is not all."""
        share = share_cut(text)
        if not share:
            return decision
        percent = max(1, round(100 * (1 - share)))
        reason = self.speaker.messages(text).say("cut", reason=decision.reason, percent=percent)
        return replace(decision, reason=reason, share_cut=share)

    def _name(self, column: int) -> str:
        """Of a label, or of the choice that means none of them."""
        return isolated(one_line(self.space.labels[column].name if column < len(self.space) else self.space.oos_value))


def _scores(evidence: Evidence, row: int, column: int) -> dict[str, float]:
    """What was measured of a pair of text and label, by feature, as it was before any weight."""
    if column < 0:
        return {}
    seen = np.flatnonzero(evidence.present[row, column]).tolist()
    return {evidence.names[at]: float(evidence.raw[row, column, at]) for at in seen}


def _resembles(like: Sequence[Neighbour], label: str, messages: Messages) -> str:
    ids = ", ".join(f"#{one_line(near.example_id)[:ID_LENGTH]}" for near in like[:K_IDS])
    return messages.resembles(len(like), label=label, ids=ids)


def one_line(text: str) -> str:
    return " ".join(text.split())

"""From the steps of a run to an explanation: what the pipeline saw on its way, so that both cannot differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from backend.core.explanation import Candidate, Explanation, Look
from backend.core.types import BoolArray, Decision, FloatArray, LabelSpace
from backend.pipeline.evidence import Evidence
from backend.pipeline.scaling import Scaling

K_CANDIDATES = 10
OUT_OF_SCOPE = "(out of scope)"  # the candidate that is no label


@dataclass(frozen=True, slots=True)
class Step:
    """One level's turn."""

    name: str  # of the level's class, lower case
    before: FloatArray  # (n_texts, n_labels + 1) probabilities before it
    unsure: BoolArray  # (n_texts,): which texts it was given
    evidence: Evidence  # after it
    milliseconds: float


def explanation(
    text: str, cleaned: str, decision: Decision, steps: Sequence[Step], probs: FloatArray, space: LabelSpace,
    *, prompts: Mapping[str, str], parts: Sequence[object],
) -> Explanation:  # fmt: skip
    """From the steps of a run on this one text.

    Args:
        probs: (n_labels + 1,), as fused from the last step's evidence.
        parts: whose plain fields are told as settings.
    """
    evidence = steps[-1].evidence
    return Explanation(
        text, cleaned, decision, tuple(_look(step, at, steps) for at, step in enumerate(steps)),
        tuple(_candidates(evidence, probs, space)), evidence.neighbours[0], dict(prompts),
        {name: value for part in parts for name, value in _plain(part)},
    )  # fmt: skip


def _look(step: Step, at: int, steps: Sequence[Step]) -> Look:
    known = steps[at - 1].evidence.names if at else ()
    found = tuple(name for name in step.evidence.names if name not in known)
    return Look(step.name, float(step.before[0].max(initial=0.0)), bool(step.unsure[0]), found, step.milliseconds)


def _candidates(evidence: Evidence, probs: FloatArray, space: LabelSpace) -> Iterator[Candidate]:
    names = (*space.values, space.oos_value or OUT_OF_SCOPE)
    for column in (-probs).argsort(kind="stable")[:K_CANDIDATES].tolist():
        there = [at for at in range(len(evidence.names)) if evidence.present[0, column, at]]
        values, raw = (
            {evidence.names[at]: float(stack[0, column, at]) for at in there}
            for stack in (evidence.values, evidence.raw)
        )
        yield Candidate(names[column], float(probs[column]), values, raw)


def _plain(part: object) -> Iterator[tuple[str, Any]]:
    """The fields that are numbers, words, or such by name."""
    if is_dataclass(part):
        values = ((field.name, _lines(getattr(part, field.name))) for field in fields(part))
        yield from ((name, _told(value)) for name, value in values if _is_plain(value))


def _lines(value: object) -> object:
    """Of scalings by stage, their numbers."""
    if isinstance(value, Mapping):
        return {name: asdict(each) if isinstance(each, Scaling) else each for name, each in value.items()}
    return value


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(each) for each in value.values())
    return isinstance(value, bool | int | float | str)


def _told(value: Any) -> Any:
    return {name: _told(each) for name, each in value.items()} if isinstance(value, Mapping) else value

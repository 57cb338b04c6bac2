"""Why a text was decided as it was: what each level found, what the gate asked for, and what came of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.core.types import Decision, Neighbour

NAME_WIDTH = 14
GAP = "  "  # between two columns


@dataclass(frozen=True, slots=True)
class Look:
    """What a level made of the text."""

    level: str
    confidence_before: float  # of the best candidate, 0-1
    looked: bool  # whether the gate let it
    found: tuple[str, ...]  # names of the features that it added
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A label and all that speaks for or against it."""

    label: str
    probability: float
    features: Mapping[str, float]  # on the fuser's scale; those that are missing are left out
    raw: Mapping[str, float]  # as the level measured it


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and what led to it."""

    text: str
    cleaned: str
    decision: Decision
    looks: tuple[Look, ...]
    candidates: tuple[Candidate, ...]  # best first, out of scope among them
    neighbours: tuple[Neighbour, ...]  # nearest first
    prompts: Mapping[str, str]  # what each language model was asked, by its name; empty where none was
    settings: Mapping[str, Any]  # of fuser, gate and policy: calibration and thresholds

    def __str__(self) -> str:
        return "\n".join([self.head, "", *_aligned(*self.table), self.tail])

    @property
    def head(self) -> str:
        """What was decided, and what each level made of it."""
        return "\n".join(self._decided())

    @property
    def table(self) -> tuple[list[str], list[list[str]]]:
        """Names of columns, and a row a candidate: each feature as it is weighed (and as it was measured)."""
        names = list(dict.fromkeys(name for candidate in self.candidates for name in candidate.features))
        rows = [
            [each.label, f"{each.probability:.4f}", *(_cell(each, name) for name in names)] for each in self.candidates
        ]
        return ["candidate", "probability", *names], rows

    @property
    def tail(self) -> str:
        """Neighbours, prompts, calibration and thresholds."""
        return "\n".join(self._rest())

    def _decided(self) -> Iterator[str]:
        decision = self.decision
        yield _line("text", self.text)
        yield _line("cleaned", self.cleaned)
        yield _line("decision", f"{decision.kind} {decision.predicted_label!r}, confidence {decision.confidence:.4f}")
        remembered = ": all votes are known from before" if decision.stage == "vote" and not decision.tokens else ""
        yield _line("", f"by {decision.stage} in {decision.milliseconds:.1f} ms, {decision.tokens} tokens{remembered}")
        yield _line("reason", decision.reason)
        for look in self.looks:
            saw = f"found {', '.join(look.found)}" if look.found else "found nothing" if look.looked else "not asked"
            yield _line(look.level, f"before it {look.confidence_before:.4f}; {saw}; {look.milliseconds:.1f} ms")

    def _rest(self) -> Iterator[str]:
        if any(candidate.features for candidate in self.candidates):
            yield "each feature as it is weighed, and as it was measured in brackets"
        if self.neighbours:
            yield ""
            yield "nearest examples"
            yield from (f"  {near.similarity:.4f}  {near.label}  #{near.example_id}" for near in self.neighbours)
        for name, prompt in self.prompts.items():
            yield ""
            yield f"asked of {name}"
            yield from (f"  {line}" for line in prompt.splitlines())
        yield ""
        yield "calibration and thresholds"
        yield from _settings(self.settings)


def _settings(settings: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """One line a number, or a mapping of numbers."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and any(isinstance(each, Mapping) for each in value.values()):
            yield from _settings(value, f"{within}{name} of ")
        elif isinstance(value, Mapping):
            yield f"  {within}{name}: " + ", ".join(f"{key} {each:g}" for key, each in value.items())
        else:
            yield f"  {within}{name} = {value}"


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table's lines: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    return [
        GAP.join(
            [f"{row[0]:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in (columns, *rows)
    ]


def _cell(candidate: Candidate, name: str) -> str:
    return f"{candidate.features[name]:.3f} ({candidate.raw[name]:.3f})" if name in candidate.features else "-"


def _line(name: str, text: str) -> str:
    return f"{name:<{NAME_WIDTH}} {text}"

"""A trial: labels that people gave are replayed in their order, as if prelabel had been there from the first on.

Each text is predicted from what came before it, then its label is learned at once, and now and then a model is trained.
Nothing is written anywhere but in a temporary folder.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from backend.assembly import Assembly
from backend.core.bounds import share_interval
from backend.core.types import Example, LabelSpace
from backend.ledger import IndexRow
from backend.pipeline.language import detect_language
from backend.pipeline.pipeline import Pipeline
from backend.serving import live_examples
from training.breakdown import LabelRow, per_label
from training.evaluate import Outcome, outcome_of
from training.intervals import Interval
from training.judge import HOLDOUT
from training.promise import Promise, claims_of, promise
from training.run import TrainingOptions, train
from training.splits import bucket_of

FIRST_TRAINING = 10  # labels, as for a connected project
GROWTH = 2  # labels from training to training; in service it is 1.1, so that a trial errs against prelabel
BLOCK_SHARE = 0.05  # of the labels so far are predicted at once: each knows all labels but these
MOST_AT_ONCE = 256
TARGETS = (0.95, 0.98)
ENOUGH = 50  # labels under which nothing can be said
RIGHT_SAVES, WRONG_COSTS = 0.5, 0.1  # of a task's time, by a tick that is right and one that is wrong
WORTH = 0.1  # of all the time: stated as the cost of a new tool
LONG = 3.0  # medians: who takes longer has gone for coffee


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text, the label that a person gave, and how long it took."""

    text: str
    label: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What prelabel would have done for people who labelled all of this."""

    n: int
    n_right: int  # ticked as people labelled
    n_wrong: int  # ticked otherwise
    n_frequent: int  # that the most frequent label so far would have hit
    recent: tuple[int, int]  # right ticks and texts of the second half
    labels: tuple[LabelRow, ...]  # of the second half, worst first
    promises: tuple[Promise, ...]  # of the second half, one for each of TARGETS
    minutes: float | None  # that people took, where somebody took the time
    saved: float | None  # of them

    @property
    def n_none(self) -> int:
        return self.n - self.n_right - self.n_wrong

    @property
    def n_corrections(self) -> int:
        """Labels that people would still have had to choose."""
        return self.n - self.n_right

    @property
    def saved_share(self) -> float:
        """Of the time of all tasks, which are taken to be alike where nobody took the time."""
        if self.minutes:
            return (self.saved or 0.0) / self.minutes
        return (RIGHT_SAVES * self.n_right - WRONG_COSTS * self.n_wrong) / self.n if self.n else 0.0

    @property
    def saved_interval(self) -> Interval:
        """In which the saved share lies but for a chance of 5 %, by how often a tick is right."""
        ends = share_interval(self.n_right, self.n)
        low, high = (
            self.saved_share + (RIGHT_SAVES + WRONG_COSTS) * (end - self.n_right / max(self.n, 1)) for end in ends
        )
        return low, high

    @property
    def objection(self) -> str:
        """Why it is not known to be worth it; empty where it is."""
        if self.n < ENOUGH:
            return f"{self.n} labels are too few to tell, at least {ENOUGH} are needed"
        right, n = self.recent
        if share_interval(right, n)[0] <= self.n_frequent / self.n:
            return "ticks may be right no more often than the most frequent label is"
        low, high = (max(end, 0.0) for end in self.saved_interval)
        if low < WORTH:
            return f"it would have saved {low:.0%} to {high:.0%} of the time, and {WORTH:.0%} is what a new tool costs"
        return ""

    @property
    def verdict(self) -> str:
        """In a line. That it is not worth it is said only where the upper end of what it saves is too little."""
        if not self.objection:
            low, high = self.saved_interval
            return f"worth it: {low:.0%} to {high:.0%} of the time"
        surely = self.n >= ENOUGH and self.saved_interval[1] < WORTH
        return f"{'not worth it' if surely else 'not known to be worth it'}: {self.objection}"


def run_trial(
    history: Sequence[Labelled], space: LabelSpace, *, options: TrainingOptions, assembly: Assembly,
    report: Callable[[int], None],
) -> Trial:  # fmt: skip
    """Replay a history, oldest first.

    Args:
        report: is told after each block how many labels are done.
    """
    rows = [Example(str(place), item.text, item.label) for place, item in enumerate(history)]
    options = replace(options, language=options.language or detect_language(row.text for row in rows))
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        learner = Learner(space, options, assembly, Path(folder))
        while len(outcomes) < len(rows):
            start = len(outcomes)
            pipeline = learner.pipeline_after(rows[:start])
            end = min(start + _block(start), learner.next_training, len(rows))
            decisions = pipeline.run([row.text for row in rows[start:end]], deadline_s=float("inf"))
            told = zip(rows[start:end], decisions, strict=True)
            outcomes += [outcome_of(row.id, row.label, decision) for row, decision in told if decision is not None]
            report(len(outcomes))
    return summary(outcomes, [item.seconds for item in history])


@dataclass
class Learner:
    """The version that would serve, trained again whenever the labels have doubled."""

    space: LabelSpace
    options: TrainingOptions
    assembly: Assembly
    folder: Path
    n_trained: int = -1
    next_training: int = 0
    judged_on_holdout: bool = False
    pipeline: Pipeline = field(init=False)

    def pipeline_after(self, known: Sequence[Example]) -> Pipeline:
        """What would serve once these labels are known."""
        if len(known) >= self.next_training:
            self._train(known)
        rows = [IndexRow(int(row.id), row.text, row.label, bucket_of(row.text), 0) for row in known[self.n_trained :]]
        live = live_examples(rows, judged_on_holdout=self.judged_on_holdout)
        return self.pipeline.with_live(live) if live else self.pipeline

    def _train(self, known: Sequence[Example]) -> None:
        out = self.folder / str(len(known))
        manifest = train(known, self.space, out=out, options=self.options, assembly=self.assembly)
        self.pipeline = self.assembly.pipeline(out, llm=False)
        self.judged_on_holdout = manifest.judged_on == HOLDOUT
        self.n_trained, self.next_training = len(known), max(FIRST_TRAINING, GROWTH * len(known))


def summary(outcomes: Sequence[Outcome], seconds: Sequence[float | None]) -> Trial:
    """From what would have been said about each text, in order, and how long people took for it."""
    ticked = [outcome for outcome in outcomes if not outcome.abstained and outcome.predicted]
    n_right = sum(outcome.correct for outcome in ticked)
    recent = outcomes[len(outcomes) // 2 :]
    minutes, saved = _minutes(outcomes, seconds)
    return Trial(
        len(outcomes), n_right, len(ticked) - n_right, _frequent(outcomes),
        (sum(outcome.correct and not outcome.abstained for outcome in recent), len(recent)),
        tuple(per_label(recent)) if recent else (),
        tuple(promise(claims_of(recent), target) for target in TARGETS), minutes, saved,
    )  # fmt: skip


def _block(n_known: int) -> int:
    return min(max(int(BLOCK_SHARE * n_known), 1), MOST_AT_ONCE)


def _frequent(outcomes: Sequence[Outcome]) -> int:
    """How often the most frequent label of those before was the right one."""
    seen: Counter[str] = Counter()
    n_right = 0
    for outcome in outcomes:
        n_right += bool(seen) and seen.most_common(1)[0][0] == outcome.label
        seen[outcome.label] += 1
    return n_right


def _minutes(outcomes: Sequence[Outcome], seconds: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Minutes that people took, and that ticks would have saved; long pauses count as LONG medians."""
    taken = [each for each in seconds if each is not None]
    if not taken:
        return None, None
    longest = LONG * median(taken)
    spent = saved = 0.0
    for outcome, each in zip(outcomes, seconds, strict=True):
        if each is not None:
            time_s = min(each, longest)
            spent += time_s
            if not outcome.abstained and outcome.predicted:
                saved += time_s * (RIGHT_SAVES if outcome.correct else -WRONG_COSTS)
    return spent / 60, saved / 60

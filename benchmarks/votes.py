"""What the language models' votes are worth: with them, without them, each by itself, and put together in other ways.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with fetched weights> \
        python -m benchmarks.votes [TEXTS] [GGUF=WEIGHT[,listed] ...]

The voters are those of the profile, or the given files with the weight that each has before labels have told; "listed"
ones are shown a list and asked for a letter. For each number of labels a class a model is trained on the train split,
the votes' worth learned from them, and TEXTS (N_ASKED) of the test split are decided without the voters, with them
where the gate lets them, and with all of them asked about all texts. Then the voters are compared on these, and their
votes put together in other ways. Intervals are paired bootstraps over texts (95 %).
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

import numpy as np
from rich.console import Console
from rich.table import Table

from backend.assembly import Assembly
from backend.core.deadline import FOREVER, Deadline
from backend.core.profiles import LOCAL, ModelSpec
from backend.core.settings import load_settings
from backend.core.spending import NOTHING, Bill, Spend
from backend.core.types import BoolArray, Example, FloatArray, IntArray, LabelSpace
from backend.logs import configure_logs
from backend.models.answers import NoAnswers
from backend.pipeline.evidence import CONFUSED, VOTE, Evidence
from backend.pipeline.fuse import Fuser
from backend.pipeline.gate import Gate
from backend.pipeline.pipeline import CHUNK, Pipeline
from backend.pipeline.question import Question, Vote, Voter
from backend.pipeline.retrieve import columns_of
from backend.pipeline.vote import LlmVoter
from backend.pipeline.voting import Voting
from benchmarks.datasets import clinc, massive, space_of
from training.run import TrainingOptions, train

N_ASKED = 200  # test texts
PER_LABEL = (0, 1, 3, 10, 100)  # labels a class; 100: all there are
COMPARED_AT = 3  # labels a class at which voters and ways to put them together are compared
N_TIMED = 50  # texts that a voter's cost is measured on
N_BOOTSTRAPS = 2000
SETS: dict[str, tuple[str, Callable[[], list[Example]], Callable[[], list[Example]]]] = {
    "CLINC150": ("en", lambda: clinc("train", oos=False), lambda: clinc("test", oos=False)),
    "MASSIVE-ru": ("ru", lambda: massive("ru", "train"), lambda: massive("ru", "test")),
}
ROUNDS = 20  # of Dawid and Skene's expectation and maximisation


@dataclass(frozen=True)
class Bench(Assembly):
    """Loads as prelabel does, with voters of one's own."""

    files: tuple[ModelSpec, ...] = ()
    extra: list[Voter] = field(default_factory=list)

    def voters(self, language: str, profile: str, *, project: str = "") -> tuple[Voter, ...]:
        if not self.files:
            return (*super().voters(language, profile, project=project), *self.extra)
        own = (self._voter(spec, language) for spec in self.files)
        return (*(voter for voter in own if voter), *self.extra)


@dataclass(frozen=True)
class Guesses:
    """A voter that is broken: it answers at random, sure of itself."""

    name: str = "guesses"
    weight: float = 0.6
    lasting: bool = False

    def prompt_for(self, question: Question) -> str:  # noqa: ARG002
        return ""

    def expected(self, questions: Sequence[Question]) -> Spend:  # noqa: ARG002
        return NOTHING

    def vote(self, questions: Sequence[Question], *, deadline: Deadline, bill: Bill | None = None) -> list[Vote | None]:  # noqa: ARG002
        return [Vote(*_sure(len(one.candidates), one.text), tokens=0) for one in questions]


@dataclass(frozen=True)
class Twin:
    """A voter that says what another says, and so errs where that errs."""

    other: Voter
    weight: float = 0.6
    lasting: bool = False

    @property
    def name(self) -> str:
        return f"twin of {self.other.name}"

    def prompt_for(self, question: Question) -> str:
        return self.other.prompt_for(question)

    def expected(self, questions: Sequence[Question]) -> Spend:
        return self.other.expected(questions)

    def vote(self, questions: Sequence[Question], *, deadline: Deadline, bill: Bill | None = None) -> list[Vote | None]:
        return self.other.vote(questions, deadline=deadline, bill=bill)


def _sure(n: int, text: str) -> tuple[FloatArray, float]:
    probs = np.full(n, 0.05 / n, np.float32)
    probs[int.from_bytes(text.encode()[-8:], "big") % n] += 0.9
    return probs, 0.05


def entries_of(arguments: Sequence[str]) -> tuple[ModelSpec, ...]:
    """As they would stand in a profile, from GGUF=WEIGHT or GGUF=WEIGHT,listed each."""
    found = []
    for path, _, rest in (one.partition("=") for one in arguments):
        weight, _, way = rest.partition(",")
        found.append(ModelSpec(LOCAL, f"file:{path}", options={"weight": float(weight), "listed": way == "listed"}))
    return tuple(found)


def trained(bench: Bench, known: Sequence[Example], space: LabelSpace, language: str, folder: Path) -> Pipeline:
    options = TrainingOptions(language=language, ask_voters=True, patience_s=600.0)
    train(known, space, out=folder, options=options, assembly=bench, holdout=frozenset())
    return bench.pipeline(folder)


def some(examples: Sequence[Example], k: int) -> list[Example]:
    """The first k of each label in an order that is the same for every k."""
    counts: dict[str, int] = {}
    order = np.random.default_rng(0).permutation(len(examples)).tolist()
    chosen = []
    for example in (examples[at] for at in order):
        counts[example.label] = counts.get(example.label, 0) + 1
        if counts[example.label] <= k:
            chosen.append(example)
    return chosen


def worth(table: Table, name: str, k: int, pipeline: Pipeline, asked: Sequence[Example]) -> None:
    texts = [example.text for example in asked]
    with_votes = pipeline.run(texts, deadline_s=float("inf"))
    without = pipeline.without_llm().run(texts, deadline_s=float("inf"))
    right = [
        np.array([one is not None and one.alternatives[0].label == e.label for one, e in zip(said, asked, strict=True)])
        for said in (without, with_votes)
    ]
    share = np.mean([one is not None and one.stage == "vote" for one in with_votes])
    gain = interval(right[1].astype(np.float32) - right[0])
    _, of_all = voted(pipeline, asked)
    all_asked = pipeline.fuser.fuse(of_all)[:, :-1].argmax(axis=1) == columns_of(asked, pipeline.labels)
    row = (
        name, str(k), f"{right[0].mean():.3f}", f"{right[1].mean():.3f}", gain, f"{share:.2f}",
        f"{pipeline.gate.thresholds['classify']:.2f}", f"{all_asked.mean():.3f}",
        interval(right[1].astype(np.float32) - all_asked),
    )  # fmt: skip
    table.add_row(*row)
    print(*row, file=sys.stderr, flush=True)


def interval(differences: FloatArray) -> str:
    draws = np.random.default_rng(0).integers(0, len(differences), (N_BOOTSTRAPS, len(differences)))
    low, high = np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
    return f"{100 * differences.mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def voted(pipeline: Pipeline, asked: Sequence[Example]) -> tuple[Evidence, Evidence]:
    """What is known of all texts before the votes, and with them, every voter having been asked about every text."""
    everything = replace(pipeline, gate=Gate({"retrieve": 2.0, "classify": 2.0}))
    texts = [example.text for example in asked]
    before = Evidence.joined([everything.gather(texts[at : at + CHUNK], FOREVER) for at in range(0, len(texts), CHUNK)])
    probs = everything.fuser.fuse(before)
    if not isinstance(pipeline.voting, Voting):
        raise SystemExit("no voter could be loaded: run `prelabel models fetch`, or name a GGUF file")
    return before, pipeline.voting.append(before, probs, where=np.ones(len(asked), np.bool_), deadline=FOREVER)


def compared(table: Table, title: str, pipeline: Pipeline, asked: Sequence[Example]) -> None:
    """The learned fuser against each voter and against other ways to put votes together, on the same candidates."""
    before, after = voted(pipeline, asked)
    columns = columns_of(asked, pipeline.labels)
    names = [name for name in after.names if name.startswith(VOTE)]
    votes = {name.removeprefix(VOTE): _probs(after, name) for name in names}
    said = {name: probs.argmax(axis=1) for name, probs in votes.items()}
    stacked = np.stack(list(votes.values()))
    accuracies = {name: float((of == columns).mean()) for name, of in said.items()}
    ways = {
        **{f"voter {name}": of for name, of in said.items()},
        "majority": _majority(np.stack(list(said.values())), stacked),
        "mean of probabilities": stacked.mean(axis=0).argmax(axis=1),
        "weighted by accuracy": np.einsum("v,vtl->tl", list(accuracies.values()), stacked).argmax(axis=1),
        "Dawid and Skene": dawid_skene(np.stack(list(said.values())), stacked.shape[2]),
        "no votes": pipeline.fuser.fuse(before)[:, :-1].argmax(axis=1),
        "the learned fuser without confusions": _without_confusions(pipeline).fuse(after)[:, :-1].argmax(axis=1),
        "the learned fuser": pipeline.fuser.fuse(after)[:, :-1].argmax(axis=1),
    }
    fused = (ways["the learned fuser"] == columns).astype(np.float32)
    for name, of in ways.items():
        right = (of == columns).astype(np.float32)
        table.add_row(
            title, name, f"{right.mean():.3f}", interval(fused - right) if name != "the learned fuser" else ""
        )


def _without_confusions(pipeline: Pipeline) -> Fuser:
    weights = pipeline.fuser.weights["vote"]
    return pipeline.fuser.with_votes({name: of for name, of in weights.items() if not name.startswith(CONFUSED)})


def agreeing(table: Table, title: str, pipeline: Pipeline, asked: Sequence[Example]) -> None:
    """Each voter: how often it answers, is right, agrees with the others, errs where they err, and what it costs."""
    if not isinstance(pipeline.voting, Voting):
        return
    before, after = voted(pipeline, asked)
    columns = columns_of(asked, pipeline.labels)
    few = np.arange(len(asked)) < N_TIMED
    questions = pipeline.voting.questions(before, pipeline.fuser.fuse(before), where=few)
    costs = {voter.name: _cost(voter, questions) for voter in pipeline.voting.voters}
    said = {voter.name: _probs(after, VOTE + voter.name) for voter in pipeline.voting.voters}
    for name, probs in said.items():
        best, wrong = probs.argmax(axis=1), probs.argmax(axis=1) != columns
        others = [other.argmax(axis=1) for key, other in said.items() if key != name]
        agreement = np.mean([(best == other).mean() for other in others]) if others else 1.0
        errors = np.mean([_correlation(wrong, other != columns) for other in others]) if others else 1.0
        answered = probs.max(axis=1) > 0
        candidates = after.present[:, :, after.names.index(VOTE + name)]
        table.add_row(
            title, name, f"{answered.mean():.2f}", f"{1 - wrong.mean():.3f}", f"{agreement:.2f}", f"{errors:.2f}",
            str(int((answered & ~candidates[np.arange(len(best)), best]).sum())), *costs[name],
        )  # fmt: skip


def _cost(voter: Voter, questions: Sequence[Question]) -> tuple[str, str]:
    """Tokens and milliseconds a text, of a voter that remembers nothing."""
    if not isinstance(voter, LlmVoter):
        return "", ""
    since = time.perf_counter()
    votes = replace(voter, answers=NoAnswers()).vote(questions, deadline=FOREVER)
    seconds = time.perf_counter() - since
    tokens = sum(vote.tokens for vote in votes if vote)
    return f"{tokens / len(questions):.0f}", f"{1000 * seconds / len(questions):.0f}"


def _correlation(one: BoolArray, other: BoolArray) -> float:
    return float(np.corrcoef(one, other)[0, 1]) if one.std() and other.std() else 0.0


def _probs(evidence: Evidence, name: str) -> FloatArray:
    """(n_texts, n_labels), 0 for labels that were no candidates."""
    at = evidence.names.index(name)
    return np.where(evidence.present[:, :-1, at], evidence.raw[:, :-1, at], 0.0)


def _majority(said: IntArray, stacked: FloatArray) -> IntArray:
    """The label that most voters prefer; of equals the one with the larger mean."""
    counts = np.stack([(said == label).sum(axis=0) for label in range(stacked.shape[2])], axis=1)
    return np.asarray((counts + stacked.mean(axis=0) / 2).argmax(axis=1))


def dawid_skene(said: IntArray, n_labels: int) -> IntArray:
    """The likeliest labels by voters' confusions, found by expectation and maximisation (Dawid and Skene 1979)."""
    texts = np.arange(said.shape[1])
    shares = np.stack([(said == label).mean(axis=0) for label in range(n_labels)], axis=1)
    for _ in range(ROUNDS):
        logs = np.log(shares.mean(axis=0) + 1e-9)[None, :].repeat(len(texts), axis=0)
        for of_voter in said:
            confusion = np.full((n_labels, n_labels), 0.01)
            np.add.at(confusion.T, of_voter, shares)
            confusion /= confusion.sum(axis=1, keepdims=True)
            logs += np.log(confusion[:, of_voter].T)
        shares = np.exp(logs - logs.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
    return np.asarray(shares.argmax(axis=1))


def main() -> None:
    configure_logs("WARNING")
    n_texts = next((int(one) for one in sys.argv[1:] if one.isdigit()), N_ASKED)
    bench = Bench(load_settings(), files=entries_of([one for one in sys.argv[1:] if not one.isdigit()]))
    gains = Table(
        "data", "labels a class", "without", "with votes", "gain, points", "asked", "up to",
        "all asked", "votes against that, points",
    )  # fmt: skip
    ways = Table("data", "way", "right", "the learned fuser against it, points")
    voters = Table("data", "voter", "answers", "right", "agrees", "errors correlate", "invalid", "tokens", "ms")
    with tempfile.TemporaryDirectory() as folder:
        for title, (language, read_known, read_asked) in SETS.items():
            known, asked = read_known(), read_asked()
            space = space_of(known)
            chosen = [asked[at] for at in np.random.default_rng(1).permutation(len(asked))[:n_texts].tolist()]
            for k in PER_LABEL:
                pipeline = trained(bench, some(known, k), space, language, Path(folder) / f"{title}-{k}")
                worth(gains, title, k, pipeline, chosen)
                if k == COMPARED_AT:
                    compared(ways, title, pipeline, chosen)
                    agreeing(voters, title, pipeline, chosen)
                    for extra in (Guesses(), Twin(bench.voters(language, "")[0])):
                        bench.extra[:] = [extra]
                        name = f"{title}, with {'one that guesses' if extra.name == 'guesses' else 'a twin'}"
                        odd = trained(bench, some(known, k), space, language, Path(folder) / name)
                        compared(ways, name, odd, chosen)
                        bench.extra[:] = []
    for table in (gains, voters, ways):
        table.box, table.header_style, table.pad_edge = None, "bold", False
        Console(width=160).print(table)


if __name__ == "__main__":
    main()

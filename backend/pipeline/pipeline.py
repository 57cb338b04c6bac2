"""The pipeline: texts to decisions, by levels of growing cost.

Immutable and safe to share between threads: whoever has new examples makes a new pipeline from it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import structlog

from backend.core.deadline import FOREVER, Deadline
from backend.core.errors import DeadlineError
from backend.core.explanation import Explanation
from backend.core.reading import READ_CHARACTERS
from backend.core.types import STAGES, Decision, Example, FloatArray, IntArray, LabelSpace, Stage
from backend.pipeline.budget import Budget
from backend.pipeline.clean import clean
from backend.pipeline.decide import Policy
from backend.pipeline.evidence import Evidence
from backend.pipeline.explain import Step, explanation
from backend.pipeline.fuse import Fuser
from backend.pipeline.gate import Gate
from backend.pipeline.levels import Learning, Level, NoLevel, Retrieval
from backend.pipeline.question import Question, Voter
from backend.pipeline.rerank import NoReranker
from backend.pipeline.retrieve import columns_of, embed_examples, latest
from backend.pipeline.scaling import experience
from backend.pipeline.voting import Voting

CHUNK = 32  # texts between two looks at the deadline, fewer of long ones: about 0.1 s without language models
POOLED = 64  # unsure texts that voters are handed at once: what several of them share is read once
N_TOLD = 50  # of the examples since the training that tell how often answers are right: some 20 ms of each new one
EVERYTHING = 2.0  # a threshold that no confidence reaches
RERANKING_SHARE = 0.5  # of a chunk's equal part of the time left: no chunk goes without the cheap levels

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Unsure:
    """Texts that voters are to be asked about."""

    rows: IntArray  # of the texts
    evidence: Evidence
    spent_ms: float = 0.0  # that each has cost by now


def unseen(_step: Step) -> None:
    """Where nobody wants to know what each level found."""


@dataclass(frozen=True)
class Pipeline:
    """Rules and retrieval, the classifier, the language models; after each the fuser and the gate."""

    labels: LabelSpace
    retrieval: Retrieval
    policy: Policy
    classification: Learning = field(default_factory=NoLevel)
    voting: Level = field(default_factory=NoLevel)
    fuser: Fuser = field(default_factory=Fuser)
    gate: Gate = field(default_factory=Gate)
    seen: Callable[[Step], None] = unseen  # is told of each level's turn

    def run(self, texts: Sequence[str], *, deadline_s: float) -> list[Decision | None]:
        """Decide a label, out_of_scope or abstention per text, in order; None where the deadline came first.

        The cheap levels look at all texts before a language model looks at any.
        """
        started, deadline = time.monotonic(), Deadline.after(deadline_s)
        decisions: list[Decision | None] = [None] * len(texts)
        open_: list[Unsure] = []
        chunks = list(_chunks(texts))
        for place, rows in enumerate(chunks):
            if deadline.passed:
                break
            since = time.perf_counter()
            share = RERANKING_SHARE / (len(chunks) - place)
            try:
                evidence = self.gather([texts[row] for row in rows], deadline, reranking_share=share)
            except DeadlineError:
                break
            spent_ms = self._decide(decisions, rows, evidence, since, 0.0)
            unsure = self.gate.unsure(self.fuser.fuse(evidence), evidence)
            if self.voters and unsure.any():
                open_.append(Unsure(rows[unsure], evidence.take(unsure), spent_ms))
        for pool in _pooled(open_):
            if deadline.passed:
                break
            since = time.perf_counter()
            voted = self._append(self.voting, pool.evidence, deadline)
            self._decide(decisions, pool.rows, voted, since, pool.spent_ms)
        _mark_unvoted(decisions, [row for one in open_ for row in one.rows.tolist()])
        decisions = [one and self.policy.with_cut(one, text) for one, text in zip(decisions, texts, strict=True)]
        _log(decisions, time.monotonic() - started)
        return decisions

    def explain(self, text: str) -> Explanation:
        """The decision that `run` makes about a text alone, without a deadline, and what led to it."""
        steps: list[Step] = []
        made = replace(self, seen=steps.append).run([text], deadline_s=float("inf"))
        (decision,) = [each for each in made if each is not None]  # there is no deadline that it could miss
        last = steps[-1]
        voting = self.voting if isinstance(self.voting, Voting) and decision.stage == "vote" else None
        return explanation(
            text, clean(text), decision, steps, self.fuser.fuse(last.evidence)[0], self.labels,
            prompts=voting.prompts(last.evidence, last.before[0]) if voting else {},
            parts=(self.fuser, self.gate, self.policy),
        )  # fmt: skip

    def gather(self, texts: Sequence[str], deadline: Deadline, *, reranking_share: float = RERANKING_SHARE) -> Evidence:
        """What the cheap levels find out about a few texts.

        Args:
            reranking_share: of the time left, 0-1, that a reranker may take.

        Raises:
            DeadlineError: time was up before the first level had looked at them.
        """
        with self.retrieval.timed("clean"):
            cleaned = [clean(text) for text in texts]
        evidence = Evidence.of(cleaned, self.labels)
        evidence = self._append(self.retrieval, evidence, deadline)
        evidence = self._append(self.retrieval.reranking, evidence, deadline.part(reranking_share))
        return self._append(self.classification, evidence, deadline)

    def with_live(self, examples: Sequence[Example]) -> "Pipeline":
        """The same pipeline that also knows `examples`; see `backend.core.types.Pipeline`."""
        known = latest(examples, self.labels)
        vectors = embed_examples(known, self.retrieval.embedder, self.retrieval.index.labels)
        texts = [clean(example.text) for example in known]
        classification = self.classification.with_live(texts, vectors, columns_of(known, self.labels))
        retrieval = self.retrieval.with_live(examples)
        fuser = self._told(known).with_experience(experience(retrieval.index.columns, len(self.labels)))
        return replace(self, retrieval=retrieval, classification=classification, fuser=fuser)

    def _told(self, examples: Sequence[Example]) -> Fuser:
        """The fuser as the latest examples move it that the trained model has not seen, by what it says of them."""
        unseen = [one for one in examples if not len(self.retrieval.index.trained.rows_of([one.id]))][-N_TOLD:]
        if not self.fuser.scalings or len(self.labels) < 2:
            return self.fuser
        trained = self._as_trained
        evidence = trained.gather([one.text for one in unseen], FOREVER)
        stage: Stage = "classify" if evidence.feature("classifier") is not None else "retrieve"
        return self.fuser.with_answers(evidence, stage, columns_of(unseen, self.labels))

    @property
    def _as_trained(self) -> "Pipeline":
        """Without what came since, and with all cheap levels asked about all texts."""
        nothing = np.zeros((0, 0), np.float32), np.zeros(0, np.int64)
        return replace(
            self,
            retrieval=replace(self.retrieval.with_live(()), reranker=NoReranker()),
            classification=self.classification.with_live((), *nothing),
            gate=Gate({}.fromkeys(STAGES, EVERYTHING)),
        )

    @property
    def voters(self) -> Sequence[Voter]:
        """Who is asked what the cheap levels are not sure of."""
        return self.voting.voters if isinstance(self.voting, Voting) else ()

    def questions(self, texts: Sequence[str]) -> list[list[Question]]:
        """What voters would be asked about texts, were there no deadline, call by call; nobody is asked."""
        if not isinstance(self.voting, Voting):
            return []
        open_: list[Unsure] = []
        for rows in _chunks(texts):
            evidence = self.gather([texts[row] for row in rows], FOREVER)
            unsure = self.gate.unsure(self.fuser.fuse(evidence), evidence)
            if unsure.any():
                open_.append(Unsure(rows[unsure], evidence.take(unsure)))
        pools = [pool.evidence for pool in _pooled(open_)]
        return [
            self.voting.questions(pool, self.fuser.fuse(pool), where=np.ones(len(pool), np.bool_)) for pool in pools
        ]

    def with_budget(self, budget: Budget) -> "Pipeline":
        """The same pipeline, whose voters are asked through a budget."""
        voting = replace(self.voting, budget=budget) if isinstance(self.voting, Voting) else self.voting
        return replace(self, voting=voting)

    def without_llm(self) -> "Pipeline":
        """The same pipeline without its costliest level."""
        return replace(self, voting=NoLevel())

    def _append(self, level: Level, evidence: Evidence, deadline: Deadline) -> Evidence:
        if isinstance(level, NoLevel):
            return evidence
        since = time.perf_counter()
        probs = self.fuser.fuse(evidence)
        unsure = self.gate.unsure(probs, evidence)
        grown = level.append(evidence, probs, where=unsure, deadline=deadline)
        self.seen(Step(type(level).__name__.lower(), probs, unsure, grown, 1000 * (time.perf_counter() - since)))
        return grown

    def _decide(
        self, decisions: list[Decision | None], rows: IntArray, evidence: Evidence, since: float, spent_ms: float
    ) -> float:
        """Put decisions in their places; returns the milliseconds that each of these texts has cost by now."""
        probs: FloatArray = self.fuser.fuse(evidence)
        spent_ms += 1000 * (time.perf_counter() - since) / len(rows)
        for row, decision in zip(rows, self.policy.decide(probs, evidence, milliseconds=spent_ms), strict=True):
            decisions[row] = decision
        return spent_ms


def _mark_unvoted(decisions: list[Decision | None], rows: Sequence[int]) -> None:
    for row in rows:
        decision = decisions[row]
        if decision is not None and decision.stage != "vote":
            decisions[row] = replace(decision, unvoted=True)


def _chunks(texts: Sequence[str]) -> Iterator[IntArray]:
    """Rows of at most CHUNK texts of like length, short ones first: an embedder pads each batch to its longest."""
    lengths = [min(len(text), READ_CHARACTERS) for text in texts]
    chunk: list[int] = []
    size = 0
    for row in np.argsort(lengths, kind="stable").tolist():
        if chunk and (len(chunk) == CHUNK or size + lengths[row] > READ_CHARACTERS):
            yield np.array(chunk, np.int64)
            chunk, size = [], 0
        chunk.append(row)
        size += lengths[row]
    if chunk:
        yield np.array(chunk, np.int64)


def _pooled(parts: Sequence[Unsure]) -> Iterator[Unsure]:
    """Chunks that follow each other and were looked at by the same levels, together, up to POOLED texts."""
    pool: list[Unsure] = []
    for part in parts:
        size = sum(len(one.rows) for one in pool)
        if pool and (size + len(part.rows) > POOLED or part.evidence.names != pool[0].evidence.names):
            yield _together(pool)
            pool = []
        pool.append(part)
    if pool:
        yield _together(pool)


def _together(pool: Sequence[Unsure]) -> Unsure:
    rows = np.concatenate([part.rows for part in pool])
    spent_ms = sum(part.spent_ms * len(part.rows) for part in pool) / len(rows)
    return Unsure(rows, Evidence.joined([part.evidence for part in pool]), spent_ms)


def _log(decisions: Sequence[Decision | None], seconds: float) -> None:
    made = [decision for decision in decisions if decision is not None]
    counts: dict[str, int] = {}
    for decision in made:
        for key in (decision.kind, f"stage_{decision.stage}"):
            counts[key] = counts.get(key, 0) + 1
    n_cut = sum(decision.share_cut > 0 for decision in made)
    late = len(decisions) - len(made)
    log.debug("decided", texts=len(decisions), late=late, cut=n_cut, seconds=round(seconds, 3), **counts)

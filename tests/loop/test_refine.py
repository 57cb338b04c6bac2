"""Votes that come later, against a real Label Studio: what they make better is pushed, the rest is left as it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from backend.connection.connect import ConnectOptions, connect
from backend.core.deadline import Deadline
from backend.core.spending import Bill, Spend
from backend.job_queue import QUEUES, UNVOTED, queue
from backend.labelstudio.records import Task
from backend.labelstudio.wire import choice
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.refine import refine
from backend.loop.replacements import refresh_tasks
from backend.pipeline.fuse import Fuser
from backend.pipeline.gate import Gate
from backend.pipeline.question import Question, Vote
from backend.pipeline.voting import Voting, stated
from backend.serving import Served
from tests.projects import config_of
from tests.stack import Backend

pytestmark = [pytest.mark.label_studio, pytest.mark.redis]
TEXTS = ("a fine thing that works", "broken when it came", "would buy it again")


@dataclass(frozen=True)
class Insists:
    """A voter that always chooses one label, and needs more time than a label stream has."""

    value: str = "praise"
    needs_s: float = 30.0
    name: str = "insists"
    weight: float = 50.0
    lasting: bool = False
    asked: list[str] = field(default_factory=list)

    def prompt_for(self, question: Question) -> str:
        return question.text

    def expected(self, questions: Sequence[Question]) -> Spend:
        return Spend(len(questions), self.needs_s)

    def vote(self, questions: Sequence[Question], *, deadline: Deadline, bill: Bill | None = None) -> list[Vote | None]:
        if deadline.left_s < self.needs_s:
            return [None] * len(questions)
        self.asked.extend(question.text for question in questions)
        if bill is not None:
            bill.add(Spend(len(questions), 0.1))
        said = [[0.97 if label.value == self.value else 0.01 for label in each.candidates] for each in questions]
        return [Vote(np.array(probs, np.float32), 0.01, 1) for probs in said]


@pytest.fixture
def work(backend: Backend) -> Iterator[ProjectDesk]:
    """A connected project whose predictions were pushed; nobody works on its queue."""
    with Desk(backend.settings) as desk:
        project = desk.client.create_project(title="refined", label_config=config_of(["complaint", "praise"]))
        desk.client.import_tasks(project.id, [{"text": text} for text in TEXTS])
        connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        for name in QUEUES:  # what connecting asked for: while others wait, nobody is asked to vote
            queue(desk.queue.connection, name).empty()
        (desk.loader.folder(str(project.key)).root / "settings.toml").write_text('language = "en"\nblind_share = 0.0\n')
        yield desk.project(str(project.key))


def insisting(work: ProjectDesk, voter: Insists) -> Served:
    """What serves, with a voter that is asked about everything."""
    served = work.served()
    assert served is not None
    pipeline: Any = served.pipeline
    fuser = Fuser({**pipeline.fuser.weights, "vote": stated([voter])}, pipeline.fuser.signs)
    made = replace(pipeline, voting=Voting((voter,)), gate=Gate({"retrieve": 2.0, "classify": 2.0}), fuser=fuser)
    fresh = replace(served, pipeline=made)
    work.desk.memory.put(work.key, fresh)
    return fresh


def ticks(work: ProjectDesk) -> list[list[str]]:
    return [[region["value"]["choices"][0] for region in each.predictions[-1]["result"]] for each in tasks_of(work)]


def tasks_of(work: ProjectDesk) -> list[Task]:
    return list(work.desk.client.tasks(work.id))


def test_what_had_no_time_for_votes_is_put_aside_and_refined_by_a_job(work: ProjectDesk) -> None:
    voter = Insists()
    served = insisting(work, voter)
    refresh_tasks(work, served, tasks_of(work))
    before = ticks(work)
    assert ["complaint"] in before
    assert voter.asked == [], "the head of the label stream waits for nobody"
    assert refine(work)
    assert sorted(voter.asked) == sorted(TEXTS)
    assert ticks(work) == [["praise"]] * len(TEXTS)
    assert [len(task.predictions) for task in tasks_of(work)] == [1] * len(TEXTS)
    last = work.desk.ledger.last_shown(work.key, [task.id for task in tasks_of(work)])
    changed = [last[task.id].stage for task, tick in zip(tasks_of(work), before, strict=True) if tick == ["complaint"]]
    assert set(changed) == {"vote"}
    assert work.desk.queue.take(UNVOTED, work.key, 10) == []


def test_a_task_that_has_a_label_by_then_is_left_alone(work: ProjectDesk) -> None:
    voter = Insists()
    refresh_tasks(work, insisting(work, voter), tasks_of(work))
    first = tasks_of(work)[0]
    before = first.predictions
    work.desk.client.create_annotation(first.id, [choice(work.control, "complaint")], lead_time_s=1.0)
    assert refine(work)
    assert sorted(voter.asked) == sorted(TEXTS[1:])
    assert tasks_of(work)[0].predictions == before


def test_a_vote_that_changes_nothing_is_not_pushed(work: ProjectDesk) -> None:
    insisting(work, Insists())
    ids = [task.id for task in tasks_of(work)]
    work.desk.queue.put_aside(UNVOTED, work.key, ids)
    assert refine(work)
    written = [task.predictions[0]["updated_at"] for task in tasks_of(work)]
    work.desk.queue.put_aside(UNVOTED, work.key, [*ids, 10**9])
    assert refine(work)
    assert [task.predictions[0]["updated_at"] for task in tasks_of(work)] == written

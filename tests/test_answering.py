"""What is answered from memory, where language models have no time within the deadline."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.answering import Answering, answering_of
from backend.core.projects import ProjectKey
from backend.job_queue import UNVOTED
from backend.labelstudio.wire import PredictRequest, predict_request
from backend.pipeline.gate import Gate
from backend.pipeline.voting import Voting
from tests.golden.record import LABEL_CONFIG
from tests.labelstudio.served import serve, settings_for
from tests.loop.test_refine import Insists
from tests.stack import wait_for

KEY, PROJECT = "84-1795230264", "84.1795230264"
pytestmark = pytest.mark.redis


@pytest.fixture
def answering(redis_url: str, tmp_path: Path) -> Iterator[Answering]:
    """What serves one project, without a web server around it."""
    web = serve(settings_for(tmp_path / "home", redis_url), KEY, LABEL_CONFIG)
    made = answering_of(web.settings)
    wait_for(lambda: made.projects.get(KEY) is not None)
    yield made
    made.ledger.engine.dispose()
    web.close()


def request_of(*texts: str, **params: Any) -> PredictRequest:
    tasks = [{"id": number, "data": {"text": text}} for number, text in enumerate(texts, start=1)]
    return predict_request({"tasks": tasks, "project": PROJECT, "label_config": LABEL_CONFIG, "params": params})


def have_voter(answering: Answering, voter: Insists) -> None:
    served = answering.projects.get(KEY)
    assert served is not None
    pipeline: Any = replace(served.pipeline, voting=Voting((voter,)), gate=Gate({"retrieve": 2.0, "classify": 2.0}))  # type: ignore[type-var]
    answering.projects.memory.put(KEY, replace(served, pipeline=pipeline))


@pytest.mark.parametrize("params", [{}, {"context": {"result": []}}], ids=["stream", "interactive"])
def test_an_answer_without_time_for_votes_comes_at_once_and_is_refined_later(
    answering: Answering, params: dict[str, Any]
) -> None:
    have_voter(answering, Insists(needs_s=1000.0))
    found = answering.predict(request_of("где мой заказ", "верните деньги", **params))
    assert all(found)
    assert [job.id.partition("-")[0] for job in answering.queue.waiting() if job.project == KEY] == ["refine"]
    assert answering.queue.take(UNVOTED, str(ProjectKey.parse(KEY)), 10) == [1, 2]


def test_what_was_voted_on_is_not_looked_at_again(answering: Answering) -> None:
    have_voter(answering, Insists(needs_s=0.0))
    assert all(answering.predict(request_of("где мой заказ")))
    assert answering.queue.take(UNVOTED, KEY, 10) == []

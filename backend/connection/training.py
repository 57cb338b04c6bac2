"""A training that a person asks for: queued for the workers, and followed until its verdict."""

import time
from collections.abc import Callable

from backend.core.errors import BadInputError, OutsideError
from backend.ledger import Training
from backend.loop.desk import ProjectDesk

QUEUE = "train"
LOOK_S = 0.5
ALONE_S = 30.0  # without a worker, as while the supervisor starts it again
WAITING, RUNNING, FAILED = "queued", "started", "failed"  # RQ's words


def ask(work: ProjectDesk) -> str:
    """Queue a training, whatever the project's own rhythm; the job's id.

    Raises:
        BadInputError: the project is frozen.
        OutsideError: no worker listens; the job waits for one all the same.
    """
    if work.row.frozen:
        raise BadInputError(
            f"project {work.id} must not be frozen to be trained, but is; run: prelabel freeze --project {work.id} "
            "--off"
        )
    job = work.desk.queue.enqueue("retrain", work.key)
    if not listened_to(work):
        raise OutsideError(
            f"a worker must listen to the queue `{QUEUE}`, but none does; job {job} waits for one: run prelabel up, "
            f"or prelabel worker --queues {QUEUE}"
        )
    return job


def follow(work: ProjectDesk, job: str, watch: Callable[[str], None]) -> Training | None:
    """Wait for the end of a training that was asked for; None where there was no label to train on.

    Args:
        watch: is told the job's state again and again: "queued" or "started".

    Raises:
        OutsideError: the training failed, or nobody is there to do it.
    """
    before = len(work.desk.ledger.trainings(work.key))
    heard = time.monotonic()
    while (state := work.desk.queue.status(job)) in (WAITING, RUNNING):
        watch(state)
        time.sleep(LOOK_S)
        heard = time.monotonic() if listened_to(work) else heard
        if time.monotonic() - heard > ALONE_S:
            raise OutsideError(
                f"a worker must train project {work.id}, but none has listened for {ALONE_S:.0f} s; job {job} waits "
                "for one: see its log, worker-train.log"
            )
    if state == FAILED:
        raise OutsideError(
            f"the training of project {work.id} must end, but failed; what serves stays; see the worker's log, and "
            "run: prelabel doctor"
        )
    trainings = work.desk.ledger.trainings(work.key)
    return trainings[-1] if len(trainings) > before else None


def listened_to(work: ProjectDesk) -> bool:
    """Whether a worker takes trainings."""
    return bool(work.desk.queue.workers()[QUEUE])

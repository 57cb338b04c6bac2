"""SIGKILL at random moments of predict, push, retrain, promote and rollback: what is lost, how long it takes.

    prelabel up --detach && python -m benchmarks.chaos [KILLS]

A person labels without pause, texts are imported, versions are trained, promoted and rolled back; meanwhile one of
the stack's processes is killed, and the next one only once everything works again. What the person's Label Studio
has acknowledged must be there at the end, in Label Studio, in the ledger and in the index.
"""

import functools
import json
import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import psutil
import requests
from rq import Worker

from backend.connection.versions import rollback, unpin
from backend.core.artefacts import read_manifest
from backend.core.errors import ArtefactError, PrelabelError
from backend.core.settings import load_settings
from backend.job_queue import connect
from backend.logs import configure_logs
from backend.loop.desk import Desk, ProjectDesk
from backend.supervisor.label_studio import NAME as LABEL_STUDIO
from backend.supervisor.services import CRON, TRAINER, WEB, WORKER
from backend.supervisor.state import read_status
from backend.supervisor.valkey import NAME as VALKEY
from benchmarks.playground import (
    annotate,
    gold_of,
    looked_after,
    predict_once,
    sample_project,
    sample_tasks,
    wait_until,
)

N_KILLS = 200
N_TASKS = 1500
N_BROUGHT = 60  # texts at once
VICTIMS = (WEB, WORKER, TRAINER, CRON, VALKEY, LABEL_STUDIO)
BACK_WITHIN_S = 15.0
MOMENT_S = 3.0  # a kill comes so long after everything worked, at most
LOOK_S = 0.1
SEED = 0


def main(n_kills: int) -> None:
    configure_logs("WARNING")
    desk = Desk(load_settings())
    with sample_project(desk, n_tasks=N_TASKS) as work:
        print(json.dumps(chaos(work, n_kills), indent=2, ensure_ascii=False))


def chaos(work: ProjectDesk, n_kills: int) -> dict[str, object]:
    chance, stop = random.Random(SEED), threading.Event()
    person, life = Person(work), Life(work, random.Random(SEED + 1))
    threads = [threading.Thread(target=run, args=(stop,)) for run in (person.run, life.run)]
    for thread in threads:
        thread.start()
    seconds: dict[str, list[float]] = {victim: [] for victim in VICTIMS}
    try:
        for number in range(n_kills):
            time.sleep(chance.uniform(0.0, MOMENT_S))
            victim = chance.choice(VICTIMS)
            seconds[victim].append(kill(work, victim))
            print(f"{number + 1}/{n_kills} {victim} {seconds[victim][-1]:.1f} s", file=sys.stderr, flush=True)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for _ in range(2):  # the second finds what the first one has asked for; pruning old versions may still go on
        looked_after(work)
    return {
        "kills": n_kills,
        "back after, s": summary(seconds),
        "done meanwhile": dict(life.done),
        **found(work, person),
    }


@dataclass
class Person:
    """Labels the next task again and again; what Label Studio acknowledged is kept."""

    work: ProjectDesk
    acknowledged: dict[int, tuple[int, str]] = field(default_factory=dict)  # annotation -> task, label
    failures: int = 0

    def run(self, stop: threading.Event) -> None:
        desk = Desk(self.work.desk.settings)  # a client of their own
        mine = replace(self.work, desk=desk)
        while not stop.wait(0.3):
            try:
                task = desk.client.next_task(self.work.id)
                label = gold_of(task["data"]["text"])
                self.acknowledged[annotate(mine, task["id"], label, lead_time=1.0)] = (task["id"], label)
            except PrelabelError:
                self.failures += 1  # nothing was acknowledged


@dataclass
class Life:
    """What goes on in a project besides labelling."""

    work: ProjectDesk
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)

    def run(self, stop: threading.Event) -> None:
        deeds: tuple[Callable[[ProjectDesk], object], ...] = (
            ask_predictions,
            bring_texts,
            ask_training,
            go_back,
            go_on,
        )
        while not stop.wait(self.chance.uniform(0.5, 4.0)):
            deed = self.chance.choice(deeds)
            try:
                with Desk(self.work.desk.settings) as desk:
                    deed(desk.project(self.work.key))
                self.done[deed.__name__] += 1
            except (PrelabelError, requests.RequestException):
                self.done["refused"] += 1


def ask_predictions(work: ProjectDesk) -> None:
    predict_once(work)


def bring_texts(work: ProjectDesk) -> None:
    work.desk.client.import_tasks(work.id, sample_tasks(work.project.counters["task_number"], N_BROUGHT))


def ask_training(work: ProjectDesk) -> None:
    work.desk.queue.enqueue("retrain", work.key)


def go_back(work: ProjectDesk) -> None:
    rollback(work)


def go_on(work: ProjectDesk) -> None:
    unpin(work)


def kill(work: ProjectDesk, victim: str) -> float:
    """SIGKILL a process; seconds until everything works again, the victim under another number."""
    wait_until(lambda: bool(numbers(work)[victim]), every_s=LOOK_S)  # it may have ended with the one before it
    before = numbers(work)[victim]
    psutil.Process(before).kill()
    died = time.perf_counter()
    wait_until(lambda: all(numbers(work).values()) and numbers(work)[victim] != before, every_s=LOOK_S)
    for works in (answers, labels, listens):
        wait_until(functools.partial(quietly, works, work), every_s=LOOK_S)
    return time.perf_counter() - died


def numbers(work: ProjectDesk) -> dict[str, int]:
    """Process numbers as the supervisor knows them; 0 while one does not run."""
    status = read_status(work.desk.settings.home)
    known = {process.name: process.pid for process in status.processes} if status else {}
    return {victim: known.get(victim, 0) for victim in VICTIMS}


def answers(work: ProjectDesk) -> bool:
    """Whether the web process predicts."""
    return predict_once(work) == 3


def labels(work: ProjectDesk) -> bool:
    """Whether Label Studio answers an annotator."""
    return work.desk.client.project(work.id).id == work.id


def listens(work: ProjectDesk) -> bool:
    """Whether the workers that run now wait for jobs."""
    pids = numbers(work)
    connection = connect(work.desk.settings, answer_within_s=1.0)
    try:
        there = {worker.name: worker.pid for worker in Worker.all(connection=connection)}
    finally:
        connection.close()
    return all(there.get(name) == pids[name] for name in (WORKER, TRAINER))


def quietly(works: Callable[[ProjectDesk], bool], work: ProjectDesk) -> bool:
    try:
        return works(work)
    except Exception:  # noqa: BLE001  (whatever it is: it does not work yet)
        return False


def found(work: ProjectDesk, person: Person) -> dict[str, object]:
    """What is lost, doubled or half-written."""
    tasks = {task.id: task for task in work.desk.client.tasks(work.id)}
    there = {item.id for task in tasks.values() for item in task.annotations}
    entered = {row.annotation_id: row.label for row in work.desk.ledger.accepted(work.key)}
    index = {row.task_id: row.label for row in work.desk.ledger.index_rows(work.key)}
    said = person.acknowledged
    doubled = [
        task.id
        for task in tasks.values()
        if any(n > 1 for n in Counter(item["model_version"] for item in task.predictions).values())
    ]
    return {
        "labels acknowledged": len(said),
        "lost in Label Studio": sum(number not in there for number in said),
        "lost in the ledger": sum(entered.get(number) != label for number, (_, label) in said.items()),
        "lost in the index": sum(index.get(task) != label for task, label in said.values()),
        "tasks with a prediction doubled": len(doubled),
        "half-written artefacts": half_written(work),
        "trainings": len(work.desk.ledger.trainings(work.key)),
    }


def half_written(work: ProjectDesk) -> int:
    """Versions that cannot be read, and what is left of publishing."""
    bad = 0
    for version in work.folder.versions():
        try:
            read_manifest(work.folder.artefact(version))
        except ArtefactError:
            bad += 1
    return bad + sum(path.name.startswith(".") for path in (work.folder.root / "artefacts").iterdir())


def summary(seconds: dict[str, list[float]]) -> dict[str, object]:
    all_of = [each for some in seconds.values() for each in some]
    return {
        **{name: _spread(some) for name, some in seconds.items() if some},
        "all": _spread(all_of),
        f"over {BACK_WITHIN_S:.0f} s": sum(each > BACK_WITHIN_S for each in all_of),
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    return {
        "n": len(seconds),
        "median": round(statistics.median(seconds), 1),
        "max": round(max(seconds), 1),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else N_KILLS)

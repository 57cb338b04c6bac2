"""Corrections in a project's first tasks through a real Label Studio, beside the simulation of the same order.

    PRELABEL_TEST_DATA=<folder> python -m benchmarks.live_corrections [N_TASKS [PAUSE_S]]

`prelabel up --detach` first. The project holds the tasks of the first order of `annotation_loop` and nothing else, none
of them blind, and is labelled whole, in the random order in which Label Studio shows them. The annotator looks at what
is ticked, submits the right label and goes on after PAUSE_S. A correction is a task whose best label was another one;
where nothing is ticked, `explain` says afterwards which one that was.
"""

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backend.connection.connect import ConnectOptions, connect
from backend.connection.explained import Asked, explain_task
from backend.core.artefacts import write_atomically
from backend.core.projects import SETTINGS_FILE
from backend.core.settings import load_settings
from backend.core.types import Example, LabelSpace
from backend.labelstudio.records import Json
from backend.logs import configure_logs
from backend.loop.desk import Desk, ProjectDesk
from backend.serving import live_examples, trained_generation
from benchmarks.annotation_loop import N_TASKS, Loop, orders
from benchmarks.datasets import clinc, space_of
from benchmarks.playground import CONFIG, annotate, predicted, wait_until

PAUSE_S = 1.0
RANDOM = "Uniform sampling"  # as Label Studio calls it


@dataclass(frozen=True, slots=True)
class Look:
    """What an annotator saw of a task."""

    task_id: int
    task: Example
    ticked: str  # empty: nothing
    serving: str  # the version that answers now


def main(n_tasks: int = N_TASKS, pause_s: float = PAUSE_S) -> None:
    configure_logs("WARNING")
    warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # few examples, many labels
    examples = clinc("train", oos=False)
    space, tasks = space_of(examples), next(orders(examples)).tasks[:n_tasks]
    with Desk(load_settings()) as desk, random_project(desk, tasks, space) as work:
        begun = time.perf_counter()
        looks = annotated(work, tasks, pause_s)
        tell({"seconds a task": round((time.perf_counter() - begun) / len(looks), 2)})
        tell({"trained on": [row.n_examples for row in desk.ledger.trainings(work.key)]})
        tell(corrections(work, looks))
        tell({"corrections, had each prediction been of that moment": fresh_corrections(work, looks)})
        tell(simulated(desk, space, [look.task for look in looks]))


def tell(figures: Json) -> None:
    print(json.dumps(figures), flush=True)


@contextmanager
def random_project(desk: Desk, tasks: Sequence[Example], space: LabelSpace) -> Iterator[ProjectDesk]:
    """A connected project of these texts that Label Studio shows in random order, none of them blind."""
    config = CONFIG % "".join(f'<Choice value="{value}"/>' for value in space.values)
    project = desk.client.create_project(title="corrections", label_config=config, sampling=RANDOM)
    desk.client.import_tasks(project.id, [{"text": task.text} for task in tasks])
    folder = desk.loader.folder(str(project.key))
    folder.root.mkdir(parents=True)
    write_atomically(folder.root / SETTINGS_FILE, 'language = "en"\nblind_share = 0\n')
    connect(desk, project, ConnectOptions(order_by_uncertainty=False), lambda _: None)
    work = desk.project(str(project.key))
    wait_until(lambda: predicted(work))
    try:
        yield work
    finally:
        desk.ledger.remove_project(work.key)  # first, so that no job writes to what is deleted
        desk.client.delete_project(project.id)


def annotated(work: ProjectDesk, tasks: Sequence[Example], pause_s: float) -> list[Look]:
    """Label all tasks, in the order in which Label Studio shows them."""
    by_text, looks = {task.text: task for task in tasks}, list[Look]()
    for _ in tasks:
        begun = time.perf_counter()
        shown = work.desk.client.next_task(work.id)
        task = by_text[shown["data"]["text"]]
        looks.append(Look(shown["id"], task, ticked(shown), work.folder.current()))
        annotate(work, shown["id"], task.label, lead_time=time.perf_counter() - begun)
        time.sleep(pause_s)
    return looks


def ticked(shown: Json) -> str:
    """What the page of the label stream ticks: its first prediction."""
    regions = [region for item in shown["predictions"][:1] for region in item["result"]]
    return str(regions[0]["value"]["choices"][0]) if regions else ""


def corrections(work: ProjectDesk, looks: Sequence[Look]) -> dict[str, int]:
    nothing = [look for look in looks if not look.ticked]
    wrong_ticks = sum(look.ticked != look.task.label for look in looks if look.ticked)
    wrong_bests = sum(best_label(work, look) != look.task.label for look in nothing)
    return {"corrections": wrong_ticks + wrong_bests, "nothing ticked": len(nothing), "of these wrong": wrong_bests}


def best_label(work: ProjectDesk, look: Look) -> str:
    """Of a task where nothing was ticked."""
    return explain_task(work.desk, look.task_id, Asked()).explanation.decision.alternatives[0].label


def fresh_corrections(work: ProjectDesk, looks: Sequence[Look]) -> int:
    """What the versions that served would have cost, had they known each label before the next task was shown."""
    wrong, known, served = 0, set[int](), None
    for look in looks:
        if served is None or served.version != look.serving:
            served = work.desk.loader.load(work.key, look.serving)
            rows = work.desk.ledger.index_rows(work.key, after=trained_generation(served.manifest))
        before = [row for row in rows if row.task_id in known]
        live = live_examples(before, judged_on_holdout=served.manifest.judged_on == "holdout")
        pipeline = served.pipeline.without_llm().with_live(live)
        (decision,) = pipeline.run([look.task.text], deadline_s=float("inf"))
        wrong += decision is None or decision.alternatives[0].label != look.task.label
        known.add(look.task_id)
    return wrong


def simulated(desk: Desk, space: LabelSpace, drawn: Sequence[Example]) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(desk.loader.assembly, space, "en", Path(folder))
        return {
            "simulated": loop.corrections(drawn, []),
            "simulated, with the texts of the project": loop.corrections(drawn, [task.text for task in drawn]),
        }


if __name__ == "__main__":
    main(*(int(n) for n in sys.argv[1:2]), *(float(s) for s in sys.argv[2:3]))

"""Where what the ledger says was shown is not what was on the screen, or the screen contradicts itself."""

from collections.abc import Iterator, Sequence

from backend.core.projects import is_blind
from backend.labelstudio.records import Task
from backend.labelstudio.schema import TOP_KEY, WHY_KEY
from backend.labelstudio.wire import PERCENT, shown_data, tells
from backend.loop.desk import ProjectDesk
from backend.loop.order import is_place
from tests.labelling_page import Sight, Submitted

NEAR = 6  # percents that a rounded score and a rounded percent of one decision may be apart


def entered(work: ProjectDesk, submitted: Sequence[Submitted]) -> bool:
    """Whether the ledger has all that was submitted."""
    found = work.desk.ledger.accepted_as(work.key, [each.annotation_id for each in submitted])
    return len(found) == len(submitted)


def contradictions(work: ProjectDesk, submitted: Sequence[Submitted]) -> list[str]:
    """In words, what was recorded or seen wrongly."""
    return [said for each in submitted for said in (*_recorded(work, each), *_seen(work, each.sight))]


def stored_contradictions(work: ProjectDesk) -> list[str]:
    """The same of what Label Studio holds of all open tasks now, by the version that it shows."""
    version = work.desk.client.project(work.id).model_version
    return [said for task in work.desk.client.tasks(work.id) if task.open for said in _stored(work, task, version)]


def blind(work: ProjectDesk, task_id: int) -> bool:
    return is_blind(work.key, task_id, work.settings.blind_share)


def _recorded(work: ProjectDesk, each: Submitted) -> Iterator[str]:
    row = work.desk.ledger.accepted_as(work.key, [each.annotation_id])[each.annotation_id]
    sight = each.sight
    if blind(work, sight.task_id):
        if row.how != "blind":
            yield f"task {sight.task_id} is blind, recorded as {row.how}"
        return
    if row.how != ("seen" if sight.ticked else "unaided") or row.shown_label != sight.ticked:
        yield f"task {sight.task_id} showed {sight.ticked!r}, recorded is {row.how} {row.shown_label!r}"
    if sight.ticked and sight.percents and abs(sight.percents[sight.ticked] - 100 * (row.confidence or 0)) > NEAR:
        yield f"task {sight.task_id} showed {sight.percents[sight.ticked]} %, recorded is {row.confidence}"


def _seen(work: ProjectDesk, sight: Sight) -> Iterator[str]:
    if blind(work, sight.task_id):
        plain = tuple(item["value"] for item in shown_data(None, work.control).get(TOP_KEY, ()))
        if sight.ticked or sight.percents or sight.reason or (plain and sight.labels != plain):
            yield f"task {sight.task_id} is blind, shows {sight.ticked!r}, {sight.percents}, {sight.reason!r}"
        return
    if sight.reason and sight.reason not in sight.page:
        yield f"task {sight.task_id} does not show its reason"
    if bool(sight.percents) != bool(sight.reason):
        yield f"task {sight.task_id} shows percents {sight.percents} and the reason {sight.reason!r}"
    likeliest = max(sight.percents, key=lambda name: sight.percents[name], default="")
    if sight.ticked and likeliest and sight.percents.get(sight.ticked) != sight.percents[likeliest]:
        yield f"task {sight.task_id} ticks {sight.ticked!r} under {sight.percents}"


def _stored(work: ProjectDesk, task: Task, version: str) -> Iterator[str]:
    if blind(work, task.id):
        if tells(task.data):
            yield f"task {task.id} is blind and tells {task.data.get(WHY_KEY)!r}"
        return
    mine = [item for item in task.predictions if item["model_version"] == version]
    ticks = [item["result"][0]["value"]["choices"][0] for item in mine if item["result"]]
    shares = {
        item["value"]: int(found[-1])
        for item in task.data.get(TOP_KEY) or ()
        if (found := PERCENT.findall(item.get("html", "").partition("<b>")[2]))
    }
    if not ticks or not shares:
        return
    score = mine[0]["score"]
    if is_place(score):
        score = work.desk.ledger.last_shown(work.key, [task.id])[task.id].confidence
    if shares.get(ticks[0]) != max(shares.values()) or abs(100 * score - shares[ticks[0]]) > NEAR:
        yield f"task {task.id} ticks {ticks[0]!r} at {mine[0]['score']} under {shares}"

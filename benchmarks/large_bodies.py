"""Bodies as large as a request may be, and what they cost the web process: memory, seconds, /health meanwhile."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
import requests

from backend.core.settings import Settings
from tests.golden.record import LABEL_CONFIG
from tests.labelstudio.recordings import recording

LARGE_MB = 63
N_TASKS = 100_000  # of one request: the most that Label Studio's "Retrieve predictions" may send
PEAK_MB = 500  # that a body may take beyond what the process had
ANSWER_S = 100.0  # after which Label Studio gives up
HEALTH_S = 1.0  # the same for /health, which it asks three times
LOOK_S = 0.02
PIECE = 1_000  # tasks that are sent at once
MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Large:
    """A body, the route that it is sent to, and the answer that is right."""

    what: str
    path: str
    body: Callable[[str], Iterator[bytes]]  # given the project's key as Label Studio writes it
    statuses: tuple[int, ...]


def _filled(begin: str, unit: str, end: str) -> Callable[[str], Iterator[bytes]]:
    """Of LARGE_MB: the unit again and again between its begin and its end."""

    def parts(project: str) -> Iterator[bytes]:
        yield begin.replace("PROJECT", project).encode()
        piece = unit.encode() * (MB // len(unit))
        for _ in range(LARGE_MB):
            yield piece
        yield end.encode()

    return parts


def _selection(project: str) -> Iterator[bytes]:
    """Every task of a large project, as "Retrieve predictions" sends it."""
    recorded = recording("predict_batch")["request"]["body"]
    task = json.dumps(recorded["tasks"][0]).encode()
    yield json.dumps({"project": project, "label_config": LABEL_CONFIG}).encode()[:-1] + b', "tasks": ['
    for _ in range(N_TASKS // PIECE - 1):
        yield (task + b",") * PIECE
    yield (task + b",") * (PIECE - 1) + task + b"]}"


PREDICT = '"project": "PROJECT", "label_config": "<View/>"'
NEEDLESS = "{" + PREDICT + ', "x": ['
LISTS = '{"data": {"x": [' + "[]," * 1_000 + "[]]}},"
LARGES: tuple[Large, ...] = (
    Large("a list of lists", "/predict", _filled("[", "[],", "[]]"), (400,)),
    Large("tasks of lists", "/predict", _filled("{" + PREDICT + ', "tasks": [', LISTS, "{}]}"), (200, 422)),
    Large("one task of lists", "/predict", _filled('{"tasks": [{"data": [', "[],", "[]]}]}"), (413,)),
    Large("empty tasks", "/predict", _filled('{"tasks": [', "{},", "{}]}"), (413,)),
    Large("a text", "/predict", _filled('{"tasks": [{"data": {"text": "', "a", '"}}]}'), (413,)),
    Large("what nobody asks for", "/predict", _filled(NEEDLESS, "{},", '{}], "tasks": []}'), (413,)),
    Large("objects of what nobody asks for", "/predict", _filled(NEEDLESS, LISTS, '{}], "tasks": []}'), (200, 422)),
    Large("a label config", "/setup", _filled('{"project": "PROJECT", "schema": "', "<a/>", '"}'), (413,)),
    Large("a control's name", "/setup", _filled('{"extra_params": {"control": "', "a", '"}}'), (413,)),
    Large("an event's tasks", "/webhook", _filled('{"action": "TASKS_CREATED", "tasks": [', "{},", "{}]}"), (413,)),
    Large("a training's labels", "/train", _filled('{"project": "PROJECT", "x": [', "[],", "[]]}"), (413,)),
    Large("a job's name", "/job_status", _filled('{"job": "', "a", '"}'), (413,)),
)


@dataclass
class Cost:
    """What a body took of the process, beyond what it had."""

    began_mb: int
    peak_mb: int = 0
    health_s: float = 0.0  # the slowest answer
    done: threading.Event = field(default_factory=threading.Event)


def sent(settings: Settings, pids: list[int], key: str) -> tuple[list[dict[str, object]], list[str]]:
    """Send them one after the other; what each cost, and what should not have been."""
    told, faults = [], []
    selection = Large(f"{N_TASKS} tasks", "/predict", _selection, (200,))
    for large in (*LARGES, selection):
        with watched(settings, pids) as cost:
            status, reason, seconds = answer(settings, large, key.replace("-", "."))
        grew = cost.peak_mb - cost.began_mb
        told.append({
            "body": f"{large.path}: {large.what}", "answer": f"{status} {reason}", "seconds": round(seconds, 1),
            "MB more": grew, "/health s": round(cost.health_s, 2),
        })  # fmt: skip
        wrong = {
            f"is answered {status} {reason}": status not in large.statuses,
            f"takes {grew} MB": grew > PEAK_MB,
            f"takes {seconds:.0f} s": seconds > ANSWER_S,
            f"keeps /health waiting for {cost.health_s:.1f} s": cost.health_s > HEALTH_S,
        }
        faults += [f"{large.path} with {large.what} {what}" for what, found in wrong.items() if found]
    return told, faults


def answer(settings: Settings, large: Large, project: str) -> tuple[int, str, float]:
    body, headers = b"".join(large.body(project)), {"Content-Type": "application/json"}
    auth = settings.user, settings.password.get_secret_value()
    began = time.monotonic()
    try:
        url = f"{settings.backend_url}{large.path}"
        reply = requests.post(url, data=body, headers=headers, auth=auth, timeout=2 * ANSWER_S)
        status, reason = reply.status_code, str(reply.reason)
        if status == 200 and large.body is _selection and len(reply.json()["results"]) != N_TASKS:
            reason = "another number of results than tasks"
    except requests.RequestException as err:  # the connection may end before all is sent
        status, reason = 0, type(err).__name__
    return status, reason, time.monotonic() - began


@contextmanager
def watched(settings: Settings, pids: list[int]) -> Iterator[Cost]:
    """The processes' memory at its highest and /health at its slowest, until the block ends."""
    processes = [psutil.Process(pid) for pid in pids]

    def used() -> int:
        return sum(process.memory_info().rss for process in processes) // MB

    cost = Cost(began_mb=used(), peak_mb=used())

    def look() -> None:
        while not cost.done.wait(LOOK_S):
            cost.peak_mb = max(cost.peak_mb, used())

    def ask() -> None:
        while not cost.done.wait(10 * LOOK_S):
            began = time.monotonic()
            requests.get(f"{settings.backend_url}/health", timeout=ANSWER_S)
            cost.health_s = max(cost.health_s, time.monotonic() - began)

    threads = [threading.Thread(target=each) for each in (look, ask)]
    for thread in threads:
        thread.start()
    try:
        yield cost
    finally:
        cost.done.set()
        for thread in threads:
            thread.join()

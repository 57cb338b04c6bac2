"""Requests that nobody should send, to every route of a real web process: `python -m benchmarks.fuzz [REQUESTS]`.

A gunicorn and a Valkey of their own run over a temporary state folder with one project; no worker runs. Every answer is
judged, /health is asked all the while, and at the end so are the process, its log and its state folder. Then projects
that nobody connected are called for, and bodies as large as may be are sent: what is kept, and what they cost. Exit
code 1 where anything was found. The requests are the same each time: see benchmarks/odd_requests.py.
"""

import http.client
import json
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from backend.core.projects import ProjectKey
from backend.core.settings import Settings
from backend.job_queue import connect
from backend.labelstudio.wire import REASON_LENGTH
from backend.ledger import open_ledger
from backend.logs import configure_logs
from backend.supervisor.valkey import Valkey
from benchmarks import large_bodies
from benchmarks.odd_bodies import PLANTED, Recorded
from benchmarks.odd_requests import Credentials, Route, Shot, shots
from tests.golden.record import LABEL_CONFIG
from tests.labelstudio.recordings import TO_US, cases, recording
from tests.labelstudio.served import serve
from tests.patterns import N_SIGNS, WITHIN_S, patterns, seconds, slowest
from tests.stack import free_port, make_backend, running, wait_for

N_REQUESTS, N_PARTS, N_CALLERS = 10_000, 5, 4
N_SHOWN, SHOWN_BYTES = 20, 1_500  # of what was found
MAX_MB = 5  # of a request, so that some are too large
LARGEST_MB = 200  # as it is by default
N_STRANGERS = 500  # projects that nobody connected
HANG_S, SLOW_S, HEALTH_EVERY_S = 30.0, 10.0, 0.25
OPEN = ("/", "/health", "/live", "/ready")  # strangers are answered 200
FORESEEN = {200, 400, 401, 404, 405, 413, 422}
OK = 200
HIDDEN = (PLANTED, "Traceback", "Курьер", "Верните", "доставка", "refund")
OF_SERVER = {408, 414, 417, 431, 501}  # gunicorn's own words, before the application is asked
PLACES = {"/ready": {503}}  # no worker runs
MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """The web process that is shot at."""

    settings: Settings
    pid: int  # gunicorn's
    log: Path
    key: str
    routes: tuple[Route, ...]

    @property
    def given(self) -> Credentials:
        secrets = self.settings.password.get_secret_value(), self.settings.webhook_secret.get_secret_value()
        return Credentials(self.settings.user, *secrets)

    def strategy(self) -> SearchStrategy[Shot]:
        requests_ = [recording(case)["request"] for case in cases(TO_US)]
        recorded = [Recorded(each["path"], each["body"]) for each in requests_]
        asked = [Recorded("/train", {"project": self.key}), Recorded("/job_status", {"job": f"retrain-{self.key}-1"})]
        named = Recorded("/setup", {**recording("setup")["request"]["body"], "extra_params": {"control": "topic"}})
        return shots(self.routes, [*recorded, *asked, named], self.given)

    def workers(self) -> list[int]:
        return sorted(child.pid for child in psutil.Process(self.pid).children(recursive=True))

    def pss_mb(self) -> int:
        return sum(psutil.Process(pid).memory_full_info().pss for pid in (self.pid, *self.workers())) // MB

    def projects(self) -> set[str]:
        return {folder.name for folder in self.settings.projects_dir.iterdir()}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int  # 0 where the connection was closed without one
    reason: str
    body: bytes
    seconds: float


@dataclass
class Found:
    """What came back, and what should not have."""

    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, str]] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    health_s: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, what: str, shown: bytes) -> None:
        self.faults.append({"what": what, "bytes": str(len(shown)), "shown": repr(shown[:SHOWN_BYTES])})

    def note(self, shot: Shot, answer: Answer) -> None:
        with self.lock:
            name = shot.route or "another path"
            self.statuses[f"{name} {answer.status or 'closed'}"] += 1
            self.slowest = max(self.slowest, (round(answer.seconds, 2), name))
            for what in faults_of(shot, answer):
                self.fault(what, shot.raw)


def main(n: int) -> None:
    configure_logs("WARNING")  # this process's own
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        queue = Valkey(f"redis://:fuzz@127.0.0.1:{free_port()}/0", home / "valkey", home / "valkey.conf")
        with running(queue.service(), home):
            with target(home / "home", queue.url) as aim:
                report, faults = fuzz(aim, n)
                report["strangers"], more = strangers(aim)
                faults += told_as_faults(more)
            with target(home / "large", queue.url, max_mb=LARGEST_MB) as aim:
                report["large bodies"], more = large_bodies.sent(aim.settings, aim.workers(), aim.key)
                faults += told_as_faults(more)
    report["patterns"], more = attacked()
    faults += told_as_faults(more)
    print(json.dumps({**report, "faults": len(faults), "first faults": faults[:N_SHOWN]}, indent=2))
    sys.exit(bool(faults))


@contextmanager
def target(home: Path, redis_url: str, *, max_mb: int = MAX_MB) -> Iterator[Target]:
    """A real web process over the project that the recordings are about."""
    backend = make_backend(home, {"PRELABEL_REDIS_URL": redis_url, "PRELABEL_MAX_REQUEST_MB": str(max_mb)})
    key = str(ProjectKey.parse(recording("setup")["request"]["body"]["project"]))
    web = serve(backend.settings, key, LABEL_CONFIG)
    rules = [(str(rule), rule.methods or set()) for rule in web.app.url_map.iter_rules()]
    routes = tuple(Route(path, "POST" if "POST" in methods else "GET") for path, methods in rules)
    web.close()
    with backend.web() as child:
        auth = backend.settings.user, backend.settings.password.get_secret_value()
        url = f"{backend.settings.backend_url}/health"
        wait_for(lambda: key in requests.get(url, auth=auth, timeout=HANG_S).json()["versions"])
        yield Target(backend.settings, child.pid, child.log, key, routes)


def strangers(aim: Target, n: int = N_STRANGERS) -> tuple[dict[str, object], list[str]]:
    """Call for n projects that nobody connected; what of them is kept, which is a fault."""
    before = kept(aim)
    auth = aim.settings.user, aim.settings.password.get_secret_value()
    made = {"id": 0, "created_at": "2026-01-01T00:00:00Z"}
    for number in range(1, n + 1):
        project = f"{number}.1767225600"
        asked: dict[str, dict[str, object]] = {
            "/setup": {"project": project, "schema": LABEL_CONFIG, "extra_params": {"control": "x" * 10_000}},
            "/predict": {"project": project, "label_config": LABEL_CONFIG, "tasks": [{"id": 1, "data": {"text": "a"}}]},
            "/webhook": {"action": "PROJECT_UPDATED", "project": {**made, "id": number}},
        }
        for path, body in asked.items():
            requests.post(f"{aim.settings.backend_url}{path}", json=body, auth=auth, timeout=HANG_S)
    more = {name: n - before[name] for name, n in kept(aim).items()}
    return {"strangers": n, **more}, [f"{n} {name} more for strangers" for name, n in more.items() if n]


def kept(aim: Target) -> dict[str, int]:
    """Files and folders of the state, keys of the queue, projects of the database."""
    paths = [path for path in aim.settings.home.rglob("*") if path.parent.name != "logs"]
    queue = connect(aim.settings, answer_within_s=HANG_S)
    ledger = open_ledger(aim.settings)
    counted = {"files and folders": len(paths), "keys": int(queue.dbsize()), "projects": len(ledger.project_keys())}
    endless = [name for name in queue.keys("prelabel:*") if queue.ttl(name) < 0]
    ledger.engine.dispose()
    queue.close()
    return {**counted, "keys without an end": len(endless)}


def attacked() -> tuple[dict[str, object], list[str]]:
    """The slowest of all patterns of the source over N_SIGNS signs that nearly match, in seconds of a processor."""
    took = [
        (round(min(seconds(found.run, text) for _ in range(3)), 4), found.where)
        for found in patterns()
        if found.pattern is not None
        for text in slowest(found)
    ]
    told = {"attacked": len({where for _, where in took}), "signs": N_SIGNS, "slowest, s": max(took)}
    return told, [f"{where} takes {each} s over {N_SIGNS} signs" for each, where in took if each > WITHIN_S]


def told_as_faults(found: list[str]) -> list[dict[str, str]]:
    return [{"what": each, "bytes": "", "shown": ""} for each in found]


def fuzz(aim: Target, n: int) -> tuple[dict[str, object], list[dict[str, str]]]:
    """Send n requests, the same each time; what was seen, and what should not have been."""
    found, folders, workers, logged = Found(), aim.projects(), aim.workers(), aim.log.stat().st_size
    memory, started = {"before": aim.pss_mb()}, time.monotonic()
    with health_watched(aim, found):
        for part in range(N_PARTS):
            fire(aim, found, n // N_PARTS, part)
            memory[f"after {part + 1} of {N_PARTS}"] = aim.pss_mb()
    if aim.workers() != workers:
        found.fault(f"the process was {workers}, is {aim.workers()}", b"")
    for folder in aim.projects() - folders:
        found.fault("a state folder was made for a project that was never connected", folder.encode())
    lines = aim.log.read_bytes()[logged:].decode("utf-8", "replace").splitlines()
    for line in filter(told_too_much, lines):
        found.fault("the log holds a traceback, or a text, or a label", line.encode())
    report: dict[str, object] = {
        "requests": found.statuses.total(),
        "seconds": round(time.monotonic() - started),
        "by route and status": dict(sorted(found.statuses.items())),
        "slowest": found.slowest,
        "/health meanwhile, s": {
            "asked": len(found.health_s),
            "p50": round(statistics.median(found.health_s), 3),
            "worst": round(max(found.health_s), 3),
        },
        "MB": memory,
        "log": dict(Counter(str(json_of(line).get("event")) for line in lines)),
    }
    return report, found.faults


def fire(aim: Target, found: Found, n: int, part: int) -> None:
    """Hypothesis makes the requests one by one; N_CALLERS send them."""
    room = threading.Semaphore(2 * N_CALLERS)  # of those that are made and not yet answered

    def send_one(shot: Shot) -> None:
        try:
            found.note(shot, send(aim.settings.web_port, shot))
        finally:
            room.release()

    @seed(part)
    @settings(
        max_examples=n, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(aim.strategy())
    def make(shot: Shot) -> None:
        room.acquire()
        sent.append(callers.submit(send_one, shot))

    sent: deque[Future[None]] = deque()
    with ThreadPoolExecutor(N_CALLERS) as callers:
        make()
    for each in sent:
        each.result()


def send(port: int, shot: Shot) -> Answer:
    """Send a request's bytes over a connection of its own, and read what comes back until HANG_S have passed."""
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=HANG_S) as connection:
        with suppress(ConnectionError):  # refused before it was read to its end: there is an answer all the same
            connection.sendall(shot.raw)
            if not shot.whole:
                connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection, method=shot.method)
        try:
            answer.begin()
            body = answer.read()
        except (OSError, http.client.HTTPException) as err:
            return Answer(0, type(err).__name__, b"", time.monotonic() - started)
    return Answer(answer.status, answer.reason, body, time.monotonic() - started)


def faults_of(shot: Shot, answer: Answer) -> list[str]:
    """What is wrong with an answer; nothing, most of the time."""
    told = f"{shot.method} {shot.route}: {answer.status} {answer.reason}"
    open_to_all = shot.route in ("", *OPEN) or shot.method == "OPTIONS"
    wrong = {
        "hangs": answer.seconds >= HANG_S,
        "is slow": answer.seconds >= SLOW_S,
        "has no answer": shot.whole and not answer.status,
        "has a status that no rule names": answer.status not in FORESEEN | OF_SERVER | PLACES.get(shot.route, {0}),
        "has a reason that Label Studio cannot show": not _shows(answer.reason),
        "opens without credentials": answer.status == OK and not shot.trusted and not open_to_all,
        "has another number of results than tasks": not _as_many(shot, answer),
        "shows a traceback": b"Traceback" in answer.body,
    }
    return [f"{told} {what}" for what, found in wrong.items() if found]


def _shows(reason: str) -> bool:
    return reason.isascii() and (reason + " ").isprintable() and len(reason) <= REASON_LENGTH and PLANTED not in reason


def _as_many(shot: Shot, answer: Answer) -> bool:
    if (shot.route, shot.method, answer.status) != ("/predict", "POST", OK):
        return True
    return len(json.loads(answer.body)["results"]) == len(json.loads(shot.body)["tasks"])


def told_too_much(line: str) -> bool:
    """Whether a line of the log is none of ours, or holds what was made up or recorded."""
    said = {name: value for name, value in json_of(line).items() if name != "trace"}  # whoever asks may name that
    return not said or any(hidden in json.dumps(said, ensure_ascii=False) for hidden in HIDDEN)


def json_of(line: str) -> dict[str, object]:
    with suppress(ValueError):
        found = json.loads(line)
        return found if isinstance(found, dict) else {}
    return {}


@contextmanager
def health_watched(aim: Target, found: Found) -> Iterator[None]:
    """/health is asked until the block ends, as Label Studio asks before each call."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(HEALTH_EVERY_S):
            started = time.monotonic()
            try:
                status = requests.get(f"{aim.settings.backend_url}/health", timeout=HANG_S).status_code
            except requests.RequestException as err:
                found.fault(f"/health does not answer: {type(err).__name__}", b"")
            else:
                found.health_s.append(time.monotonic() - started)
                if status != OK:
                    found.fault(f"/health answers {status}", b"")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else N_REQUESTS)

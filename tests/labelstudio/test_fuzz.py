"""What strangers and broken clients send cannot hurt: the requests of benchmarks/fuzz.py, fewer, to a real process."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests

from backend.supervisor.services import WEB_THREADS
from backend.web_server import STALL_S
from benchmarks.fuzz import HANG_S, Target, fuzz, send, strangers, target
from benchmarks.odd_requests import Shot

N_REQUESTS, N_STRANGERS = 300, 20


@pytest.fixture(scope="module")
def aim(valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with target(tmp_path_factory.mktemp("fuzz") / "home", valkey) as running:
        yield running


def test_whatever_is_sent_one_foreseen_answer_leaves_and_the_process_lives_on(aim: Target) -> None:
    report, faults = fuzz(aim, N_REQUESTS)
    assert faults == []
    assert report["requests"] == N_REQUESTS


def test_of_projects_that_nobody_connected_nothing_is_kept_whoever_calls_for_them(aim: Target) -> None:
    told, faults = strangers(aim, N_STRANGERS)
    assert faults == []
    assert told["strangers"] == N_STRANGERS


HEAD = b"POST /validate HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
CHUNKED = HEAD.replace(b"/validate", b"/train") + b"Authorization: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = "the body must arrive whole; it broke off, or its chunks are broken"
BROKEN = [
    ("a chunk without its end", CHUNKED + b"2\r\n{}x", 400, WHOLE),
    ("a chunk without a size", CHUNKED + b"x\r\n{}\r\n", 400, WHOLE),
    ("chunks that break off", CHUNKED + b"9\r\n{", 400, WHOLE),
    ("where another server would put us", HEAD + b"SCRIPT_NAME: /other\r\nAuthorization: %s\r\n\r\n", 200, "OK"),
]


@pytest.mark.parametrize(("sent", "status", "reason"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_what_only_a_server_sees_is_answered_in_our_words(sent: bytes, status: int, reason: str, aim: Target) -> None:
    raw = sent.replace(b"%s", aim.given.basic)
    answer = send(aim.settings.web_port, Shot("/train", "POST", b"", raw, trusted=True, whole=False))
    assert (answer.status, answer.reason) == (status, reason)


STALLED = [
    ("in mid-head", b"POST /predict HTTP/1.1\r\nHost: a\r\n"),
    ("in mid-body", b"POST /webhook HTTP/1.1\r\nHost: a\r\nX-Prelabel-Secret: %s\r\nContent-Length: 9\r\n\r\n{"),
    ("with its answer, and does not hang up", b"GET /live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
]


@pytest.mark.parametrize("sent", [row[1] for row in STALLED], ids=[row[0] for row in STALLED])
def test_clients_that_stall_cannot_silence_the_process(sent: bytes, aim: Target) -> None:
    address = ("127.0.0.1", aim.settings.web_port)
    with ExitStack() as stack:
        for _ in range(WEB_THREADS + 4):
            client = stack.enter_context(socket.create_connection(address, timeout=HANG_S))
            client.sendall(sent.replace(b"%s", aim.given.secret.encode()))
        answer = requests.get(f"{aim.settings.backend_url}/live", timeout=3 * STALL_S)
    assert answer.json() == {"status": "live"}

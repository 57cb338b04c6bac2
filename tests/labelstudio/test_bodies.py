"""Bodies of large requests: whole lists, none too long, and little memory."""

import json
import tracemalloc
from collections.abc import Iterator

from backend.labelstudio.bodies import bodies
from backend.labelstudio.records import Json

MAX_BYTES = 200


def items(n: int) -> Iterator[Json]:
    return ({"task": number, "label": "возврат", "score": 0.5} for number in range(n))


def read(n: int, max_bytes: int) -> list[bytes]:
    found = []
    for file in bodies(items(n), max_bytes):
        file.seek(0)
        found.append(file.read())
    return found


def test_every_item_is_sent_once_and_in_order_and_no_body_is_too_long() -> None:
    sent = read(50, MAX_BYTES)
    assert [item for body in sent for item in json.loads(body)] == list(items(50))
    assert max(map(len, sent)) <= MAX_BYTES
    assert len(sent[0]) + len(sent[1]) > MAX_BYTES, "as few as can be"


def test_an_item_that_is_longer_than_a_body_goes_alone() -> None:
    assert [json.loads(body) for body in read(3, 10)] == [[item] for item in items(3)]


def test_nothing_to_send_is_no_body() -> None:
    assert read(0, MAX_BYTES) == []


def test_memory_does_not_grow_with_what_is_sent() -> None:
    tracemalloc.start()
    for file in bodies(items(100_000), 10**9):
        sent = file.seek(0, 2)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < sent / 4

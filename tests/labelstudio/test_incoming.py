"""Bodies are read piece by piece, as a whole reading would, and what is not needed takes no memory."""

import io
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import BadInputError, PrelabelError, TooLargeError
from backend.labelstudio import incoming
from backend.labelstudio.incoming import LONGEST, MAX_ITEMS, MAX_PASSED, MOST_NESTED, as_it_is, read_object
from backend.labelstudio.wire import TaskRef

KEPT = {"a": as_it_is, "b": as_it_is}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=12,
)
SPELLINGS: list[Callable[[Any], bytes]] = [
    lambda value: json.dumps(value).encode(),
    lambda value: json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass"),
    lambda value: b"\xef\xbb\xbf \n" + json.dumps(value).encode() + b"\r\n\t ",
    lambda value: json.dumps(value).encode("utf-16"),
    lambda value: json.dumps(value, separators=(",", ":")).encode("utf-32-le"),
]


def read(body: bytes, kept: dict[str, Any] | None = None, *, at_once: int = 10**9) -> object:
    stream = io.BytesIO(body)
    return read_object(lambda n: stream.read(min(n, at_once)), KEPT if kept is None else kept)


@given(VALUES, st.sampled_from(SPELLINGS), st.integers(4, 9))
def test_a_body_means_the_same_in_whichever_pieces_it_comes(value: Any, spelled: Any, at_once: int) -> None:
    wanted = [] if isinstance(value, list) else value
    if isinstance(value, dict):
        wanted = {name: each for name, each in value.items() if name in KEPT}
    assert read(spelled(value), at_once=at_once) == wanted


BROKEN: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("blanks", b"  "),
    ("cut off in a list", b'{"a": [1, 2'),
    ("cut off in a name", b'{"a'),
    ("cut off before a value", b'{"a":'),
    ("a comma too many", b'{"a": 1,}'),
    ("a comma too many in a list", b'{"a": [1,]}'),
    ("no comma", b'{"a": [1 2]}'),
    ("no colon", b'{"a" 1}'),
    ("two bodies", b'{"a": 1}{"a": 1}'),
    ("another bracket", b'{"a": [1}'),
    ("half of a letter", b'{"a": "\xd0"}'),
    ("a number that Python refuses to read", b'{"b": ' + b"9" * 5_000 + b"}"),
]


@pytest.mark.parametrize("body", [row[1] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_what_is_broken_anywhere_is_no_body(body: bytes) -> None:
    with pytest.raises(BadInputError, match="the body must be JSON"):
        read(body)


@pytest.mark.parametrize("body", [b'{"c": ' + b"[" * 100_000, b'{"c": ' + b'{"a":' * 100_000])
def test_what_nests_without_end_is_said_as_such(body: bytes) -> None:
    with pytest.raises(BadInputError, match="it nests too deep"):
        read(body)


LARGE: list[tuple[str, bytes, str]] = [
    ("more items than a request may hold", b'{"a": [' + b"0," * MAX_ITEMS + b"0]}", "a must be at most 100000"),
    ("a value without end", b'{"c": "' + b"a" * LONGEST + b'"}', "must be under 8000000 signs"),
    ("a value of many lists", b'{"c": {"a": [' + b"[]," * 4 * MOST_NESTED + b"[]]}}", "under 200000 lists and objects"),
    ("more items than anybody sends", b'{"c": [' + b"0," * MAX_PASSED + b"0]}", "c must be at most 1000000"),
    ("a name without end", b'{"' + b"a" * LONGEST + b'": 1}', "must be under 8000000 signs"),
]


@pytest.mark.parametrize(("body", "message"), [row[1:] for row in LARGE], ids=[row[0] for row in LARGE])
def test_what_is_too_large_is_said_as_such(body: bytes, message: str) -> None:
    with pytest.raises(TooLargeError, match=message):
        read(body)


def test_items_that_are_not_kept_may_be_many() -> None:
    assert read(b'{"c": [' + b"0," * 2 * MAX_ITEMS + b'0], "a": 1}') == {"a": 1}


def test_memory_grows_with_what_is_kept_and_not_with_what_it_would_be_as_objects() -> None:
    tasks = [{"id": n, "data": {"x": [[]] * 300}, "predictions": [{}] * 300} for n in range(2_000)]
    body = json.dumps({"tasks": tasks, "other": tasks}).encode()
    del tasks
    tracemalloc.start()
    found: Any = read(body, {"tasks": TaskRef.of})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found["tasks"]) == 2_000
    assert peak < len(body), "as objects it is more than ten times that"


def test_a_large_item_is_not_read_anew_with_each_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    before = incoming.Window._tried

    def counted(window: incoming.Window) -> tuple[Any, int]:
        tried.append(1)
        return before(window)

    monkeypatch.setattr(incoming.Window, "_tried", counted)
    assert read(b'{"a": "' + b"a" * (LONGEST - 100) + b'"}') == {"a": "a" * (LONGEST - 100)}
    assert len(tried) < 10


def test_an_error_tells_nothing_of_the_body() -> None:
    with pytest.raises(PrelabelError) as raised:
        read(b'{"a": secret}')
    assert "secret" not in str(raised.value)

"""What a log line may say."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from backend.core.errors import BadInputError, LabelStudioError
from backend.logs import configure_logs, new_trace, told


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that gives all lines so far, each as an object."""
    output = io.StringIO()
    monkeypatch.setattr(sys, "stderr", output)
    root, server = logging.getLogger(), logging.getLogger("gunicorn.error")
    before, root.handlers = root.handlers, []
    configure_logs("INFO")
    yield lambda: [json.loads(line) for line in output.getvalue().splitlines()]
    root.handlers, server.propagate = before, True
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_a_librarys_warning_is_a_json_line_under_the_trace_without_values_and_traceback(lines: Any) -> None:
    structlog.contextvars.bind_contextvars(trace="t-1")
    try:
        raise ValueError("my secret text")
    except ValueError:
        logging.getLogger("some.library").exception("cannot read %r of project 5", "my secret text")
    (line,) = lines()
    assert line["event"] == "cannot read '...' of project 5"
    assert (line["logger"], line["trace"], line["level"], line["error"]) == (
        "some.library", "t-1", "error", "ValueError",
    )  # fmt: skip
    assert line["where"].partition(":")[0] == __file__
    assert "secret" not in json.dumps(line)


SAID = [
    ("a value in quotes", BadInputError("version must be known, was 'pl-secret'"), "version must be known, was '...'"),
    ("an apostrophe before it", BadInputError("the project's version was 'x's'"), "the project's version was '...'"),
    ("both kinds of quotes in it", BadInputError(f"{'a' + chr(39) + ' b ' + chr(34)!r} is not"), "'...' is not"),
    ("bytes", BadInputError(f"chunk size: {b'secret'!r}"), "chunk size: '...'"),
    ("Label Studio's own words", LabelStudioError("GET x must succeed, said secret", summary="GET x must succeed"),
     "GET x must succeed"),
    ("not ours", ValueError("secret"), None),
]  # fmt: skip


@pytest.mark.parametrize(("error", "message"), [row[1:] for row in SAID], ids=[row[0] for row in SAID])
def test_an_error_is_told_without_the_values_that_it_quotes(error: Exception, message: str | None) -> None:
    assert told(error).get("message") == message


class Writes(io.StringIO):
    """A stream that keeps what it was given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[str] = []

    def write(self, text: str) -> int:
        self.given.append(text)
        return len(text)


def test_a_line_is_one_write_so_that_threads_do_not_mix_theirs(lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Writes()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logs("INFO")
    structlog.get_logger().info("one")
    (line,) = stream.given
    assert json.loads(line)["event"] == "one"
    assert line.endswith("}\n")


TRACES = [
    ("a uuid", "7f9c24e5-0b1d-4c58-a2f1-1f3c7d1a9f10", True),
    ("a word", "abc.DEF_1", True),
    ("nothing", "", False),
    ("a line break", "a\nb", False),
    ("a line break at the end", "a\n", False),
    ("Cyrillic", "привет", False),
    ("too long", "a" * 65, False),
]


@pytest.mark.parametrize(("given", "taken"), [row[1:] for row in TRACES], ids=[row[0] for row in TRACES])
def test_an_id_from_outside_is_taken_where_it_is_harmless(given: str, taken: bool) -> None:
    assert (new_trace(given) == given) is taken

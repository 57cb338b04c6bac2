"""How a server is asked, and what becomes of it when it misbehaves; SmolLM2 behind llama-cpp-python's own server."""

import logging
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trustme
from pydantic import SecretStr

from backend.core.chat import Asked
from backend.core.deadline import FOREVER, Deadline
from backend.core.errors import BadInputError, OutsideError
from backend.core.profiles import load_profile
from backend.models.chat_server import ChatServer
from backend.models.server_options import ServerOptions
from backend.models.traffic import Breaker
from backend.models.weights import WeightStore
from tests.models.chat_servers import MODEL, SILENCE, ChatServerOfTests, Reply, llama_server, serving, written
from tests.stack import free_port

ASKED = Asked("Answer with a letter.", "A) card lost\nB) weather\n\nwill it rain\nLetter:", ("A", "B"))
KEY = "key-of-tests"
GOOD = written("B", {"B": -0.1, "A": -2.4})


def client_of(uri: str, *, breaker: Breaker | None = None, key: str = "", **options: object) -> ChatServer:
    return ChatServer(uri, ServerOptions.of(options), SecretStr(key), breaker=breaker, pause_s=0.0)


def test_an_answer_has_its_choice_its_logprobs_and_its_tokens() -> None:
    with serving(ChatServerOfTests([GOOD])) as server:
        (answer,) = client_of(server.uri).ask([ASKED], deadline=FOREVER)
    assert answer is not None
    assert answer.choice == "B"
    assert answer.logprobs == pytest.approx({"A": -2.4, "B": -0.1})
    assert answer.tokens == 41


def test_questions_are_answered_in_their_order_and_none_with_none() -> None:
    with serving(ChatServerOfTests([GOOD])) as server:
        client = client_of(server.uri, concurrency=3)
        answers = client.ask([ASKED] * 7, deadline=FOREVER)
        assert client.ask([], deadline=FOREVER) == []
    assert [answer.choice for answer in answers if answer] == ["B"] * 7
    assert client.tally.counts == {"answered": 7}


BUSY = [
    ("a server error", Reply(500, b"Traceback")),
    ("too many requests", Reply(429, headers={"Retry-After": "0"})),
    ("overloaded", Reply(503)),
    ("half a JSON", Reply(200, GOOD.content, cut=20)),
]


@pytest.mark.parametrize("reply", [row[1] for row in BUSY], ids=[row[0] for row in BUSY])
def test_what_may_pass_is_asked_again(reply: Reply) -> None:
    with serving(ChatServerOfTests([reply, reply, GOOD])) as server:
        (answer,) = client_of(server.uri).ask([ASKED], deadline=FOREVER)
    assert answer is not None
    assert len(server.sent) == 3


def test_a_server_that_asks_to_be_left_alone_beyond_the_deadline_is_not_asked_again() -> None:
    with serving(ChatServerOfTests([Reply(429, headers={"Retry-After": "3600"})])) as server:
        assert client_of(server.uri).ask([ASKED], deadline=Deadline.after(60)) == [None]
    assert len(server.sent) == 1


FAULTS = [
    ("a server error", Reply(500, b"Traceback"), "failed"),
    ("too many requests", Reply(429, headers={"Retry-After": "0"}), "failed"),
    ("another date as Retry-After", Reply(429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), "failed"),
    ("garbage", Reply(200, b"\x00\xff<html>"), "failed"),
    ("nothing", Reply(200, b""), "failed"),
    ("half a JSON", Reply(200, GOOD.content, cut=20), "failed"),
    ("another JSON", Reply(200, b'{"choices": []}'), "failed"),
    ("a JSON without an object", Reply(200, b"null"), "failed"),
    ("a JSON without a bottom", Reply(200, b"[" * 100_000), "failed"),
    ("tokens without an end", Reply(200, GOOD.content.replace(b"40", b"Infinity")), "failed"),
    ("an answer without an end", Reply(200, b" " * 2_000_000), "failed"),
    ("a redirect", Reply(302, headers={"Location": "/elsewhere"}), "failed"),
    ("another page", Reply(404), "failed"),
    ("silence", SILENCE, "failed"),
    ("a question that it does not take", Reply(400, b'{"message": "will it rain"}'), "refused"),
    ("a label off the list", written("Z"), "unreadable"),
    ("a sentence", written("A message about the weather"), "unreadable"),
    ("no text", written(None), "unreadable"),
]


@pytest.mark.parametrize(("reply", "outcome"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_every_fault_is_no_answer_and_counted(reply: Reply, outcome: str) -> None:
    with serving(ChatServerOfTests([reply])) as server:
        client = client_of(server.uri, timeout_s=1.0)
        assert client.ask([ASKED], deadline=FOREVER) == [None]
        assert client.tally.counts == {outcome: 1}


def test_a_server_that_is_not_there_is_no_answer() -> None:
    client = client_of(f"openai:http://127.0.0.1:{free_port()}/v1#{MODEL}")
    assert client.ask([ASKED], deadline=FOREVER) == [None]
    with pytest.raises(OutsideError, match="check that it runs"):
        client.models()


def test_after_failures_in_a_row_nothing_is_asked_for_a_while() -> None:
    with serving(ChatServerOfTests([Reply(404)])) as server:
        client = client_of(server.uri, breaker=Breaker(failures=3, pause_s=math.inf), concurrency=1)
        assert client.ask([ASKED] * 8, deadline=FOREVER) == [None] * 8
        assert client.tally.counts == {"failed": 3, "skipped": 5}
    assert len(server.sent) == 3


def test_after_that_while_it_is_asked_again() -> None:
    with serving(ChatServerOfTests([Reply(404), Reply(404), GOOD])) as server:
        client = client_of(server.uri, breaker=Breaker(failures=2, pause_s=0.0), concurrency=1)
        assert [bool(answer) for answer in client.ask([ASKED] * 3, deadline=FOREVER)] == [False, False, True]


def test_a_question_that_is_refused_does_not_count_against_the_server() -> None:
    with serving(ChatServerOfTests([Reply(400), Reply(400), Reply(400), GOOD])) as server:
        client = client_of(server.uri, breaker=Breaker(failures=2, pause_s=math.inf), concurrency=1)
        assert [bool(answer) for answer in client.ask([ASKED] * 4, deadline=FOREVER)] == [False, False, False, True]


def test_a_deadline_ends_it_whatever_is_still_missing() -> None:
    with serving(ChatServerOfTests([GOOD, SILENCE])) as server:
        client = client_of(server.uri, concurrency=1)
        assert [bool(answer) for answer in client.ask([ASKED] * 3, deadline=Deadline.after(1.5))] == [
            True,
            False,
            False,
        ]
        assert client.ask([ASKED], deadline=Deadline.after(0)) == [None]
    assert len(server.sent) == 2


def test_no_more_is_asked_in_a_minute_than_is_allowed() -> None:
    with serving(ChatServerOfTests([GOOD])) as server:
        client = client_of(server.uri, requests_per_minute=1)
        assert [bool(answer) for answer in client.ask([ASKED] * 3, deadline=Deadline.after(20))].count(True) == 1
        assert client.tally.counts == {"answered": 1, "skipped": 2}


def test_a_wrong_key_is_told_apart_and_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(ChatServerOfTests([GOOD], key="another")) as server, structlog.testing.capture_logs() as lines:
        client = client_of(server.uri, key=KEY, breaker=Breaker(failures=1))
        with pytest.raises(BadInputError, match=r"PRELABEL_LLM_API_KEY must be a key .* answers 401") as caught:
            client.models()
        assert client.ask([ASKED], deadline=FOREVER) == [None]
    assert [line["event"] for line in lines] == ["voter_away"]
    shown = [repr(client), str(caught.value), repr(lines), repr(vars(client)), *capsys.readouterr()]
    assert all(KEY not in each for each in shown)


def test_no_log_holds_what_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    quoting = Reply(400, b'{"message": "cannot read: will it rain"}')
    with serving(ChatServerOfTests([quoting])) as server, structlog.testing.capture_logs() as lines:
        assert client_of(server.uri, key=KEY).ask([ASKED], deadline=FOREVER) == [None]
    assert "will it rain" not in caplog.text + repr(lines)
    assert KEY not in caplog.text + repr(lines)


def test_costs_are_tokens_by_their_prices() -> None:
    with serving(ChatServerOfTests([GOOD])) as server:
        client = client_of(server.uri, price_in=2.0, price_out=10)
        client.ask([ASKED] * 2, deadline=FOREVER)
    assert client.spent == pytest.approx((80 * 2.0 + 2 * 10.0) / 1e6)


def test_the_environments_proxy_is_not_used_but_the_given_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with serving(ChatServerOfTests([GOOD])) as server:
        assert client_of(server.uri).models() == [MODEL]
        through = ChatServer(f"openai:http://model.example.com/v1#{MODEL}", ServerOptions(), proxy=server.url)
        assert through.models() == [MODEL]


def test_a_certificate_counts_where_its_authority_is_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authorities.pem"))
    with serving(ChatServerOfTests([GOOD]), certificate=authority.issue_cert("127.0.0.1")) as server:
        with pytest.raises(OutsideError, match="ConnectError"):
            client_of(server.uri).models()
        trusting = ChatServer(server.uri, ServerOptions(), authorities=str(tmp_path / "authorities.pem"))
        assert trusting.models() == [MODEL]


BAD_URIS = [
    ("a password", "openai:http://me:secret-of-tests@host/v1#m", "must hold no password"),
    ("no host", "openai:http:///v1#m", "a server's URI must be openai"),
    ("no port number", "openai:http://host:port/v1#m", "a server's URI must be openai"),
    ("weights", "file:/m.gguf", "a server's URI must be openai"),
    ("no model", "openai:http://host/v1", "a model URI must be"),
]


@pytest.mark.parametrize(("uri", "said"), [row[1:] for row in BAD_URIS], ids=[row[0] for row in BAD_URIS])
def test_an_address_that_cannot_be_is_refused(uri: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said) as caught:
        client_of(uri)
    assert "secret-of-tests" not in str(caught.value)


BAD_OPTIONS = [
    ("unknown", {"n_ctx": 5}, "a server's options are server, languages"),
    ("no number", {"timeout_s": "30"}, "timeout_s must be of type float"),
    ("yes as a number", {"n_samples": True}, "n_samples must be of type int"),
    ("nothing at a time", {"concurrency": 0}, "concurrency must be at least 1, was 0"),
    ("negative price", {"price_in": -1.0}, "price_in must be at least 0"),
    ("endless", {"timeout_s": math.inf}, "timeout_s must be at least"),
    ("unknown server", {"server": "tgi"}, "server must be one of any, vllm, llama.cpp"),
]


@pytest.mark.parametrize(("options", "said"), [row[1:] for row in BAD_OPTIONS], ids=[row[0] for row in BAD_OPTIONS])
def test_an_option_that_cannot_be_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        ServerOptions.of(options)


@pytest.fixture(scope="module")
def llama_url(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    weights = WeightStore(models_dir).path(load_profile("embedded").voters[0])
    with llama_server(weights, tmp_path_factory.mktemp("llama-server"), key=KEY) as url:
        yield url


def test_a_real_server_lists_its_model_and_tells_logprobs(llama_url: str) -> None:
    client = client_of(f"openai:{llama_url}#{MODEL}", key=KEY, server="llama.cpp")
    assert client.models() == [MODEL]
    first, second = client.ask([ASKED, ASKED], deadline=FOREVER)
    assert first is not None
    assert second is not None
    assert set(first.logprobs) == {"A", "B"}
    assert all(logprob < 0 for logprob in first.logprobs.values())
    assert first.logprobs == pytest.approx(second.logprobs, abs=0.2)  # the second begins with what is evaluated
    assert first.tokens > 20


def test_a_real_server_holds_what_is_drawn_to_the_choices(llama_url: str) -> None:
    client = client_of(f"openai:{llama_url}#{MODEL}", key=KEY, server="llama.cpp", logprobs=False)
    drawn = [Asked(ASKED.system, "Say anything.", ("A", "B"), 1.5, seed) for seed in range(4)]
    answers = client.ask(drawn, deadline=FOREVER)
    assert all(answer is not None and answer.choice in ("A", "B") and not answer.logprobs for answer in answers)


def test_a_real_server_refuses_another_key(llama_url: str) -> None:
    with pytest.raises(BadInputError, match="answers 401"):
        client_of(f"openai:{llama_url}#{MODEL}", key="another").models()

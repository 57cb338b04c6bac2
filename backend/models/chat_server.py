"""One chat model on an OpenAI-compatible server: vLLM, llama.cpp's, Ollama, or a service on the network.

Decides how a server is called, when it is called again and when it is left alone; knows nothing of labels and prompts.
What it was asked never stands in a log or an error: servers quote it in theirs, so that those are not repeated either.
"""

import json
import random
import ssl
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import httpx
import structlog
from pydantic import SecretStr
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from backend.core.chat import Answered, Asked
from backend.core.deadline import Deadline
from backend.core.errors import BadInputError, DeadlineError, OutsideError
from backend.core.package_index import is_loopback
from backend.models.chat_wire import body, model_names, read_answer
from backend.models.model_uri import parse_uri
from backend.models.server_options import ServerOptions
from backend.models.traffic import Breaker, Pace, Tally

CONNECT_S = 3.0
LIST_S = 5.0  # for the list of models
PATIENCE_S = 1.0  # a server that is given less time than this has not failed
ATTEMPTS = 3  # at one answer, where the server is busy or broke off
PAUSE_S = 0.5  # before the second attempt; doubles, and varies so that callers do not come back together
MAX_BYTES = 1_000_000  # of one answer; a letter with 20 log-probabilities takes some 3,000
KEY_REFUSED = (401, 403)
BUSY = (408, 425, 429)  # these, and all from 500 on, may pass
NOT_THIS_ONE = (400, 413, 422)  # of one question, as a text that is too long; others may be answered

NO_KEY = SecretStr("")

log = structlog.get_logger(__name__)


class BusyError(OutsideError):
    """Another attempt may be answered.

    Attributes:
        after_s: how long the server asks to be left alone; 0 where it does not say.
    """

    def __init__(self, message: str, *, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class RefusedError(OutsideError):
    """The server is there, but does not take this question."""


class ChatServer:
    """A model by its URI, `openai:http://HOST:PORT/v1#MODEL`. Thread-safe; calls nobody before it is asked."""

    def __init__(
        self, uri: str, options: ServerOptions, key: SecretStr = NO_KEY, *, authorities: str = "",
        proxy: str = "", breaker: Breaker | None = None, pause_s: float = PAUSE_S,
    ) -> None:  # fmt: skip
        """Args: authorities: a PEM file; empty: the built-in ones. proxy: may hold a password; empty: none.

        Raises:
            BadInputError: the URI is not one of a server, or holds a password.
        """
        self.url, self.name = _address(uri)
        self.uri, self.options, self.tally = uri, options, Tally()
        self._breaker, self._pause_s = breaker or Breaker(), pause_s
        self._pace = Pace(options.requests_per_minute)
        self._pool = ThreadPoolExecutor(options.concurrency, thread_name_prefix="voter")
        secret = key.get_secret_value()
        self._client = httpx.Client(
            headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {secret}"} if secret else {})},
            trust_env=False, proxy=proxy or None,
            verify=ssl.create_default_context(cafile=authorities or None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=options.concurrency),
        )  # fmt: skip

        self.close = weakref.finalize(self, _close, self._client, self._pool)

    def ask(self, questions: Sequence[Asked], *, deadline: Deadline) -> list[Answered | None]:
        """Ask several at a time; None where no answer came in time, or none that can be read."""
        asked = [self._pool.submit(self._answer, question, deadline) for question in questions]
        wait(asked, timeout=min(deadline.left_s, threading.TIMEOUT_MAX))
        for each in asked:
            each.cancel()  # those that have begun end by themselves, at the deadline
        return [each.result() if each.done() and not each.cancelled() else None for each in asked]

    def models(self) -> list[str]:
        """The models that the server lists.

        Raises:
            BadInputError: it does not take the key.
            OutsideError: it does not answer, or not as such a server does.
        """
        return model_names(self._call("GET", "/models", None, Deadline.after(LIST_S)))

    @property
    def is_beyond(self) -> bool:
        """Whether texts leave this machine."""
        return not is_loopback(httpx.URL(self.url).host)

    @property
    def spent(self) -> float:
        """What the answers so far cost, by the profile's prices."""
        read, written = self.tally.tokens_read, self.tally.tokens_written
        return (read * self.options.price_in + written * self.options.price_out) / 1e6

    def _answer(self, question: Asked, deadline: Deadline) -> Answered | None:
        if self._breaker.is_open or deadline.passed:
            self.tally.count("skipped")
            return None
        try:
            answered, usage = read_answer(self._try(question, deadline), question.choices)
        except DeadlineError:
            self.tally.count("skipped")
            return None
        except RefusedError as err:
            self.tally.count("refused")
            log.info("voter_refused", model=self.name, reason=str(err))
            return None
        except (OutsideError, BadInputError) as err:
            self.tally.count("failed")
            if self._breaker.failed():
                log.warning("voter_away", model=self.name, reason=str(err))
            return None
        if self._breaker.succeeded():
            log.info("voter_back", model=self.name)
        readable = answered.choice or answered.logprobs
        self.tally.count("answered" if readable else "unreadable", read=usage.read, written=usage.written)
        return answered if readable else None

    def _try(self, question: Asked, deadline: Deadline) -> Any:
        options = self.options
        sent = body(
            question, model=self.name, server=options.server, logprobs=options.logprobs, extra=options.extra_body
        )
        again = Retrying(
            retry=retry_if_exception_type(BusyError), wait=self._pause, reraise=True,
            stop=lambda state: stop_after_attempt(ATTEMPTS)(state) or state.upcoming_sleep >= deadline.left_s,
        )  # fmt: skip
        return again(self._call, "POST", "/chat/completions", json.dumps(sent), deadline)

    def _pause(self, state: RetryCallState) -> float:
        err = state.outcome.exception() if state.outcome else None
        asked_for_s = err.after_s if isinstance(err, BusyError) else 0.0
        own_s: float = self._pause_s * 2 ** (state.attempt_number - 1) * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)
        return max(asked_for_s, own_s)

    def _call(self, method: str, path: str, sent: str | None, deadline: Deadline) -> Any:
        """The JSON that comes back."""
        if not self._pace.wait(deadline):
            raise DeadlineError("a question must have its turn before the deadline; raise requests_per_minute")
        left_s = min(self.options.timeout_s, deadline.left_s)
        timeout = httpx.Timeout(max(left_s, 0.001), connect=max(min(left_s, CONNECT_S), 0.001))
        try:
            with self._client.stream(method, self.url + path, content=sent, timeout=timeout) as answer:
                if not answer.is_success:
                    raise self._refusal(answer)
                came = self._read(answer, Deadline.after(left_s))
        except httpx.TimeoutException:
            if left_s < PATIENCE_S:
                raise DeadlineError("an answer must have some time, but the deadline came; allow more time") from None
            raise OutsideError(f"{self.url} must answer within {left_s:.1f} s, but did not; allow more time") from None
        except httpx.HTTPError as err:
            raise BusyError(f"{self.url} must answer, but did not ({type(err).__name__}); check that it runs") from None
        try:
            return json.loads(came)
        except (ValueError, RecursionError):
            raise OutsideError(f"{self.url} must answer with JSON, but did not; check its address") from None

    def _read(self, answer: httpx.Response, deadline: Deadline) -> bytes:
        """A body that is neither endless nor dripping."""
        came = bytearray()
        for piece in answer.iter_bytes():
            came += piece
            if len(came) > MAX_BYTES or deadline.passed:
                raise OutsideError(f"{self.url} must send a short answer in time, but did not; check its address")
        return bytes(came)

    def _refusal(self, answer: httpx.Response) -> OutsideError | BadInputError:
        status = answer.status_code
        if status in KEY_REFUSED:
            return BadInputError(
                f"PRELABEL_LLM_API_KEY must be a key that {self.url} takes, but it answers {status}; correct the key"
            )
        if status in NOT_THIS_ONE:
            return RefusedError(f"{self.url} must take the question, but answers {status}; look into its log")
        if status in BUSY or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return BusyError(
                f"{self.url} must answer, but is busy or broken ({status})", after_s=_retry_after_s(answer)
            )
        return OutsideError(f"{self.url} must serve {self.name}, but answers {status}; correct the profile")


def _close(client: httpx.Client, pool: ThreadPoolExecutor) -> None:
    pool.shutdown(wait=False, cancel_futures=True)
    client.close()


def _address(uri: str) -> tuple[str, str]:
    """Base URL and name of the model."""
    parsed = parse_uri(uri)
    try:
        address = httpx.URL(parsed.name)
    except httpx.InvalidURL:
        address = httpx.URL("")
    if address.userinfo:
        raise BadInputError("a server's address must hold no password, but does; set PRELABEL_LLM_API_KEY instead")
    if parsed.scheme != "openai" or not address.host:
        raise BadInputError(
            f"a server's URI must be openai:http://HOST:PORT/v1#MODEL, was {uri!r}; correct the profile"
        )
    return parsed.name.rstrip("/"), parsed.revision


def _retry_after_s(answer: httpx.Response) -> float:
    """Seconds that a server asks to be left alone; a date is not read, since clocks differ."""
    asked = answer.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else 0.0

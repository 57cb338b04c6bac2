"""Servers of chat models for tests: a small one that can be told to misbehave, and llama-cpp-python's own."""

import importlib.util
import json
import os
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import trustme

from backend.supervisor.process import Service
from tests.stack import free_port, running

MODEL = "qwen"


@dataclass(frozen=True)
class Reply:
    """One answer; what it lacks of its `Content-Length` never comes."""

    status: int = 200
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0  # bytes of the end that are left out
    silent: bool = False  # until the server stops


def written(text: str | None, logprobs: Mapping[str, float] | None = None) -> Reply:
    """A chat completion."""
    top = [{"token": token, "logprob": value} for token, value in (logprobs or {}).items()]
    told = {"logprobs": {"content": [{"top_logprobs": top}]}} if top else {}
    said = {"choices": [{"message": {"content": text}, **told}], "usage": {"prompt_tokens": 40, "completion_tokens": 1}}
    return Reply(content=json.dumps(said).encode())


SILENCE = Reply(silent=True)


@dataclass
class ChatServerOfTests:
    """Answers with the replies in turn, the last one for ever, and keeps what it was sent."""

    replies: Sequence[Reply]
    key: str = ""  # who asks must show it
    models: Sequence[str] = (MODEL,)
    url: str = ""
    sent: list[Any] = field(default_factory=list)  # JSON
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def uri(self) -> str:
        return f"openai:{self.url}/v1#{MODEL}"


@contextmanager
def serving(server: ChatServerOfTests, *, certificate: trustme.LeafCert | None = None) -> Iterator[ChatServerOfTests]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

        @property
        def asked_for(self) -> str:
            """The path, also where this server stands in as a proxy."""
            return urlsplit(self.path).path

        def do_GET(self) -> None:
            listed = {"data": [{"id": name} for name in server.models]}
            self._say(Reply(content=json.dumps(listed).encode()) if self.asked_for == "/v1/models" else Reply(404))

        def do_POST(self) -> None:
            server.sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if self.asked_for != "/v1/chat/completions":
                self._say(Reply(404))
            else:
                self._say(server.replies[min(len(server.sent), len(server.replies)) - 1])

        def _say(self, reply: Reply) -> None:
            if server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
                reply = Reply(401, b'{"detail": "wrong key"}')
            if reply.silent:
                server.stopped.wait()
                return
            self.send_response(reply.status)
            for name, value in {**reply.headers, "Content-Length": str(len(reply.content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.content[: len(reply.content) - reply.cut])

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
    server.url = f"{'https' if certificate else 'http'}://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        listener.shutdown()
        listener.server_close()
        thread.join()


@contextmanager
def llama_server(weights: Path, folder: Path, *, key: str) -> Iterator[str]:
    """The base URL of llama-cpp-python's server over a GGUF file, until the block ends."""
    if not all(importlib.util.find_spec(module) for module in ("llama_cpp", "fastapi", "starlette_context")):
        pytest.skip("needs a server: pip install 'llama-cpp-python[server]'")
    port = free_port()
    options = {"model": weights, "model_alias": MODEL, "port": port, "api_key": key, "n_ctx": 2048, "n_threads": 2}
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    url = f"http://127.0.0.1:{port}/v1"

    def answers(_pid: int) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{url}/models", headers={"Authorization": f"Bearer {key}"}, timeout=1).ok
        return False

    command = (sys.executable, "-m", "llama_cpp.server", *arguments)
    with running(Service("llama-server", command, os.environ, answers), folder):
        yield url

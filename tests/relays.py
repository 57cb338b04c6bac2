"""Small HTTP servers that stand between prelabel and a Label Studio.

A TLS front under a sub-path, a forward proxy, a machine whose clock is another, an account that may not write.
"""

import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})
Address = tuple[str, int]


class Relay(ThreadingHTTPServer):
    """Hands every request on to `target`, without `prefix`, and keeps what it was asked for."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, target: Address, *, prefix: str = "", tls: ssl.SSLContext | None = None, ahead_s: float = 0.0,
        forbidden: str = "", lost: str = "", repeated: str = "",
    ) -> None:  # fmt: skip
        super().__init__(("127.0.0.1", 0), RelayHandler)
        self.target, self.prefix, self.ahead_s = target, prefix, ahead_s
        self.forbidden = forbidden  # the end of a request that is not handed on, as in "POST /import"
        self.lost = lost  # of one that is handed on, and whose answer is a failure all the same
        self.repeated = repeated  # of one that is handed on twice
        self.asked: list[str] = []  # "GET http://host/path", "CONNECT host:port"
        self.authorizations: set[str] = set()  # as a proxy
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class RelayHandler(BaseHTTPRequestHandler):
    """One connection of a relay."""

    protocol_version = "HTTP/1.1"
    server: Relay

    def relay(self) -> None:
        self.note()
        parts = urlsplit(self.path)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        if not path.startswith(self.server.prefix + "/"):
            self.send_error(404)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.meant(self.server.forbidden):
            self.send_error(403)
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        for _ in range(2 if self.meant(self.server.repeated) else 1):
            inner = http.client.HTTPConnection(*self.server.target, timeout=300)
            try:
                inner.request(self.command, path.removeprefix(self.server.prefix), body or None, headers)
                answer = inner.getresponse()
                content = answer.read()
            finally:
                inner.close()
        if self.meant(self.server.lost):
            self.send_error(500)
            return
        self.send_response(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def meant(self, request: str) -> bool:
        """Whether this is a request such as "POST /import", by its method and the end of its path."""
        method, _, end = request.partition(" ")
        return bool(request) and method == self.command and urlsplit(self.path).path.endswith(end)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = relay  # noqa: N815

    def do_CONNECT(self) -> None:
        self.note()
        self.close_connection = True
        with socket.create_connection(self.server.target) as inner:
            self.send_response(200)
            self.end_headers()
            pipe(self.connection, inner)

    def note(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.authorizations.add(self.headers.get("Proxy-Authorization", ""))

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((time.time() if timestamp is None else timestamp) + self.server.ahead_s)

    def log_message(self, *_: object) -> None:
        pass


def pipe(one: socket.socket, other: socket.socket) -> None:
    """Bytes in both directions until either side ends."""
    across = {one: other, other: one}
    while True:
        readable, _, _ = select.select(list(across), [], [], 60)
        for side in readable:
            data = side.recv(65536)
            if not data:
                return
            across[side].sendall(data)
        if not readable:
            return


@contextmanager
def relaying(relay: Relay) -> Iterator[Relay]:
    """A relay that answers until the block ends."""
    thread = threading.Thread(target=relay.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        relay.shutdown()
        thread.join()
        relay.server_close()

"""A small HTTP server that speaks a model hub's protocol for files, and can be told to misbehave."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

LARGE = 1000  # bytes from which a file is stored elsewhere and redirected to, as the hub does


@dataclass
class HubServer:
    """One repository, its address, and what was asked of it."""

    repository: str
    commit: str
    files: Mapping[str, bytes]
    token: str = ""  # who wants to read must show it
    break_off_after: int | None = None  # bytes of a file's body, then the connection closes; once
    ignores_ranges: bool = False
    url: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range
    shown: list[tuple[str, str]] = field(default_factory=list)  # path, token


@contextmanager
def serving(server: HubServer) -> Iterator[HubServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = unquote(self.path)
            server.asked.append((self.command, path, self.headers.get("Range", "")))
            shown = self.headers.get("Authorization", "")
            server.shown.append((path, shown))
            if server.token and not path.startswith("/cdn/") and shown != f"Bearer {server.token}":
                self._say(401, {}, b"")
                return
            if path == f"/api/models/{server.repository}/revision/{server.commit}":
                listing = {"sha": server.commit, "siblings": [{"rfilename": name} for name in server.files]}
                self._say(200, {"Content-Type": "application/json"}, json.dumps(listing).encode())
                return
            name = path.removeprefix(f"/{server.repository}/resolve/{server.commit}/").removeprefix("/cdn/")
            if name == path or name not in server.files:
                self._say(404, {"X-Error-Code": "EntryNotFound"}, b"")
                return
            self._file(path, name, server.files[name], body=body)

        def _file(self, path: str, name: str, data: bytes, *, body: bool) -> None:
            etag = f'"{hashlib.sha256(data).hexdigest()}"'
            if len(data) >= LARGE and not path.startswith("/cdn/"):
                linked = {"X-Linked-Size": str(len(data)), "X-Linked-Etag": etag, "X-Repo-Commit": server.commit}
                self._say(302, {**linked, "Location": f"{server.url}/cdn/{name}"}, b"")
                return
            asked = self.headers.get("Range", "")
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and not server.ignores_ranges else 0
            headers = {"ETag": etag, "Accept-Ranges": "bytes", "X-Repo-Commit": server.commit}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self._say(206 if start else 200, headers, data[start:], body=body)

        def _say(self, status: int, headers: Mapping[str, str], data: bytes, *, body: bool = True) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if not body or self.command == "HEAD":
                return
            if server.break_off_after is not None and len(data) > server.break_off_after:
                data, server.break_off_after = data[: server.break_off_after], None
                self.close_connection = True
            self.wfile.write(data)

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()

"""Requests that nobody should send, as the bytes of a connection: odd heads and framings around odd bodies."""

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from backend.labelstudio.entries import PROJECT_HEADER, SECRET_HEADER
from backend.labelstudio.tracing import TRACE_HEADER
from benchmarks.odd_bodies import PLANTED, Recorded, bodies, mostly

WEIGHT = 4  # of a route that Label Studio sends bodies to, against one
OWN = 4  # of a route's own bodies, against one of another's
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", PLANTED.upper(), "get", "")


@dataclass(frozen=True, slots=True)
class Route:
    path: str
    method: str


@dataclass(frozen=True, slots=True)
class Credentials:
    user: str
    password: str
    secret: str

    @property
    def basic(self) -> bytes:
        return b"Basic " + base64.b64encode(f"{self.user}:{self.password}".encode())


@dataclass(frozen=True, slots=True)
class Shot:
    """The bytes to send on one connection, and what is known about them."""

    route: str  # as the application names it; "" where the path is none
    method: str
    body: bytes
    raw: bytes
    trusted: bool  # carries the right credentials
    whole: bool  # a complete request, which must be answered


def shots(routes: Sequence[Route], recorded: Sequence[Recorded], given: Credentials) -> st.SearchStrategy[Shot]:
    """Requests to all routes, oftener to those that Label Studio sends a body to, with that and with others'."""
    paths = {each.path for each in recorded if each.body is not None}
    weighed = [route for route in routes for _ in range(WEIGHT if route.path in paths else 1)]
    return st.sampled_from(weighed).flatmap(lambda route: _shots(route, recorded, given))


@st.composite
def _shots(draw: st.DrawFn, route: Route, recorded: Sequence[Recorded], given: Credentials) -> Shot:
    own = [each for each in recorded if each.path == route.path] or recorded
    body = draw(st.one_of(*[bodies(own)] * OWN, bodies(recorded)))
    if route.method != "POST" and draw(st.booleans()):
        body = b""
    trusted = mostly(draw, 5)
    method = route.method if mostly(draw) else draw(st.sampled_from(METHODS))
    path = route.path if mostly(draw) else draw(_paths(route.path))
    version = "HTTP/1.1" if mostly(draw) else draw(st.sampled_from(["HTTP/1.0", "HTTP/2.0", "HTTP/9.9", "HTTP/1", ""]))
    headers = [b"Host: 127.0.0.1", *draw(st.sampled_from([[b"Connection: close"], []]))]
    headers += _proof(given) if trusted else draw(st.sampled_from(_no_proof(given)))
    if not mostly(draw):
        headers += draw(st.lists(_headers(), min_size=1, max_size=3))
    framing, sent, whole = draw(_framings(body)) if method == "POST" or body else ([], b"", True)
    line = " ".join((method, path, version)).encode("utf-8", "surrogatepass")
    raw = b"\r\n".join([line, *headers, *framing, b"", sent])
    known = path == route.path
    return Shot(route.path if known else "", method, body, raw, trusted, whole)


def _proof(given: Credentials) -> list[bytes]:
    return [b"Authorization: " + given.basic, f"{SECRET_HEADER}: {given.secret}".encode()]


def _no_proof(given: Credentials) -> list[list[bytes]]:
    values = [
        b"", b"Basic", b"Basic !!!", b"Basic " + PLANTED.encode(), b"Basic " + base64.b64encode(b"\xff\xfe:\x00"),
        b"Basic " + base64.b64encode(f"{given.user}:{PLANTED}".encode()), b"Bearer " + given.password.encode(),
        b'Digest username="' + PLANTED.encode() + b'", nonce=\xff', b"basic " + b"A" * 8_000, b"\xd1\x81: \xff",
    ]  # fmt: skip
    basic = [[b"Authorization: " + value] for value in values]
    secret = [[f"{SECRET_HEADER}: ".encode() + value] for value in (b"", PLANTED.encode(), b"\xff" * 50, b"x" * 8_000)]
    return [[], *basic, *secret]


def _headers() -> st.SearchStrategy[bytes]:
    planted = PLANTED.encode()
    names = [
        TRACE_HEADER.encode(), PROJECT_HEADER.encode(), b"Content-Type", b"Accept", b"Accept-Encoding", b"Expect",
        b"Content-Encoding", b"Cookie", b"Host", b"X-Forwarded-Proto", b"X-Forwarded-For", b"Forwarded", b"Range",
        b"SCRIPT_NAME", b"Upgrade", b"If-None-Match", b"Transfer-Encoding", b"Content-Length",
        b"X-HTTP-Method-Override", b"Date", b"\xff\xfe", planted + b" ", b"",
    ]  # fmt: skip
    values = [
        b"", b" ", planted, b"'" + planted + b"' \" \\' " + planted, b"\x00" + planted, b"\xff\xfe\xfd" + planted,
        b"1-1", "\u0661-\u0661".encode(), b"9" * 400 + b"-1", b"../../etc", b"text/plain; charset=" + planted, b"h2c",
        b"application/json; charset=utf-16", b"multipart/form-data; boundary=" + planted, b"multipart/form-data",
        b"application/x-www-form-urlencoded", b"x" * 7_000, b"x" * 9_000, b"100-continue", b"gzip", b"chunked",
        b"https", b"-1", b"0", b"bytes=0-1", b"%", b"a\tb", b"a\r\n b", b"a\rb", b"a\nb", b";=,\"'", b"[::1",
        b"a b/c@d:99999",
    ]  # fmt: skip
    one = st.tuples(st.sampled_from(names), st.sampled_from(values)).map(b": ".join)
    many = st.sampled_from([b"\r\n".join(b"X-%d: " % n + planted for n in range(150)), planted, b": : :"])
    return st.one_of(one, one, one, one, many)


def _paths(path: str) -> st.SearchStrategy[str]:
    odd = [
        f"//{path}", f"{path}/", f"/.{path}", f"/..{path}", f"/%2e%2e{path}", f"{path}%00", f"{path}%2f", f"{path}%ff",
        path.upper(), f"{path}?", f"{path}?a=%ff&a=[]&{PLANTED}=1", f"{path}?{'a=1&' * 500}", f"{path}#x",
        f"/{PLANTED}", f"/{PLANTED}%0d%0aX: 1", f"http://{PLANTED}{path}", f"http://[{path}", "*", "", path.lstrip("/"),
        "/" * 500,
        f"/{'a' * 9_000}", "/\u0434", "/%", "/%zz", "/static/../x", f"{path};a=1", f"{path}\\", f"/{PLANTED}:99999999",
    ]  # fmt: skip
    return st.sampled_from(odd)


def _framings(body: bytes) -> st.SearchStrategy[tuple[list[bytes], bytes, bool]]:
    """Headers that say how long the body is, the bytes that follow, and whether that is a whole request."""
    size, kind = len(body), b"Content-Type: application/json"
    half, chunked = body[: size // 2], [kind, b"Transfer-Encoding: chunked"]
    zipped = gzip.compress(body, 1)

    def told(length: object) -> list[bytes]:
        return [kind, b"Content-Length: " + str(length).encode("latin-1", "replace")]

    right = (told(size), body, True)
    wrong: list[tuple[list[bytes], bytes, bool]] = [
        ([kind], body, True), (told(size), half, False), (told(size + 10), body, False),
        (told(max(size - 3, 0)), body, True), (told(-1), body, True), (told("9" * 5_000), body, True),
        (told(10**15), body, False), (told("²"), body, True),
        (told(PLANTED), body, True), ([*told(size), *told(size)], body, True), ([*told(size), *chunked], body, True),
        (chunked, _chunk(body) + b"0\r\n\r\n", True), (chunked, _chunk(body), False),
        (chunked, _chunk(body)[:-3], False),
        (chunked, _chunk(half) + _chunk(body) + b"0\r\n\r\n", True), (chunked, b"-1\r\n" + body, True),
        (chunked, PLANTED.encode() + b"\r\n" + body, True), (chunked, b"5\r\n" + PLANTED.encode(), True),
        (chunked, b"f" * 17 + b"\r\n" + body, False), (chunked, b"0" * 9_000, True),
        (chunked, _chunk(body) + b"0\r\nA\r\n\r\n", True),
        ([kind, b"Transfer-Encoding: " + PLANTED.encode()], body, True),
        ([kind, b"Transfer-Encoding: gzip"], zipped, True),
        ([*told(len(zipped)), b"Content-Encoding: gzip"], zipped, True), ([b"Content-Length: %d" % size], body, True),
    ]  # fmt: skip
    return st.sampled_from((True,) * 7 + (False,)).flatmap(lambda ok: st.just(right) if ok else st.sampled_from(wrong))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""

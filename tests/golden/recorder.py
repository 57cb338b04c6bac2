"""Keeps what passes between Label Studio and prelabel, and writes it down without credentials."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.wrappers import Request, Response

from backend.labelstudio.account import direct
from backend.labelstudio.entries import PROJECT_HEADER, SECRET_HEADER
from backend.supervisor.label_studio import LabelStudio
from tests.golden.cases import NOTES
from tests.labelstudio.served import BASIC, PASSWORD, SECRET
from tests.stack import wait_for

Json = dict[str, Any]

ACCOUNT_PASSWORD = "a-password-of-recordings"
KEPT_HEADERS = ("Host", "User-Agent", "Content-Type", "Authorization", SECRET_HEADER, PROJECT_HEADER)


@dataclass
class Recorder:
    """WSGI middleware that keeps each request with its answer."""

    app: Any
    exchanges: list[Json] = field(default_factory=list)
    cuts_configs: bool = False  # on the way to /setup: Label Studio itself stores no config that is not well-formed

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        body = request.get_data()
        if self.cuts_configs and request.path == "/setup":
            body = json.dumps({**json.loads(body), "schema": "<View>"}).encode()
        environ.update({"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))})
        answer = Response.from_app(self.app, environ, buffered=True)
        self.exchanges.append(
            {
                "request": {
                    "method": request.method,
                    "path": request.path,
                    "query": request.query_string.decode(),
                    "headers": {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers},
                    "body": json.loads(body) if body else None,
                },
                "response": {"status": answer.status_code, "reason": _reason(answer), "body": answer.get_json()},
            }
        )
        return answer(environ, start_response)


@dataclass
class Session:
    """One recording: the programs, and what is written."""

    target: Path
    label_studio: LabelStudio
    web_url: str
    token: str
    recorder: Recorder
    project: Json = field(default_factory=dict)

    def call(self, method: str, path: str, body: object = None, *, case: str = "") -> Any:
        """Call Label Studio's API; keep the exchange where it is a case."""
        refreshed = direct().post(
            f"{self.label_studio.url}/api/token/refresh/", json={"refresh": self.token}, timeout=9
        )
        session = direct()
        session.headers["Authorization"] = f"Bearer {refreshed.json()['access']}"
        answer = session.request(method, self.label_studio.url + path, json=body, timeout=120)
        content = answer.json() if answer.content else None
        if case:
            headers = {"Authorization": "Bearer <access token>"}
            request = {"method": method, "path": path, "headers": headers, "body": body}
            response = {"status": answer.status_code, "reason": answer.reason, "body": content}
            self.write(case, "prelabel -> Label Studio 1.23.2", {"request": request, "response": response})
        elif not answer.ok:
            raise RuntimeError(f"{method} {path} must succeed, was {answer.status_code}: {answer.text[:500]}")
        return content

    def heard(self, case: str, act: Callable[[], object], path: str, **wanted: object) -> None:
        """Keep the last call to `path` that Label Studio made because of an act."""
        del self.recorder.exchanges[:]
        act()

        def found() -> list[Json]:
            return [item for item in list(self.recorder.exchanges) if _matches(item["request"], path, wanted)]

        wait_for(found, within_s=20)
        self.write(case, "Label Studio 1.23.2 -> prelabel", found()[-1])

    def write(self, case: str, direction: str, exchange: Json) -> None:
        whole = {"case": case, "direction": direction, "notes": NOTES[case], **exchange}
        text = json.dumps(_without_secrets(whole), ensure_ascii=False, indent=2)
        for url, default in ((self.label_studio.url, "8080"), (self.web_url, "9090")):
            text = re.sub(rf"\b{urlsplit(url).port}\b", default, text)
        text = re.sub(r"heartex/1\.23\.2[^\"]*", "heartex/1.23.2", text)
        for secret in (self.token, PASSWORD, SECRET, ACCOUNT_PASSWORD):
            if secret in text:
                raise RuntimeError(f"{case} must hold no secret, but does")
        (self.target / f"{case}.json").write_text(text + "\n", encoding="utf-8")


def _matches(request: Json, path: str, wanted: Json) -> bool:
    body = request["body"] or {}
    return bool(request["path"] == path) and all(body.get(name) == value for name, value in wanted.items())


def _reason(answer: Response) -> str:
    return answer.status.partition(" ")[2]


def _without_secrets(value: Any, name: str = "") -> Any:
    """The same JSON with words in angle brackets for everything that opens a door."""
    if isinstance(value, dict):
        return {key: _without_secrets(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    if name in {"token", "access_token", "task_data_login", "task_data_password", "basic_auth_pass"} and value:
        return f"<{name.replace('_', ' ')}>"
    if isinstance(value, str):
        value = value.replace(BASIC, "Basic <user:password>").replace(SECRET, "<webhook secret>")
        return re.sub(r"^Basic (?!<).+", "Basic <user:wrong password>", value)
    return value

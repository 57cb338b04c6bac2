"""The HTTP face towards Label Studio: who may call, JSON in, JSON out, errors as reason phrases.

Label Studio shows a person nothing of an error but the reason phrase, so that is where messages go.
"""

import hmac
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, Protocol

import structlog
from flask import Blueprint, Response, jsonify, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, HTTPException

from backend.core.code_version import code_version
from backend.core.errors import (
    AuthenticationError,
    BadInputError,
    LabelConfigError,
    OutsideError,
    PrelabelError,
    TooLargeError,
)
from backend.core.projects import ProjectKey
from backend.labelstudio.entries import PROJECT_HEADER, SECRET_HEADER
from backend.labelstudio.incoming import NO_JSON, Take, as_it_is, read_object
from backend.labelstudio.wire import (
    Json,
    PredictRequest,
    SetupRequest,
    TaskRef,
    predict_request,
    reason_phrase,
    results,
    setup_request,
    webhook_event,
)
from backend.logs import told

P = ParamSpec("P")
STATUS: tuple[tuple[type[PrelabelError], int], ...] = (  # first match wins
    (LabelConfigError, 422),
    (TooLargeError, 413),
    (BadInputError, 400),
    (AuthenticationError, 401),
    (OutsideError, 503),
    (PrelabelError, 500),
)

MB = 1024 * 1024

log = structlog.get_logger()


class Backend(Protocol):
    """What the routes need; backend.answering.Answering has it."""

    def setup(self, request: SetupRequest) -> str: ...
    def predict(self, request: PredictRequest) -> list[Json | None]: ...
    def event(self, action: str, key: ProjectKey) -> str: ...
    def train(self, key: ProjectKey) -> str: ...
    def job_status(self, job_id: str) -> str: ...
    def versions(self) -> list[str]: ...
    def state(self) -> Mapping[str, str]: ...
    def degraded(self) -> list[Json]: ...
    def obstacles(self) -> list[str]: ...


class Gatekeeper:
    """Compares credentials in constant time, on bytes."""

    def __init__(self, *, user: str, password: str, webhook_secret: str) -> None:
        self._user, self._password, self._secret = user.encode(), password.encode(), webhook_secret.encode()

    def basic(self) -> bool | None:
        """Whether the request's basic auth is right; None where it has none."""
        given = request.authorization
        if given is None:
            return None
        user, password = (given.username or "").encode(), (given.password or "").encode()
        same_user = hmac.compare_digest(user, self._user)
        return hmac.compare_digest(password, self._password) and same_user and bool(self._password)

    def secret(self) -> bool:
        given = request.headers.get(SECRET_HEADER, "").encode("latin-1", "replace")
        return bool(self._secret) and hmac.compare_digest(given, self._secret)

    def required(self, view: Callable[P, Response]) -> Callable[P, Response]:
        """A view that only basic auth opens."""

        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
            if not self.basic():
                raise AuthenticationError("basic auth must carry the backend's user and password")
            return view(*args, **kwargs)

        return guarded


def blueprint(backend: Backend, gate: Gatekeeper, exposition: Callable[[], bytes]) -> Blueprint:
    """All routes of the ML backend protocol, and /metrics."""
    routes = Blueprint("labelstudio", __name__)

    @routes.get("/")
    @routes.get("/health")
    def health() -> Response:
        allowed = gate.basic()
        if allowed is False:
            raise AuthenticationError("basic auth must carry the backend's user and password")
        if not allowed:
            return jsonify({"status": "UP"})
        return jsonify(
            {
                "status": "UP",
                "prelabel": code_version(),
                "versions": dict(backend.state()),
                "degraded": backend.degraded(),
            }
        )

    @routes.get("/live")
    def live() -> Response:
        return jsonify({"status": "live"})

    @routes.get("/ready")
    def ready() -> Response:
        allowed = gate.basic()
        if allowed is False:
            raise AuthenticationError("basic auth must carry the backend's user and password")
        obstacles = backend.obstacles()
        if not obstacles:
            return jsonify({"status": "ready"})
        return with_reason(503, "; ".join(["not ready", *obstacles]) if allowed else "not ready")

    @routes.post("/setup")
    @gate.required
    def setup() -> Response:
        return jsonify({"model_version": backend.setup(setup_request(_body(SETUP)))})

    @routes.post("/predict")
    @gate.required
    def predict() -> Response:
        return jsonify(results(backend.predict(predict_request(_body(PREDICT)))))

    @routes.post("/webhook")
    def webhook() -> Response:
        if not (gate.secret() or gate.basic()):
            raise AuthenticationError(f"a webhook must carry {SECRET_HEADER} or basic auth; run: prelabel doctor")
        action, key = webhook_event(_body(WEBHOOK), request.headers.get(PROJECT_HEADER, ""))
        return jsonify({"status": "ok", "job": backend.event(action, key) if key else ""})

    @routes.get("/versions")
    @gate.required
    def versions() -> Response:
        return jsonify({"versions": backend.versions(), "message": ""})

    @routes.post("/train")
    @gate.required
    def train() -> Response:
        body = _body(TRAIN)
        project = body.get("project") if isinstance(body, dict) else None
        if not isinstance(project, str):
            raise BadInputError("project must be a string, <id>.<created unix>")
        return jsonify({"job": backend.train(ProjectKey.parse(project))})

    @routes.post("/job_status")
    @gate.required
    def job_status() -> Response:
        body = _body(JOB)
        job = body.get("job") if isinstance(body, dict) else None
        if not isinstance(job, str):
            raise BadInputError("job must be the string that /train answered")
        return jsonify({"job_status": backend.job_status(job)})

    @routes.post("/validate")
    @gate.required
    def validate() -> Response:
        return jsonify({"status": "ok"})

    @routes.post("/delete")
    @routes.post("/duplicate_model")
    @gate.required
    def unchanged() -> Response:
        return jsonify({})

    @routes.get("/metrics")
    @gate.required
    def metrics() -> Response:
        return Response(exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")

    return routes


def with_reason(status: int, message: str) -> Response:
    """An error as Label Studio can show it: the message is the reason phrase and stands in the body too."""
    phrase = reason_phrase(message)
    answer = jsonify({"error": phrase})
    answer.status = f"{status} {phrase}"
    if status == AUTHENTICATE:
        answer.headers["WWW-Authenticate"] = 'Basic realm="prelabel"'
    return answer


AUTHENTICATE = 401


def on_prelabel_error(err: PrelabelError) -> Response:
    status = next(status for kind, status in STATUS if isinstance(err, kind))
    return with_reason(status, str(err))


def on_http_error(err: HTTPException) -> Response:
    return with_reason(err.code or 500, _too_large() if err.code == TOO_LARGE else err.name)


TOO_LARGE = 413


def _too_large() -> str:
    """What a body is refused with that is longer than its route allows."""
    limit_mb = (request.max_content_length or 0) // MB
    remedy = "select fewer tasks, or raise PRELABEL_MAX_REQUEST_MB" if request.path == "/predict" else "send less"
    return f"the body must be at most {limit_mb} MB for {request.path}; {remedy}"


def on_any_error(err: Exception) -> Response:
    """Nothing of an unforeseen error leaves but its kind: its message may hold a task's text."""
    log.error("unforeseen_error", **told(err))
    return with_reason(500, f"unforeseen {type(err).__name__}; the log of the web process says where")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a route takes of a body, and how much may be sent to it."""

    kept: Mapping[str, Take]
    limit_mb: int | None = None  # None: PRELABEL_MAX_REQUEST_MB


SETUP = Accepted(dict.fromkeys(("project", "schema", "extra_params"), as_it_is), limit_mb=4)  # 10,000 labels are one
PREDICT = Accepted({**dict.fromkeys(("project", "label_config", "params"), as_it_is), "tasks": TaskRef.of})
WEBHOOK = Accepted(dict.fromkeys(("action", "project"), as_it_is), limit_mb=16)  # 5,000 tasks are 4; ours hold none
TRAIN = Accepted({"project": as_it_is}, limit_mb=1)
JOB = Accepted({"job": as_it_is}, limit_mb=1)


def _body(accepted: Accepted) -> object:
    if accepted.limit_mb is not None:
        request.max_content_length = min(accepted.limit_mb * MB, request.max_content_length or sys.maxsize)
    try:
        body = read_object(request.stream.read, accepted.kept)
    except (ClientDisconnected, ParseException) as err:
        raise BadInputError("the body must arrive whole; it broke off, or its chunks are broken") from err
    if body is None:
        raise BadInputError(NO_JSON)
    return body

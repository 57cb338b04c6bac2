"""What is known of every request: an id that leads on through the jobs it asks for, its time, a line in the log."""

import time

import structlog
from flask import Flask, Response, g, request
from prometheus_client import Histogram

from backend.logs import new_trace

TRACE_HEADER = "X-Request-ID"
QUIET = ("/", "/health", "/live", "/ready", "/metrics")  # asked every few seconds: their lines are for debugging

log = structlog.get_logger()


def follow(app: Flask, seconds: Histogram) -> None:
    """Give each request of an application its id, and tell how it was answered."""

    @app.before_request
    def begin() -> None:
        g.started = time.perf_counter()
        structlog.contextvars.clear_contextvars()  # threads are used again
        structlog.contextvars.bind_contextvars(trace=new_trace(request.headers.get(TRACE_HEADER, "")))

    @app.after_request
    def end(response: Response) -> Response:
        took = time.perf_counter() - g.started
        route = request.url_rule.rule if request.url_rule else "unknown"
        seconds.labels(route, str(response.status_code)).observe(took)
        say = log.debug if route in QUIET else log.info
        say("answered", route=route, status=response.status_code, seconds=round(took, 4))
        response.headers[TRACE_HEADER] = structlog.contextvars.get_contextvars()["trace"]
        return response

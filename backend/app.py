"""The Flask factory that gunicorn calls: settings and collaborators in, an application out. Wiring only."""

import time

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from backend.answering import answering_of
from backend.core.errors import BadInputError, PrelabelError
from backend.core.settings import Settings, load_settings
from backend.labelstudio import routes
from backend.logs import configure_logs
from backend.telemetry import LoopCollector, MemoryCollector


def create_app(settings: Settings | None = None) -> Flask:
    """The web application.

    Raises:
        BadInputError: the settings hold no password or no webhook secret; everything would be open, or nothing.
    """
    settings = settings or load_settings()
    if not settings.password.get_secret_value() or not settings.webhook_secret.get_secret_value():
        raise BadInputError("PRELABEL_PASSWORD and PRELABEL_WEBHOOK_SECRET must be set, are empty")
    configure_logs(settings.log_level)
    answering = answering_of(settings)
    telemetry = answering.telemetry
    telemetry.registry.register(LoopCollector(answering.ledger, answering.queue))
    telemetry.registry.register(MemoryCollector(answering.projects.memory))
    gate = routes.Gatekeeper(
        user=settings.user,
        password=settings.password.get_secret_value(),
        webhook_secret=settings.webhook_secret.get_secret_value(),
    )
    app = Flask("prelabel", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_request_mb * 1024 * 1024
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.register_blueprint(routes.blueprint(answering, gate, telemetry.exposition))
    app.register_error_handler(PrelabelError, routes.on_prelabel_error)
    app.register_error_handler(HTTPException, routes.on_http_error)
    app.register_error_handler(Exception, routes.on_any_error)
    app.before_request(routes.start_clock)

    @app.after_request
    def measure(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "unknown"
        seconds = time.perf_counter() - g.get("started", time.perf_counter())
        telemetry.requests.labels(route, str(response.status_code)).observe(seconds)
        return response

    return app

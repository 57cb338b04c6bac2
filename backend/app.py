"""The Flask factory that gunicorn calls: settings and collaborators in, an application out. Wiring only."""

import sys

from flask import Flask
from werkzeug.exceptions import HTTPException

from backend.answering import answering_of
from backend.core.errors import PrelabelError
from backend.core.settings import Settings, load_settings
from backend.health.exposition import Exposition
from backend.labelstudio import routes, tracing
from backend.logs import configure_logs, say_started

UNUSABLE = 3  # gunicorn ends, instead of trying again, with a worker that ends so


def application() -> Flask:
    """The application for gunicorn, which would show a traceback: what is wrong is said in a line."""
    try:
        return create_app()
    except PrelabelError as err:
        sys.stderr.write(f"prelabel: {err}\n")
        raise SystemExit(UNUSABLE) from err


def create_app(settings: Settings | None = None) -> Flask:
    """The web application.

    Raises:
        BadInputError: the settings hold no password or no webhook secret; everything would be open, or nothing.
        StateError: the state folder or the database cannot be used.
    """
    settings = settings or load_settings()
    settings.require_secrets()
    configure_logs(settings.log_level)
    say_started("web")
    answering = answering_of(settings)
    answering.watch.start(answering.begin)
    gate = routes.Gatekeeper(
        user=settings.user,
        password=settings.password.get_secret_value(),
        webhook_secret=settings.webhook_secret.get_secret_value(),
    )
    app = Flask("prelabel", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_request_mb * 1024 * 1024
    app.url_map.merge_slashes = False  # a path with a slash too many is none, not a redirect
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["watch"] = answering.watch
    app.register_blueprint(routes.blueprint(answering, gate, Exposition(answering.telemetry, answering.watch).text))
    app.register_error_handler(PrelabelError, routes.on_prelabel_error)
    app.register_error_handler(HTTPException, routes.on_http_error)
    app.register_error_handler(Exception, routes.on_any_error)
    tracing.follow(app, answering.telemetry.requests)
    return app

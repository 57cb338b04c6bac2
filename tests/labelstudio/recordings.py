"""The recorded exchanges, and how to play one again."""

import json
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend.labelstudio.entries import SECRET_HEADER
from tests.labelstudio.served import BASIC, SECRET

FOLDER = Path(__file__).resolve().parents[1] / "golden"
TO_US = "Label Studio 1.23.2 -> prelabel"


def recording(case: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{case}.json").read_text(encoding="utf-8")))


def cases(direction: str) -> list[str]:
    """Names of all recordings of a direction."""
    names = sorted(path.stem for path in FOLDER.glob("*.json"))
    return [name for name in names if recording(name)["direction"] == direction]


def replay(client: FlaskClient, recorded: dict[str, Any], **changed_headers: str) -> TestResponse:
    """Send a recorded request with this run's credentials in the places of the recorded ones."""
    request = recorded["request"]
    ours = {"Basic <user:password>": BASIC, "Basic <user:wrong password>": "Basic d3Jvbmc6d3Jvbmc="}
    headers = {name: ours.get(value, value) for name, value in request["headers"].items()}
    if SECRET_HEADER in headers:
        headers[SECRET_HEADER] = SECRET
    headers = {name: value for name, value in {**headers, **changed_headers}.items() if value}
    body = None if request["body"] is None else json.dumps(request["body"])
    return client.open(request["path"], method=request["method"], headers=headers, data=body)

import re
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import requests

from backend.core.errors import BadInputError, LabelStudioError
from backend.labelstudio.account import direct
from backend.supervisor.ports import holder
from tests.stack import RunningLabelStudio

pytestmark = pytest.mark.label_studio
CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


def session(label_studio: RunningLabelStudio) -> requests.Session:
    """An API session with the token."""
    refresh = direct().post(f"{label_studio.url}/api/token/refresh/", json={"refresh": label_studio.token}, timeout=30)
    made = direct()
    made.headers["Authorization"] = f"Bearer {refresh.json()['access']}"
    return made


def test_the_stored_token_is_kept_while_it_works(label_studio: RunningLabelStudio) -> None:
    assert label_studio.program.token(label_studio.token) == label_studio.token


def test_a_token_that_was_lost_is_made_again_although_the_api_gives_only_one(label_studio: RunningLabelStudio) -> None:
    token = label_studio.program.token("")
    assert token != label_studio.token
    assert label_studio.program.token(token) == token


def test_the_key_that_signs_its_tokens_reads_the_same_at_each_start(
    label_studio: RunningLabelStudio, tmp_path: Path
) -> None:
    program, file = replace(label_studio.program, data=tmp_path / "data"), tmp_path / "data" / ".env"
    program.service()
    written = file.read_text(encoding="utf-8")
    assert re.fullmatch(r"SECRET_KEY=[\w-]{64}\n", written), "no character means anything to who reads the file"
    assert file.stat().st_mode & 0o777 == 0o600
    program.service()
    assert file.read_text(encoding="utf-8") == written


def test_a_wrong_password_is_told_with_the_setting_to_correct(label_studio: RunningLabelStudio) -> None:
    with pytest.raises(LabelStudioError, match="PRELABEL_LABEL_STUDIO_PASSWORD is not the password") as caught:
        replace(label_studio.program, password="a-wrong-one").token("")
    assert "a-wrong-one" not in str(caught.value)


def test_a_stranger_cannot_sign_up(label_studio: RunningLabelStudio) -> None:
    stranger = direct()
    page = stranger.get(f"{label_studio.url}/user/signup/", timeout=30)
    token = CSRF.search(page.text)
    form = {"email": "stranger@example.com", "password": "Passw0rd!1", "csrfmiddlewaretoken": token[1] if token else ""}
    headers = {"Referer": f"{label_studio.url}/user/signup/"}
    stranger.post(f"{label_studio.url}/user/signup/", data=form, headers=headers, timeout=30)
    assert stranger.get(f"{label_studio.url}/api/projects/", timeout=30).status_code == 401


def test_it_may_call_a_backend_on_loopback_but_nothing_else_that_is_private(label_studio: RunningLabelStudio) -> None:
    api = session(label_studio)
    project = api.post(f"{label_studio.url}/api/projects/", json={"title": "addresses"}, timeout=30).json()["id"]

    def answer(url: str) -> str:
        reply = api.post(f"{label_studio.url}/api/ml/", json={"project": project, "url": url, "title": "x"}, timeout=60)
        return f"{reply.status_code} {reply.text}"

    assert "reserved network" not in answer("http://127.0.0.1:9")
    for private in ("http://10.0.0.1:9090", "http://169.254.169.254", "http://192.168.1.1:9090"):
        assert "reserved network" in answer(private)


def test_neither_password_nor_token_stands_on_a_command_line(label_studio: RunningLabelStudio) -> None:
    port = label_studio.program.address[1]
    assert holder(port)
    everything = " ".join(" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
    assert str(port) in everything
    assert label_studio.password not in everything
    assert label_studio.token not in everything


@pytest.mark.parametrize("url", ["http://example.com:8080", "https://127.0.0.1:8080"])
def test_a_label_studio_elsewhere_is_not_ours_to_start(label_studio: RunningLabelStudio, url: str) -> None:
    with pytest.raises(BadInputError, match="run `prelabel serve` and `prelabel worker`"):
        replace(label_studio.program, url=url).service()

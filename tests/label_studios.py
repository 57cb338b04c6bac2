"""Label Studio as its makers ship it, which may not call a backend on this machine; and a second person in one."""

import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr

from backend.core.settings import Settings
from backend.labelstudio.account import CSRF, Account, direct
from backend.labelstudio.client import LabelStudioClient, open_client
from backend.supervisor.label_studio import LabelStudio
from tests.stack import (
    EMAIL,
    PASSWORD,
    RunningLabelStudio,
    free_port,
    label_studio_executable,
    running,
    template,
)

DATABASE = "label_studio.sqlite3"


@contextmanager
def label_studio_of_defaults(
    folder: Path, *, host: str = "", like: RunningLabelStudio | None = None
) -> Iterator[RunningLabelStudio]:
    """A real Label Studio without any word about subnets.

    Args:
        host: the URL that people see, where it is another.
        like: one whose projects it has, as if that one had been started again without its settings.
    """
    executable = label_studio_executable()
    made = template(executable)
    shutil.copytree(made / "data", folder / "data")
    if like is not None:
        with (
            closing(sqlite3.connect(like.program.data / DATABASE)) as present,
            closing(sqlite3.connect(folder / "data" / DATABASE)) as copy,
        ):
            present.backup(copy)
    program = LabelStudio(executable, folder / "data", f"http://127.0.0.1:{free_port()}", EMAIL, PASSWORD)
    service = program.service()
    environment = {name: value for name, value in service.environment.items() if "SUBNETS" not in name}
    environment |= {"LABEL_STUDIO_HOST": host} if host else {}
    with running(replace(service, environment=environment), folder):
        token = (made / "token").read_text(encoding="utf-8")
        yield RunningLabelStudio(program.url, token, EMAIL, PASSWORD, program)


@contextmanager
def second_person(label_studio: RunningLabelStudio) -> Iterator[LabelStudioClient]:
    """Another person's view of a Label Studio, whom the first has invited; each time a new one."""
    with closing(_opened(label_studio.url, label_studio.token)) as first:
        invitation = first.api.json("GET", "api/invite")["invite_url"]
    person = Account(label_studio.url, f"{secrets.token_hex(4)}@example.com", PASSWORD)
    page = f"{label_studio.url}{invitation}"
    with direct() as http:
        found = CSRF.search(http.get(page, timeout=30).text)
        form = {"email": person.email, "password": PASSWORD}
        form["csrfmiddlewaretoken"] = found[1] if found else ""
        http.post(page, data=form, headers={"Referer": page}, timeout=30)
    with person.logged_in() as session:
        token = session.make_token()
    with closing(_opened(label_studio.url, token)) as second:
        yield second


def _opened(url: str, token: str) -> LabelStudioClient:
    return open_client(Settings(label_studio_url=url, label_studio_token=SecretStr(token)))

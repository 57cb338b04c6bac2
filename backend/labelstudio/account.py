"""An account of Label Studio, by its password: the SDK knows only tokens, and this is where the first comes from.

Label Studio gives each account one token over its API and shows it once: who loses it can only revoke it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests

from backend.core.errors import LabelStudioError

ANSWER_S = 5.0
CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
EXISTS = 409


@dataclass(frozen=True, slots=True)
class Session:
    """A logged-in account."""

    url: str
    http: requests.Session

    def make_token(self) -> str:
        """A new personal access token; empty where the account has one, which only its owner ever saw.

        Raises:
            LabelStudioError: no token comes.
        """
        reply = self._post("api/token/", expected=(201, EXISTS))
        return "" if reply.status_code == EXISTS else str(reply.json()["token"])

    def has_tokens(self) -> bool:
        """Whether the account has a token, which only its owner ever saw."""
        return bool(self._tokens())

    def revoke_tokens(self) -> None:
        """End every token of the account."""
        for known in self._tokens():
            self._post("api/token/blacklist/", {"refresh": known["token"]}, expected=(204,))

    def _tokens(self) -> list[dict[str, str]]:
        return list(self.http.get(f"{self.url}/api/token/", timeout=ANSWER_S).json())

    def _post(self, path: str, body: object = None, *, expected: tuple[int, ...]) -> requests.Response:
        headers = {"X-CSRFToken": self.http.cookies["csrftoken"], "Referer": self.url}
        reply = self.http.post(f"{self.url}/{path}", json=body, headers=headers, timeout=ANSWER_S)
        if reply.status_code not in expected:
            raise LabelStudioError(
                f"Label Studio must answer POST {path} with {expected[0]}, answered {reply.status_code}",
                status=reply.status_code,
            )
        return reply


@dataclass(frozen=True, slots=True)
class Account:
    """Who logs in where."""

    url: str
    email: str
    password: str = field(repr=False)

    def accepts(self, token: str) -> bool:
        """Whether Label Studio takes a personal access token."""
        with _asking(self.url) as http:
            reply = http.post(f"{self.url}/api/token/refresh/", json={"refresh": token}, timeout=ANSWER_S)
        return bool(reply.status_code == 200)

    @contextmanager
    def logged_in(self) -> Iterator[Session]:
        """Raises LabelStudioError where Label Studio does not know the account by this password."""
        with _asking(self.url) as http:
            page = http.get(f"{self.url}/user/login/", timeout=ANSWER_S)
            found = CSRF.search(page.text)
            form = {
                "email": self.email,
                "password": self.password,
                "csrfmiddlewaretoken": found[1] if found else "",
            }
            reply = http.post(
                f"{self.url}/user/login/", data=form, headers={"Referer": f"{self.url}/user/login/"},
                allow_redirects=False, timeout=ANSWER_S,
            )  # fmt: skip
            if reply.status_code != 302:
                raise LabelStudioError(
                    f"Label Studio must let {self.email} log in, but does not: PRELABEL_LABEL_STUDIO_PASSWORD is not "
                    "the password of that account; correct it, or start over with `prelabel up --fresh`",
                    status=reply.status_code,
                )
            yield Session(self.url, http)


@contextmanager
def _asking(url: str) -> Iterator[requests.Session]:
    """Raises LabelStudioError where nobody answers."""
    with direct() as http:
        try:
            yield http
        except requests.RequestException as err:
            raise LabelStudioError(f"Label Studio must answer at {url}, but does not; check that it runs") from err


def direct() -> requests.Session:
    """A session that uses no proxy: this Label Studio is on this machine, or on the next."""
    session = requests.Session()
    session.trust_env = False
    return session

"""Label Studio beside us: its environment variables, its account, its token.

Started with sign-up closed, analytics off and no way into private networks but loopback, where prelabel listens.
"""

import os
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests

from backend.core.errors import BadInputError, LabelStudioError
from backend.labelstudio.account import ANSWER_S, Account, direct
from backend.supervisor.process import Service

NAME = "label-studio"
LOOPBACK = frozenset({"127.0.0.1", "localhost"})
FIRST_START_S = 240.0  # migrations: 21-33 s on two idle cores
SHELL_S = 120.0
KEY_BYTES = 48
FROM_OUTSIDE = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")  # it reads HOST, DEBUG and USERNAME, too
BANNED_SUBNETS = (  # its own list without loopback, so that it may call prelabel and nothing else that is private
    "0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,169.254.0.0/16,172.16.0.0/12,192.0.0.0/24,192.0.2.0/24,192.88.99.0/24,"
    "192.168.0.0/16,198.18.0.0/15,198.51.100.0/24,203.0.113.0/24,224.0.0.0/4,240.0.0.0/4,::/128,::ffff:0:0/96,"
    "::ffff:0:0:0/96,64:ff9b::/96,64:ff9b:1::/48,100::/64,2001::/32,2001:20::/28,2001:db8::/32,2002::/16,fc00::/7,"
    "fe80::/10,ff00::/8"
)
QUIET = {
    "COLLECT_ANALYTICS": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "LATEST_VERSION_CHECK": "false",
    "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
    "LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS": "false",
    "LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS": BANNED_SUBNETS,
}
ASK_INSIDE = """
import os, sys
import label_studio.server as server
server._setup_env()
from jwt_auth.models import LSAPIToken
from users.models import User
user = User.objects.get(email=os.environ["LABEL_STUDIO_USERNAME"])
sys.stdout.write("token=" + LSAPIToken.for_user(user).get_full_jwt())
"""


@dataclass(frozen=True, slots=True)
class LabelStudio:
    """One Label Studio on this machine, with SQLite in its data folder."""

    executable: Path
    data: Path
    url: str
    email: str
    password: str = field(repr=False)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on.

        Raises:
            BadInputError: the URL is not on this machine.
        """
        parts = urlsplit(self.url)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK:
            raise BadInputError(
                f"PRELABEL_LABEL_STUDIO_URL must be http://127.0.0.1:PORT for `prelabel up`, was {self.url}; beside a "
                "Label Studio of your own run `prelabel serve` and `prelabel worker`"
            )
        return "127.0.0.1", parts.port or 80

    def service(self) -> Service:
        """How to run it."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._keep_key()
        host, port = self.address
        options = ("start", "--no-browser", "--internal-host", host, "--port", str(port))
        return Service(
            NAME, (str(self.executable), *options), self.environment(), answers=self.answers,
            watched=True, ready_within_s=FIRST_START_S,
        )  # fmt: skip

    def environment(self) -> dict[str, str]:
        outside = {name: os.environ[name] for name in FROM_OUTSIDE if name in os.environ}
        account = {"LABEL_STUDIO_USERNAME": self.email, "LABEL_STUDIO_PASSWORD": self.password}
        here = {"LABEL_STUDIO_BASE_DATA_DIR": str(self.data), "PYTHONUNBUFFERED": "1"}
        return {**outside, **QUIET, **account, **here}

    def _keep_key(self) -> None:
        """Choose the key that signs its tokens: of those that it makes itself some read otherwise at the next start."""
        file = self.data / ".env"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(f"SECRET_KEY={secrets.token_urlsafe(KEY_BYTES)}\n", encoding="utf-8")

    def answers(self, _pid: int) -> bool:
        try:
            return bool(direct().get(f"{self.url}/health", timeout=ANSWER_S).status_code == 200)
        except requests.RequestException:
            return False

    def token(self, present: str) -> str:
        """A personal access token that works: the present one, or a new one.

        Raises:
            LabelStudioError: the account cannot log in, or no token comes.
        """
        account = Account(self.url, self.email, self.password)
        if present and account.accepts(present):
            return present
        with account.logged_in() as session:
            return session.make_token() or self._token_from_inside()

    def _token_from_inside(self) -> str:
        """Ask Label Studio's own code for a second token: its API gives each account only one."""
        python = self.executable.with_name("python")
        done = subprocess.run(
            [str(python), "-c", ASK_INSIDE], env=self.environment(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=SHELL_S, check=False,
        )  # fmt: skip
        token = done.stdout.rpartition("token=")[2].strip()
        if done.returncode or not token:
            raise LabelStudioError(
                f"Label Studio must give {self.email} a token, but its own code failed; make one in Account & "
                "Settings and put it into PRELABEL_LABEL_STUDIO_TOKEN"
            )
        return token

"""Doctor on the way to Label Studio and to our own web process: addresses, certificates, credentials, clocks."""

import re
import time
from email.utils import parsedate_to_datetime

import requests

from backend.connection.doctor.check import Check, Fault, Finding
from backend.core.errors import LabelStudioError
from backend.core.settings import Settings
from backend.labelstudio.failures import certificate_remedy
from backend.loop.desk import Desk

TIMEOUT_S = 3.0  # Label Studio itself waits 1 s for a /health
SKEW_S = 30.0  # between two clocks; polling asks for what is newer than a time, and versions are named by it
NO_STATUS = 0  # of an answer that is none of an API
LEGACY_TOKEN = re.compile(r"[0-9a-f]{40}")

NO_ANSWER: Fault[Desk] = Fault(
    "wrong URL, or it does not run", "{url} does not answer ({problem})",
    "check that it runs, and PRELABEL_LABEL_STUDIO_URL{proxy}",
)  # fmt: skip
DISTRUSTED: Fault[Desk] = Fault("its certificate is not trusted", "the certificate of {url} is not trusted", "{remedy}")
SOMEBODY_ELSE: Fault[Desk] = Fault(
    "wrong URL: something else answers", "{url} answers {status}, but not as a Label Studio",
    "correct PRELABEL_LABEL_STUDIO_URL; a sub-path belongs to it",
)  # fmt: skip
WRONG_PATH: Fault[Desk] = Fault(
    "wrong URL: the API is elsewhere", "{url} answers, but not with the API of Label Studio",
    "correct PRELABEL_LABEL_STUDIO_URL; a sub-path belongs to it",
)  # fmt: skip
NO_TOKEN: Fault[Desk] = Fault(
    "no token", "PRELABEL_LABEL_STUDIO_TOKEN is empty",
    "make a personal access token under Account & Settings, and set PRELABEL_LABEL_STUDIO_TOKEN",
)  # fmt: skip
WRONG_TOKEN: Fault[Desk] = Fault(
    "wrong token", "personal access token is refused",
    "it is wrong or was revoked: make a new one under Account & Settings, set PRELABEL_LABEL_STUDIO_TOKEN",
)  # fmt: skip
LEGACY_REFUSED: Fault[Desk] = Fault(
    "a legacy token where those are off", "legacy token is refused",
    "legacy tokens are off by default: use a personal access token, or turn them on in the organization's settings",
)  # fmt: skip
SKEWED: Fault[Desk] = Fault(
    "clocks apart", "this machine's clock is {seconds:.0f} s {way} Label Studio's",
    "let both machines follow a time server (timedatectl set-ntp true)",
)  # fmt: skip
WEB_AWAY: Fault[Desk] = Fault(
    "the web process does not answer",
    "{url} does not answer ({problem})",
    "run: prelabel serve; check PRELABEL_WEB_URL",
)
WEB_DISTRUSTED: Fault[Desk] = Fault(
    "the web process's certificate is not trusted", "the certificate of {url} is not trusted", "{remedy}"
)
WEB_LOCKED: Fault[Desk] = Fault(
    "another password, or another backend", "{url} refuses our password",
    "another backend runs there, or PRELABEL_PASSWORD differs: set it, and start prelabel serve again",
)  # fmt: skip
WEB_ILL: Fault[Desk] = Fault("the web process fails", "{url} answers {status}", "see the log of prelabel serve")


def get(settings: Settings, url: str, auth: tuple[str, str] | None = None) -> requests.Response:
    """Ask on the way that the settings say, and on no other."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = settings.authorities
        proxy = settings.proxy_for(url)
        session.proxies = {"http": proxy, "https": proxy} if proxy else {}
        return session.get(url, auth=auth, timeout=TIMEOUT_S)


def label_studio(desk: Desk) -> Finding[Desk]:
    settings, url = desk.settings, desk.settings.label_studio_url
    try:
        answer = get(settings, _health(settings))
    except requests.exceptions.SSLError as err:
        return DISTRUSTED.seen(url=url, remedy=certificate_remedy(str(err)))
    except requests.RequestException as err:
        proxy = " and PRELABEL_PROXY" if settings.proxy_for(url) else ""
        return NO_ANSWER.seen(url=url, problem=type(err).__name__, proxy=proxy)
    if not answer.ok or '"UP"' not in answer.text:  # its pages say "sign up"
        return SOMEBODY_ELSE.seen(url=url, status=answer.status_code)
    return Finding(f"{url} answers")


def token(desk: Desk) -> Finding[Desk]:
    present = desk.settings.label_studio_token.get_secret_value()
    legacy = bool(LEGACY_TOKEN.fullmatch(present))
    if not present:
        return NO_TOKEN.seen()
    try:
        desk.client.whoami()
    except LabelStudioError as err:
        if err.status in (NO_STATUS, requests.codes.not_found):
            return WRONG_PATH.seen(url=desk.settings.label_studio_url)
        if err.status != requests.codes.unauthorized:
            raise
        return (LEGACY_REFUSED if legacy else WRONG_TOKEN).seen()
    return Finding(f"{'legacy token' if legacy else 'personal access token'} is accepted")


def clock(desk: Desk) -> Finding[Desk]:
    """By the Date of an answer, which is cut to whole seconds."""
    asked = time.time()
    answer = get(desk.settings, _health(desk.settings))
    here = (asked + time.time()) / 2
    if "Date" not in answer.headers:
        return Finding("Label Studio's answers have no Date: not compared")
    ahead = here - parsedate_to_datetime(answer.headers["Date"]).timestamp()
    if abs(ahead) > SKEW_S:
        return SKEWED.seen(seconds=abs(ahead), way="ahead of" if ahead > 0 else "behind")
    return Finding("goes with Label Studio's")


def backend(desk: Desk) -> Finding[Desk]:
    rows = [row for key in desk.ledger.project_keys() if (row := desk.ledger.project(key))]
    if rows and all(row.push_only for row in rows):
        return Finding("not needed: every project is push-only")
    settings, url = desk.settings, desk.settings.backend_url
    try:
        answer = get(settings, f"{url}/health", (settings.user, settings.password.get_secret_value()))
    except requests.exceptions.SSLError as err:
        return WEB_DISTRUSTED.seen(url=url, remedy=certificate_remedy(str(err)).replace("LABEL_STUDIO_URL", "WEB_URL"))
    except requests.RequestException as err:
        return WEB_AWAY.seen(url=url, problem=type(err).__name__)
    if answer.status_code == requests.codes.unauthorized:
        return WEB_LOCKED.seen(url=url)
    return Finding(f"{url} answers") if answer.ok else WEB_ILL.seen(url=url, status=answer.status_code)


def _health(settings: Settings) -> str:
    return f"{settings.label_studio_url.rstrip('/')}/health"


LABEL_STUDIO: tuple[Check[Desk], ...] = (
    Check("Label Studio", label_studio, (NO_ANSWER, DISTRUSTED, SOMEBODY_ELSE)),
    Check("token", token, (WRONG_PATH, NO_TOKEN, WRONG_TOKEN, LEGACY_REFUSED), needs=("Label Studio",)),
    Check("clock", clock, (SKEWED,), needs=("Label Studio",)),
)
WEB: tuple[Check[Desk], ...] = (
    Check("backend", backend, (WEB_AWAY, WEB_DISTRUSTED, WEB_LOCKED, WEB_ILL), needs=("database",)),
)

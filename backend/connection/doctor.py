"""Doctor: looks at every link between Label Studio and this backend, and says what to do about each broken one."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import redis
import requests
from rq import Worker

from backend.connection.connect import TITLE, webhook_url
from backend.core.errors import LabelStudioError, PrelabelError
from backend.core.projects import SETTINGS_FILE
from backend.core.settings import Settings
from backend.job_queue import QUEUES, connect
from backend.labelstudio.client import PROJECT_HEADER, SECRET_HEADER, WEBHOOK_ACTIONS
from backend.labelstudio.failures import CALL_OUT, REFUSED_ADDRESS, certificate_remedy
from backend.labelstudio.filters import lacking_version, unlabelled
from backend.labelstudio.records import Json
from backend.labelstudio.schema import Control, Unusable
from backend.labelstudio.wire import text_of, textless
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.poll import IDLE_S, last_poll

TIMEOUT_S = 5.0
POLLED_WITHIN_S = 90.0  # three times the longest pause between two polls
SAMPLE = 100  # tasks that are looked into
LEGACY_TOKEN = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Check:
    """One step of the examination."""

    name: str
    ok: bool
    finding: str  # what was seen
    remedy: str = ""  # what to do, where it is not ok


def examine(desk: Desk) -> Iterator[Check]:
    """The checks that hold for all projects, in the order of the way that a prediction takes."""
    settings = desk.settings
    yield _label_studio(settings)
    yield _token(desk)
    rows = [row for key in desk.ledger.project_keys() if (row := desk.ledger.project(key))]
    called = not rows or not all(row.push_only for row in rows)
    yield _backend(settings) if called else Check("backend", True, "not needed: every project is push-only")
    yield from _queue(settings)


def _get(settings: Settings, url: str, auth: tuple[str, str] | None = None) -> requests.Response:
    """Ask on the way that the settings say, and on no other."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = settings.authorities
        proxy = settings.proxy_for(url)
        session.proxies = {"http": proxy, "https": proxy} if proxy else {}
        return session.get(url, auth=auth, timeout=TIMEOUT_S)


def _label_studio(settings: Settings) -> Check:
    url = settings.label_studio_url
    try:
        answer = _get(settings, f"{url.rstrip('/')}/health")
    except requests.exceptions.SSLError as err:
        return Check("Label Studio", False, f"the certificate of {url} is not trusted", certificate_remedy(str(err)))
    except requests.RequestException as err:
        proxied = settings.proxy_for(url)
        remedy = f"check that it runs, and PRELABEL_LABEL_STUDIO_URL{' and PRELABEL_PROXY' if proxied else ''}"
        return Check("Label Studio", False, f"{url} does not answer ({type(err).__name__})", remedy)
    ok = answer.ok and "UP" in answer.text
    return Check("Label Studio", ok, f"{url} answers {answer.status_code}", "" if ok else "is this a Label Studio?")


def _token(desk: Desk) -> Check:
    token = desk.settings.label_studio_token.get_secret_value()
    kind = "legacy token" if LEGACY_TOKEN.fullmatch(token) else "personal access token"
    try:
        desk.client.whoami()
    except LabelStudioError as err:
        if err.status != requests.codes.unauthorized:
            return Check("token", False, str(err), "see the line above")
        remedy = (
            "legacy tokens are off by default: use a personal access token"
            if kind == "legacy token"
            else "it is wrong or was revoked: make a new one under Account & Settings, set PRELABEL_LABEL_STUDIO_TOKEN"
        )
        return Check("token", False, f"{kind} is refused", remedy)
    return Check("token", True, f"{kind} is accepted")


def _backend(settings: Settings) -> Check:
    url, auth = settings.backend_url, (settings.user, settings.password.get_secret_value())
    try:
        answer = _get(settings, f"{url}/health", auth)
    except requests.exceptions.SSLError as err:
        remedy = certificate_remedy(str(err)).replace("LABEL_STUDIO_URL", "WEB_URL")
        return Check("backend", False, f"the certificate of {url} is not trusted", remedy)
    except requests.RequestException as err:
        return Check("backend", False, f"{url} does not answer ({type(err).__name__})", "run: prelabel serve")
    if answer.status_code == requests.codes.unauthorized:
        return Check(
            "backend", False, f"{url} refuses our password", "another backend runs there, or PRELABEL_PASSWORD differs"
        )
    return Check("backend", answer.ok, f"{url} answers {answer.status_code}", "" if answer.ok else "see its log")


def _queue(settings: Settings) -> Iterator[Check]:
    connection = connect(settings)
    try:
        connection.ping()
    except redis.RedisError as err:
        yield Check(
            "queue", False, f"Redis does not answer ({type(err).__name__})", "start it; check PRELABEL_REDIS_URL"
        )
        return
    served = {name for worker in Worker.all(connection=connection) for name in worker.queue_names()}
    idle = [name for name in QUEUES if name not in served]
    yield Check("queue", True, "Redis answers")
    finding = f"no worker takes {', '.join(idle)}" if idle else f"workers take {', '.join(QUEUES)}"
    yield Check("workers", not idle, finding, f"run: prelabel worker --queues {','.join(idle)}" if idle else "")


def examine_project(desk: Desk, key: str) -> Iterator[Check]:
    """The checks of one project."""
    try:
        work = desk.project(key)
    except PrelabelError as err:
        yield Check("project", False, str(err), "check the project's number and the token's account")
        return
    yield Check("project", True, f"{work.project.title!r}")
    yield _config(work)
    ways = (_polling,) if work.row.push_only else (_connected, _webhook)
    about_texts = (_texts, _coverage, _labels) if work.usable else ()
    for check in (*ways, _versions, *about_texts):
        yield _guarded(check, work)


def _guarded(check: Callable[[ProjectDesk], Check], work: ProjectDesk) -> Check:
    try:
        return check(work)
    except PrelabelError as err:
        return Check(check.__name__.strip("_"), False, str(err), "see above")


def _config(work: ProjectDesk) -> Check:
    if isinstance(work.found, Unusable):
        return unserved(work.found)
    space = work.control.space
    ruled = set(work.settings.keywords) - set(work.keywords)
    if ruled:
        finding = f"keyword rules name labels that the config does not have: {', '.join(sorted(ruled))}"
        return Check("label config", False, finding, f"correct [keywords] in {work.folder.root / SETTINGS_FILE}")
    oos = f"{space.oos_value!r} means none of these" if space.oos_value else "no choice means none of these"
    n_hints = sum(bool(label.hint) for label in space.labels)
    return Check("label config", True, f"{work.control.from_name}: {len(space)} labels, {n_hints} with hint; {oos}")


def _polling(work: ProjectDesk) -> Check:
    last = last_poll(work.desk.queue, work.key)
    if last is None or time.time() - last.at > POLLED_WITHIN_S:
        since = "nobody polls" if last is None else f"nobody has polled for {time.time() - last.at:.0f} s"
        return Check("polling", False, f"push-only, but {since}", "run: prelabel cron, and prelabel worker")
    pace = "every few seconds" if last.active else f"every {IDLE_S:.0f} s until something moves"
    return Check("polling", True, f"push-only: labels arrive by polling, {pace}")


def unserved(found: Unusable) -> Check:
    """What is said about a label config that cannot be served."""
    return Check("label config", False, found.reason, f"{found.remedy}; the config is read again by itself")


def _texts(work: ProjectDesk) -> Check:
    """Whether tasks hold texts, by the first of them."""
    sample = list(work.desk.client.tasks(work.id, limit=SAMPLE, all_fields=False))
    return texts_check([task.data for task in sample], work.control)


def texts_check(sample: Sequence[Mapping[str, Any]], control: Control) -> Check:
    """What is said about the data of some tasks; a few without a text are nothing to worry about."""
    lacking = Counter(textless(data, control) for data in sample if text_of(data, control) is None)
    of = f"of the first {len(sample)} tasks"
    if lacking["link"]:
        finding = f"{lacking['link']} {of} hold a link under {control.text_key!r} instead of a text: not predicted"
        return Check("texts", False, finding, "import the text itself; links and storage addresses are not fetched")
    if lacking["no_text"] > len(sample) / 2:
        finding = f"{lacking['no_text']} {of} hold no text under {control.text_key!r}: not predicted"
        return Check("texts", False, finding, "name the column that holds the text in the label config")
    return Check("texts", True, f"{len(sample) - sum(lacking.values())} {of} hold a text under {control.text_key!r}")


def _connected(work: ProjectDesk) -> Check:
    """Asking for the backends makes Label Studio call each one's /health and /setup."""
    settings = work.desk.settings
    backends = work.desk.client.backends(work.id)
    mine = [item for item in backends if item["url"].rstrip("/") == settings.backend_url.rstrip("/")]
    connect_it = f"run: prelabel connect --project {work.id}"
    if not mine:
        return Check("connection", False, f"project has no backend at {settings.backend_url}", connect_it)
    if len(backends) > 1:
        others = ", ".join(str(item["title"]) for item in backends if item not in mine)
        return Check(
            "connection", False, f"only the first of two backends is asked; also: {others}", "remove the other"
        )
    problem = str(mine[0].get("error_message") or "")
    if mine[0].get("state") == "CO" and not problem:
        return Check("connection", True, f"Label Studio reaches {settings.backend_url}")
    if REFUSED_ADDRESS in problem:
        return Check("connection", False, "Label Studio refuses private addresses (SSRF protection)", CALL_OUT)
    return Check(
        "connection", False, f"Label Studio says: {problem[:200] or mine[0].get('readable_state')}", connect_it
    )


def _webhook(work: ProjectDesk) -> Check:
    settings, url = work.desk.settings, webhook_url(work.desk.settings)
    hooks = [hook for hook in work.desk.client.webhooks(work.id) if hook["url"] == url]
    again = f"run: prelabel connect --project {work.id}"
    host = urlsplit(url).hostname or ""
    if not hooks and "." not in host and ":" not in host and host != "localhost":
        remedy = "set PRELABEL_WEB_URL to a host name with a dot, or an address"
        return Check("webhook", False, f"Label Studio takes no webhook for the single-label host {host}", remedy)
    if not hooks:
        return Check("webhook", False, f"no webhook to {url}; labels arrive only by polling", again)
    problem = _webhook_problem(hooks[0], settings.webhook_secret.get_secret_value(), work.key)
    return Check(
        "webhook", not problem, problem or f"authentic, {len(hooks[0]['actions'])} actions", again if problem else ""
    )


def _webhook_problem(hook: Json, secret: str, key: str) -> str:
    headers = hook.get("headers") or {}
    if not hook.get("is_active"):
        return "the webhook is switched off"
    if headers.get(SECRET_HEADER) != secret:
        return "the webhook carries no secret, or an old one: we refuse its calls"
    if headers.get(PROJECT_HEADER) != key:
        return "the webhook does not name this project"
    missing = set(WEBHOOK_ACTIONS) - set(hook.get("actions") or ())
    if missing and not hook.get("send_for_all_actions"):
        return f"the webhook leaves out {', '.join(sorted(missing))}"
    return ""


def _versions(work: ProjectDesk) -> Check:
    current, shown = work.folder.current(), work.project.model_version
    if not current:
        return Check("versions", False, "no version was published", f"run: prelabel connect --project {work.id}")
    if shown == current:
        return Check("versions", True, f"{current} serves and is shown")
    if shown in ("", TITLE) and not work.project.counters["task_number"]:
        return Check("versions", True, f"{current} serves; it is shown once there are tasks")
    remedy = "wait for the push to end; if it does not: prelabel status, then the log of worker-live"
    return Check("versions", False, f"{current} serves, but {shown or 'nothing'} is shown", remedy)


def _labels(work: ProjectDesk) -> Check:
    """Annotations with labels that the config lost: renamed or removed, which only a person can tell."""
    known = {*work.control.space.values, work.control.space.oos_value, *work.settings.renamed}
    lost = {label: n for label, n in work.desk.ledger.annotated_labels(work.key).items() if label not in known}
    if not lost:
        return Check("labels", True, "the config has every label that was accepted")
    finding = "; ".join(f"{n} annotations hold {label!r}, which the config has no more" for label, n in lost.items())
    remedy = f'in [renamed] of {work.folder.root / SETTINGS_FILE} say what each is called now, or "" for labels dropped'
    return Check("labels", False, finding, remedy)


def _coverage(work: ProjectDesk) -> Check:
    """Tasks without a text are not waited for: they never have a prediction."""
    version = work.folder.current()
    filters = [unlabelled(), lacking_version(version)]
    found = work.desk.client.tasks(work.id, filters=filters, limit=SAMPLE, all_fields=False)
    lacking = any(text_of(task.data, work.control) is not None for task in found)
    finding = "open tasks lack a present prediction" if lacking else "every open task has a present prediction"
    return Check("predictions", not lacking, finding, "the workers are at it; see prelabel status" if lacking else "")

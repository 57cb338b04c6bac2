"""Doctor on the way between a project and this backend: backend entry, webhook, polling, and webhooks of nobody."""

import time
from urllib.parse import urlsplit

from backend.connection.doctor.check import Check, Fault, Finding
from backend.connection.ties import (
    CONNECTED,
    ensure_backend,
    ensure_webhook,
    is_own_backend,
    moved_backends,
    own_webhooks,
    webhook_url,
)
from backend.core.clock import age_s
from backend.core.errors import LabelStudioError
from backend.core.projects import ProjectKey
from backend.labelstudio.entries import PROJECT_HEADER, SECRET_HEADER, WEBHOOK_ACTIONS
from backend.labelstudio.failures import CALL_OUT, REFUSED_ADDRESS
from backend.labelstudio.records import Json
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.poll import IDLE_S, last_poll

POLLED_WITHIN_S = 90.0  # three times the longest pause between two polls
FORBIDDEN = 403
SHOWN = 200  # characters of what Label Studio says
RETRIED = "Max retries exceeded"  # what it says of an address where nobody answers; the reason comes last


def make_backend(work: ProjectDesk) -> str:
    ensure_backend(work)
    return f"Label Studio reaches {work.desk.settings.backend_url}"


def make_webhook(work: ProjectDesk) -> str:
    ensure_webhook(work)
    return "the webhook is as it must be"


def remove_strays(desk: Desk) -> str:
    strays = _strays(desk)
    for hook in strays:
        desk.client.delete_webhook(hook["id"])
    return f"webhooks removed: {_told(strays)}"


NO_BACKEND: Fault[ProjectDesk] = Fault(
    "half-connected: no backend entry", "project has no backend at {url}",
    "run: prelabel connect --project {project}", make_backend,
)  # fmt: skip
MOVED: Fault[ProjectDesk] = Fault(
    "the backend entry has an old address", "Label Studio asks {old}, but prelabel is at {url} now",
    "run: prelabel doctor --fix; or set PRELABEL_WEB_URL back", make_backend,
)  # fmt: skip
BACKEND_ERROR: Fault[ProjectDesk] = Fault(
    "half-connected: the backend entry is in error", "Label Studio says: {problem}",
    "mend what it says, then run: prelabel connect --project {project}", make_backend,
)  # fmt: skip
UNREACHED: Fault[ProjectDesk] = Fault(
    "half-connected: Label Studio cannot reach us", "Label Studio cannot reach {url}: {problem}",
    "check PRELABEL_WEB_URL as seen from Label Studio's machine, and that prelabel serve listens there",
)  # fmt: skip
BLOCKED: Fault[ProjectDesk] = Fault(
    "SSRF protection", "Label Studio refuses private addresses (SSRF protection)", CALL_OUT
)
TWO_BACKENDS: Fault[ProjectDesk] = Fault(
    "two backends in a project", "only the first of {n} backends is asked, {first!r}; also there: {others}",
    "keep one of them: remove the others under Settings, Model",
)  # fmt: skip
SINGLE_LABEL: Fault[ProjectDesk] = Fault(
    "single-label host name", "Label Studio takes no webhook for the single-label host {host}, and does not say so",
    "set PRELABEL_WEB_URL to a host name with a dot, or an address",
)  # fmt: skip
NO_WEBHOOK: Fault[ProjectDesk] = Fault(
    "webhook missing", "no webhook to {url}; labels arrive only by reconciling",
    "run: prelabel connect --project {project}", make_webhook,
)  # fmt: skip
WEBHOOK_OFF: Fault[ProjectDesk] = Fault(
    "webhook switched off", "the webhook is switched off", "run: prelabel connect --project {project}", make_webhook
)
WRONG_SECRET: Fault[ProjectDesk] = Fault(
    "webhook without secret, or with an old one", "the webhook carries no secret, or an old one: we refuse its calls",
    "run: prelabel connect --project {project}", make_webhook,
)  # fmt: skip
WRONG_PROJECT: Fault[ProjectDesk] = Fault(
    "webhook of another project key", "the webhook does not name this project",
    "run: prelabel connect --project {project}", make_webhook,
)  # fmt: skip
FEW_ACTIONS: Fault[ProjectDesk] = Fault(
    "webhook for too few events", "the webhook leaves out {actions}",
    "run: prelabel connect --project {project}", make_webhook,
)  # fmt: skip
NOBODY_POLLS: Fault[ProjectDesk] = Fault(
    "push-only, and nobody polls", "push-only, but {since}", "run: prelabel cron, and prelabel worker"
)
STRAYS: Fault[Desk] = Fault(
    "orphaned webhooks of ours", "prelabel's own webhooks that nobody needs: {strays}",
    "run: prelabel doctor --fix", remove_strays,
)  # fmt: skip


def connection(work: ProjectDesk) -> Finding[ProjectDesk]:
    """Asking for the backends makes Label Studio call each one's /health and /setup."""
    settings, backends = work.desk.settings, work.desk.client.backends(work.id)
    mine = [item for item in backends if is_own_backend(item, settings)]
    if not mine and (moved := moved_backends(work)):
        return MOVED.seen(old=moved[0]["url"], url=settings.backend_url)
    if not mine:
        return NO_BACKEND.seen(url=settings.backend_url, project=work.id)
    if len(backends) > 1:
        others = ", ".join(f"{item['title']} at {item['url']}" for item in backends[1:])
        return TWO_BACKENDS.seen(n=len(backends), first=backends[0]["title"], others=others)
    if mine[0].get("state") == CONNECTED:
        return Finding(f"Label Studio reaches {settings.backend_url}")
    problem = work.desk.client.backend_problem(mine[0]["id"]) or str(
        mine[0].get("error_message") or mine[0].get("readable_state")
    )
    if REFUSED_ADDRESS in problem:
        return BLOCKED.seen()
    if RETRIED in problem:
        return UNREACHED.seen(url=settings.backend_url, problem=problem.rpartition(": ")[2].strip("\"')"))
    return BACKEND_ERROR.seen(problem=problem[:SHOWN], project=work.id)


def webhook(work: ProjectDesk) -> Finding[ProjectDesk]:
    url = webhook_url(work.desk.settings)
    hooks = own_webhooks(work.desk.settings, work.desk.client, work.project)
    host = urlsplit(url).hostname or ""
    if not hooks and "." not in host and ":" not in host and host != "localhost":
        return SINGLE_LABEL.seen(host=host)
    if not hooks:
        return NO_WEBHOOK.seen(url=url, project=work.id)
    return _webhook(hooks[0], work)


def _webhook(hook: Json, work: ProjectDesk) -> Finding[ProjectDesk]:
    headers, secret = hook.get("headers") or {}, work.desk.settings.webhook_secret.get_secret_value()
    missing = set(WEBHOOK_ACTIONS) - set(hook.get("actions") or ())
    if not hook.get("is_active"):
        return WEBHOOK_OFF.seen(project=work.id)
    if headers.get(SECRET_HEADER) != secret:
        return WRONG_SECRET.seen(project=work.id)
    if headers.get(PROJECT_HEADER) != work.key:
        return WRONG_PROJECT.seen(project=work.id)
    if missing and not hook.get("send_for_all_actions"):
        return FEW_ACTIONS.seen(actions=", ".join(sorted(missing)), project=work.id)
    return Finding(f"authentic, {len(hook['actions'])} actions")


def polling(work: ProjectDesk) -> Finding[ProjectDesk]:
    last = last_poll(work.desk.queue, work.key)
    silent_s = float("inf") if last is None else age_s(last.at, time.time())
    if last is None or silent_s > POLLED_WITHIN_S:
        silent = "nobody polls" if last is None else f"nobody has polled for {silent_s:.0f} s"
        return NOBODY_POLLS.seen(since=silent)
    pace = "every few seconds" if last.active else f"every {IDLE_S:.0f} s until something moves"
    return Finding(f"push-only: labels arrive by polling, {pace}")


def strays(desk: Desk) -> Finding[Desk]:
    try:
        found = _strays(desk)
    except LabelStudioError as err:
        if err.status != FORBIDDEN:
            raise
        return Finding("not to be seen: this account may not list the webhooks of other projects")
    return STRAYS.seen(strays=_told(found)) if found else Finding("no webhook of ours is without a use")


def _strays(desk: Desk) -> list[Json]:
    """Ours are those with our secret, at our address, or made by `connect` for a project that we know.

    Of use is the first one at our address in each project that is connected to be called.
    """
    settings, rows = desk.settings, [row for key in desk.ledger.project_keys() if (row := desk.ledger.project(key))]
    secret, url = settings.webhook_secret.get_secret_value(), webhook_url(settings)
    made = {((row.snapshot or {}).get("webhook"), row.key) for row in rows}
    called = {ProjectKey.parse(row.key).id for row in rows if not row.push_only}
    found, served = [], set()
    for hook in desk.client.webhooks():
        project, here, headers = hook.get("project"), hook["url"] == url, hook.get("headers") or {}
        ours = here or headers.get(SECRET_HEADER) == secret or (hook["id"], headers.get(PROJECT_HEADER)) in made
        if project is None or not ours:
            continue
        if here and project not in served and (project in called or _has_backend(desk, project)):
            served.add(project)
        else:
            found.append(hook)
    return found


def _has_backend(desk: Desk, project: int) -> bool:
    """Whether somebody added our backend without `connect`; then its webhook is of use."""
    return any(is_own_backend(item, desk.settings) for item in desk.client.backends(project))


def _told(hooks: list[Json]) -> str:
    return ", ".join(f"project {hook['project']} to {hook['url']}" for hook in hooks)


WEBHOOK: Check[ProjectDesk] = Check(
    "webhook",
    webhook,
    (SINGLE_LABEL, NO_WEBHOOK, WEBHOOK_OFF, WRONG_SECRET, WRONG_PROJECT, FEW_ACTIONS),
)
CALLED: tuple[Check[ProjectDesk], ...] = (
    Check(
        "connection",
        connection,
        (NO_BACKEND, MOVED, BACKEND_ERROR, UNREACHED, BLOCKED, TWO_BACKENDS),
    ),
    WEBHOOK,
)
POLLED: tuple[Check[ProjectDesk], ...] = (Check("polling", polling, (NOBODY_POLLS,), needs=("queue",)),)
STRAY: tuple[Check[Desk], ...] = (
    Check("stray webhooks", strays, (STRAYS,), needs=("Label Studio", "token", "database")),
)

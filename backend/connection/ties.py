"""What Label Studio has of ours in a project: one webhook and one backend, by which it calls us.

Ours are those at our own address; foreign backends are named, and removed only where somebody says so.
"""

from collections.abc import Callable
from dataclasses import dataclass

from backend.core.artefacts import OWN_PREFIX
from backend.core.errors import BadInputError, LabelStudioError
from backend.core.settings import Settings
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.records import Json, Project
from backend.labelstudio.schema import IMPORTED
from backend.loop.desk import Desk, ProjectDesk

TITLE = "prelabel"
CONNECTED = "CO"  # a backend's state

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that connecting changes in a project."""

    what: str
    before: str
    after: str


def tie(work: ProjectDesk, report: Report) -> None:
    """Have Label Studio call us: our webhook first, then our backend, each made where it is missing."""
    report("webhook")
    ensure_webhook(work)
    report("backend")
    ensure_backend(work)


def webhook_url(settings: Settings) -> str:
    return f"{settings.backend_url.rstrip('/')}/webhook"


def ties_to_make(settings: Settings, client: LabelStudioClient, project: Project) -> list[Change]:
    """What Label Studio needs in order to call us."""
    changes = []
    if not own_webhooks(settings, client, project):
        changes.append(Change("webhook", "none", f"{webhook_url(settings)}, without payload"))
    if not _own_backends(settings, client, project):
        changes.append(Change("ML backend", "none", f"{TITLE} at {settings.backend_url}"))
    return changes


def ties_to_remove(settings: Settings, client: LabelStudioClient, project: Project) -> list[Change]:
    """What an earlier `connect` without --push-only has left."""
    hooks = [Change("webhook", hook["url"], "removed") for hook in own_webhooks(settings, client, project)]
    backends = _own_backends(settings, client, project)
    return hooks + [Change("ML backend", str(backend["title"]), "removed") for backend in backends]


def untie(desk: Desk, project: Project) -> None:
    """Have Label Studio call us no more."""
    for backend in _own_backends(desk.settings, desk.client, project):
        desk.client.delete_backend(backend["id"])
    for webhook in own_webhooks(desk.settings, desk.client, project):
        desk.client.delete_webhook(webhook["id"])


def remove_foreign(settings: Settings, client: LabelStudioClient, project: Project) -> None:
    """Remove the backends that are not ours."""
    ours = {backend["id"] for backend in _own_backends(settings, client, project)}
    for backend in client.backends(project.id):
        if backend["id"] not in ours:
            client.delete_backend(backend["id"])


def foreign_ties(settings: Settings, client: LabelStudioClient, project: Project, *, replace: bool) -> list[Change]:
    """The backends that are not ours.

    Raises:
        BadInputError: there are some, or another's predictions are shown, and nobody said that we replace them.
    """
    ours = {backend["id"] for backend in _own_backends(settings, client, project)}
    foreign = [backend for backend in client.backends(project.id) if backend["id"] not in ours]
    if foreign and not replace:
        raise BadInputError(f"project {project.id} must have no other ML backend, has {len(foreign)}; use --replace")
    version = project.model_version
    if version not in ("", TITLE, IMPORTED) and not version.startswith(OWN_PREFIX) and not foreign and not replace:
        raise BadInputError(f"project {project.id} must not show other predictions, shows {version!r}; use --replace")
    return [Change("ML backend", str(backend["title"]), "removed") for backend in foreign]


def own_webhooks(settings: Settings, client: LabelStudioClient, project: Project) -> list[Json]:
    return [hook for hook in client.webhooks(project.id) if hook["url"] == webhook_url(settings)]


def _own_backends(settings: Settings, client: LabelStudioClient, project: Project) -> list[Json]:
    return [backend for backend in client.backends(project.id) if is_own_backend(backend, settings)]


def is_own_backend(backend: Json, settings: Settings) -> bool:
    return str(backend["url"]).rstrip("/") == settings.backend_url.rstrip("/")


def ensure_webhook(work: ProjectDesk) -> None:
    """One webhook of ours, authentic and switched on, whatever it was; its number is remembered."""
    settings, client = work.desk.settings, work.desk.client
    secret, url = settings.webhook_secret.get_secret_value(), webhook_url(settings)
    own = own_webhooks(settings, client, work.project)
    if own:
        client.update_webhook(own[0]["id"], work.project, url, secret)
    number = int(own[0]["id"]) if own else client.create_webhook(work.project, url, secret)
    work.remember(webhook=number)


def ensure_backend(work: ProjectDesk) -> None:
    """Our backend, which Label Studio reaches with the present password; its number is remembered.

    Raises:
        LabelStudioError: Label Studio does not reach it.
    """
    settings, client = work.desk.settings, work.desk.client
    own = _own_backends(settings, client, work.project) or moved_backends(work)
    entry = {"url": settings.backend_url, "title": TITLE, "user": settings.user}
    entry["password"] = settings.password.get_secret_value()
    try:
        if own and (own[0].get("state") != CONNECTED or not is_own_backend(own[0], settings)):
            client.update_backend(own[0]["id"], work.id, **entry)
        number = int(own[0]["id"]) if own else client.create_backend(work.id, **entry)
    except LabelStudioError as err:
        raise LabelStudioError(f"Label Studio must reach {settings.backend_url}; {err}", status=err.status) from err
    work.remember(backend=number)


def moved_backends(work: ProjectDesk) -> list[Json]:
    """What `connect` made while this backend had another address."""
    made = (work.row.snapshot or {}).get("backend")
    return [item for item in work.desk.client.backends(work.id) if item["id"] == made and item["title"] == TITLE]

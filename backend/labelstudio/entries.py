"""What we enter in a project of Label Studio: a webhook and a backend, as its API takes them."""

from backend.labelstudio.records import Json, Project

WEBHOOK_ACTIONS = (
    "ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED",
    "TASKS_CREATED", "TASKS_DELETED", "PROJECT_UPDATED",
)  # fmt: skip
SECRET_HEADER = "X-Prelabel-Secret"  # noqa: S105  (a header's name)
PROJECT_HEADER = "X-Prelabel-Project"


def webhook_body(project: Project, url: str, secret: str) -> Json:
    return {
        "project": project.id,
        "url": url,
        "send_payload": False,
        "send_for_all_actions": False,
        "is_active": True,
        "headers": {SECRET_HEADER: secret, PROJECT_HEADER: str(project.key)},
        "actions": list(WEBHOOK_ACTIONS),
    }


def backend_body(project_id: int, *, url: str, title: str, user: str, password: str) -> Json:
    return {
        "url": url, "project": project_id, "title": title, "is_interactive": True,
        "auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password,
    }  # fmt: skip

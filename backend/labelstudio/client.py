"""What can be asked of a Label Studio, and told to it: plain dataclasses in and out."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import structlog

from backend.core.errors import LabelStudioError
from backend.core.labels import spelled
from backend.core.settings import Settings
from backend.labelstudio.api import PUSH_TIMEOUT_S, Api, open_api
from backend.labelstudio.bodies import bodies
from backend.labelstudio.entries import backend_body, webhook_body
from backend.labelstudio.expressions import data_field
from backend.labelstudio.failures import said_in
from backend.labelstudio.filters import id_above
from backend.labelstudio.records import Json, Project, Pulse, Task, project_of, task_of

MAX_BODY_BYTES = 90_000_000  # of one push; Label Studio refuses 250 MB, proxies often 100
PAGE = 200  # tasks of one page
BULK_PAGE = 1000  # where all tasks are read
CARRIED = ("annotations", "predictions")  # by an imported task
IMPORT_ATTEMPTS = 3
CALM_TASKS = 500  # of one request, while people submit
REMOVE_ATTEMPTS = 6  # about a minute
APPEARS_S = 10.0  # in which a request without an answer is carried out, or never will be
LOOK_S = 1.0
LIGHT = "id,data,created_at,updated_at,total_annotations,is_labeled"  # six times faster than all of a task

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LabelStudioClient:
    """All calls to one Label Studio. Methods raise LabelStudioError, with the status where there was an answer."""

    api: Api

    def close(self) -> None:
        self.api.transport.close()

    # projects

    def project(self, project_id: int) -> Project:
        return project_of(self.api.json("GET", f"api/projects/{project_id}/"))

    def projects(self) -> list[Project]:
        found: list[Project] = []
        page = 1
        while True:
            answer = self.api.json("GET", "api/projects/", params={"page": page, "page_size": 100})
            found += [project_of(raw) for raw in answer["results"]]
            if not answer.get("next"):
                return found
            page += 1

    def create_project(self, *, title: str, **fields: object) -> Project:
        """Make a project, and no second one of its title.

        A Label Studio whose SQLite was locked carries a request out again that was half done
        (1.23.2), and an answer may be lost after the project was made: it is looked for then.
        """
        before = max((project.id for project in self.projects()), default=0)
        try:
            made = project_of(self.api.json("POST", "api/projects/", body={"title": title, **fields}))
        except LabelStudioError as err:
            if not err.unanswered:
                raise
            found = self._appeared(title, above=before)
            if found is None:
                raise
            made = found
        for double in self._named(title, above=before):
            if double.id < made.id and not self.count(double.id, []):
                self.delete_project(double.id)
        return made

    def _appeared(self, title: str, *, above: int) -> Project | None:
        """A project whose making nobody saw the end of; None where it did not come into being."""
        deadline = time.monotonic() + APPEARS_S
        while not (found := self._named(title, above=above)) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        return found[-1] if found else None

    def _named(self, title: str, *, above: int) -> list[Project]:
        """Projects of a title, by rising id, that are younger than the one with the id `above`."""
        found = [project for project in self.projects() if project.id > above]
        return sorted((each for each in found if spelled(each.title) == spelled(title)), key=lambda each: each.id)

    def update_project(self, project_id: int, **fields: object) -> Project:
        return project_of(self.api.json("PATCH", f"api/projects/{project_id}/", body=fields))

    def delete_project(self, project_id: int) -> None:
        self.api.call("DELETE", f"api/projects/{project_id}/")

    def whoami(self) -> Json:
        return self.api.json("GET", "api/current-user/whoami")

    def clock(self) -> datetime:
        """Label Studio's present time, in whole seconds; ours where a proxy takes it away."""
        date = self.api.call("GET", "health").headers.get("Date")
        return parsedate_to_datetime(date) if date else datetime.now(UTC)

    # tasks and annotations

    def import_tasks(self, project_id: int, tasks: Sequence[Json]) -> list[int]:
        """Import tasks with what they carry; their ids, in order.

        A Label Studio whose SQLite was locked tries again by itself, without the annotations and predictions, and
        tells by nothing but its counts (1.23.2). Such tasks are deleted and sent again in small pieces: the shorter a
        request, the seldomer somebody's submit comes in between.

        Raises:
            LabelStudioError: it dropped some again and again; these are gone, those before them are there.
        """
        ids = self._import_whole(project_id, tasks)
        if ids is not None:
            return ids
        starts = range(0, len(tasks), CALM_TASKS)
        return [id_ for start in starts for id_ in self._import_piece(project_id, tasks[start : start + CALM_TASKS])]

    def _import_piece(self, project_id: int, tasks: Sequence[Json]) -> list[int]:
        for _ in range(IMPORT_ATTEMPTS):
            ids = self._import_whole(project_id, tasks)
            if ids is not None:
                return ids
        raise LabelStudioError(
            f"the {len(tasks)} tasks must arrive with their labels, but Label Studio dropped these {IMPORT_ATTEMPTS} "
            "times: its database is locked too often; try again when it has less to do"
        )

    def _import_whole(self, project_id: int, tasks: Sequence[Json]) -> list[int] | None:
        """The ids of the tasks; None where Label Studio dropped what they carry, and they are gone again."""
        carried = {
            f"{kind[:-1]}_count": sum(len(task.get(kind, ())) for task in tasks if "data" in task) for kind in CARRIED
        }
        path, params = f"api/projects/{project_id}/import", {"return_task_ids": "true"}
        answer = self.api.json("POST", path, params=params, body=list(tasks), timeout_s=PUSH_TIMEOUT_S)
        if all(answer[count] >= n for count, n in carried.items()):
            return list(answer["task_ids"])
        log.info("import_dropped_labels", project=project_id, n_tasks=len(tasks))
        for start in range(0, len(answer["task_ids"]), CALM_TASKS):
            self._remove(project_id, answer["task_ids"][start : start + CALM_TASKS])
        return None

    def _remove(self, project_id: int, task_ids: Sequence[int]) -> None:
        """Delete tasks that came in without their labels, however often the database is locked."""
        for attempt in range(REMOVE_ATTEMPTS):
            try:
                self._act(project_id, "delete_tasks", {"all": False, "included": list(task_ids)})
            except LabelStudioError as err:
                if not err.unanswered:
                    raise
                time.sleep(LOOK_S * 2**attempt)
            else:
                return
        raise LabelStudioError(
            f"the {len(task_ids)} tasks that came in without their labels must be removed, but Label Studio's database "
            "was locked too often; import again with --add-labels when it has less to do",
            status=httpx.codes.CONFLICT,
        )

    def tasks(
        self, project_id: int, *, filters: Sequence[Json] = (), ordering: str = "id", limit: int | None = None,
        all_fields: bool = True,
    ) -> Iterator[Task]:  # fmt: skip
        """Tasks page by page, with annotations and predictions where `all_fields`."""
        query: Json = {"ordering": [ordering]}
        if filters:
            query["filters"] = {"conjunction": "and", "items": list(filters)}
        params: Json = {"project": project_id, "query": json.dumps(query), "page_size": min(PAGE, limit or PAGE)}
        params |= {"fields": "all"} if all_fields else {"include": LIGHT}
        seen, page = 0, 1
        while limit is None or seen < limit:
            answer = self.api.page({**params, "page": page})
            yield from (task_of(raw) for raw in answer["tasks"][: None if limit is None else limit - seen])
            seen += len(answer["tasks"])
            page += 1
            if not answer["tasks"] or seen >= answer["total"]:
                return

    def pages_above(
        self, project_id: int, task_id: int, *, include: str, filters: Sequence[Json] = (), size: int = BULK_PAGE
    ) -> Iterator[list[Json]]:
        """Tasks as they come, by rising id from above `task_id`; a page costs the same, however far down it lies.

        Args:
            include: the fields to read, with commas; with all of them a task takes four times as long.
            size: tasks of a page.
        """
        params: Json = {"project": project_id, "page": 1, "page_size": size, "include": include}
        params |= {"fields": "all"} if {"annotations", "predictions"} & set(include.split(",")) else {}
        while True:
            items = [id_above(task_id), *filters]
            query = json.dumps({"ordering": ["id"], "filters": {"conjunction": "and", "items": items}})
            page: list[Json] = self.api.page({**params, "query": query})["tasks"]
            if page:
                yield page
            if len(page) < size:
                return
            task_id = page[-1]["id"]

    def count(self, project_id: int, filters: Sequence[Json]) -> int:
        """How many tasks the filters leave."""
        query = json.dumps({"filters": {"conjunction": "and", "items": list(filters)}})
        params = {"project": project_id, "query": query, "page": 1, "page_size": 1, "include": "id"}
        return int(self.api.page(params)["total"])

    def pulse(self, project_id: int, filters: Sequence[Json] = ()) -> Pulse:
        """Whether anything moved in a project, or among the tasks that the filters leave; in one small request."""
        chosen = {"filters": {"conjunction": "and", "items": list(filters)}} if filters else {}
        query = json.dumps({**chosen, "ordering": ["-tasks:updated_at"]})
        answer = self.api.page(
            {"project": project_id, "query": query, "page": 1, "page_size": 1, "include": "id,updated_at"}
        )
        newest = max((raw["updated_at"] for raw in answer["tasks"]), default="")
        return Pulse(newest, answer["total"], answer["total_annotations"])

    def task(self, task_id: int) -> Task:
        return task_of(self.api.json("GET", f"api/tasks/{task_id}/"))

    def export(self, project_id: int, target: Path, *, task_ids: Sequence[int] = ()) -> None:
        """Annotated tasks (skipped ones included) as JSON, streamed to a file; about 1 ms a task.

        Args:
            task_ids: only these; all where there are none. They stand in the URL, so some hundreds at once.
        """
        params = {"exportType": "JSON", "ids[]": list(task_ids)}
        self.api.download(f"api/projects/{project_id}/export", params, target)

    def delete_task(self, task_id: int) -> None:
        """Delete one; gone already is done."""
        try:
            self.api.call("DELETE", f"api/tasks/{task_id}/")
        except LabelStudioError as err:
            if not err.gone:
                raise

    def next_task(self, project_id: int) -> Json:
        """The task that the label stream shows next, as it came."""
        return self.api.json("GET", f"api/projects/{project_id}/next")

    def create_annotation(
        self, task_id: int, result: Sequence[Json], *, lead_time_s: float | None = None, skipped: bool = False
    ) -> int:
        """Submit an annotation, or a skip, as this token's account; its id."""
        body = {"result": list(result), "lead_time": lead_time_s, "was_cancelled": skipped}
        return int(self.api.json("POST", f"api/tasks/{task_id}/annotations/", body=body)["id"])

    def delete_annotation(self, annotation_id: int) -> None:
        self.api.call("DELETE", f"api/annotations/{annotation_id}/")

    def accept_predictions(self, project_id: int, task_ids: Sequence[int], *, version: str) -> None:
        """The Data Manager's bulk accept: a version's predictions become annotations.

        Without a version each prediction of each version would become one.
        """
        selected = {"all": False, "included": list(task_ids)}
        self._act(project_id, "predictions_to_annotations", selected, model_version=version)

    def retrieve_predictions(self, project_id: int) -> None:
        """The Data Manager's action on all tasks: Label Studio asks the backend for those that lack a prediction."""
        self._act(project_id, "retrieve_tasks_predictions", {"all": True, "excluded": []})

    def patch_task(self, task_id: int, data: Mapping[str, Any]) -> None:
        """Replace a task's data; about 60 ms."""
        self.api.json("PATCH", f"api/tasks/{task_id}/", body={"data": dict(data)})

    def set_data(self, project_id: int, task_ids: Sequence[int], name: str, value: object) -> None:
        """Set one key of many tasks' data to one value; no task counts as changed by it."""
        selected = {"all": False, "included": list(task_ids)}
        self._act(project_id, "add_data_field", selected, **data_field(name, value))

    def delete_annotations_of(self, project_id: int, task_ids: Sequence[int]) -> None:
        """The Data Manager's action: delete all annotations of some tasks, whoever made them."""
        self._act(project_id, "delete_tasks_annotations", {"all": False, "included": list(task_ids)})

    # predictions

    def import_predictions(self, project_id: int, predictions: Iterable[Json]) -> int:
        """Push many in as few requests as proxies take; how many Label Studio kept.

        The whole project is recounted with each request. Of what is sent, no more than one is in memory at a time.
        """
        path = f"api/projects/{project_id}/import/predictions"
        return sum(
            int(self.api.json("POST", path, file=body, timeout_s=PUSH_TIMEOUT_S)["created"])
            for body in bodies(predictions, MAX_BODY_BYTES)
        )

    def recount(self, project_id: int) -> None:
        """Have Label Studio count the annotations of each task again, as it does with every push."""
        path = f"api/projects/{project_id}/import/predictions"
        self.api.json("POST", path, body=[], timeout_s=PUSH_TIMEOUT_S)

    def create_prediction(self, project_id: int, task_id: int, prediction: Json) -> int:
        """Push one; its id. 30-70 ms, whatever the size of the project."""
        body = {**prediction, "task": task_id, "project": project_id}
        return int(self.api.json("POST", "api/predictions/", body=body)["id"])

    def update_prediction(self, prediction_id: int, prediction: Json) -> float:
        """Change one in place; since when it reads so, by Label Studio's clock (unix).

        A prediction that a page was opened with must stay: what is submitted from one that is gone is refused.
        """
        answer = self.api.json("PATCH", f"api/predictions/{prediction_id}/", body=prediction)
        return datetime.fromisoformat(answer["updated_at"]).timestamp()

    def delete_prediction(self, prediction_id: int) -> None:
        """Delete one; gone already is done."""
        try:
            self.api.call("DELETE", f"api/predictions/{prediction_id}/")
        except LabelStudioError as err:
            if not err.gone:
                raise

    def delete_predictions_of(self, project_id: int, task_ids: Sequence[int]) -> None:
        """The Data Manager's action: delete all predictions of some tasks, whoever made them."""
        self._act(project_id, "delete_tasks_predictions", {"all": False, "included": list(task_ids)})

    def model_versions(self, project_id: int) -> dict[str, int]:
        """Stored predictions by version."""
        answer = self.api.json("GET", f"api/projects/{project_id}/model-versions/", params={"extended": "true"})
        return {row["model_version"]: row["count"] for row in answer["static"]}

    def _act(self, project_id: int, action: str, selected: Json, **more: object) -> None:
        """An action of the Data Manager on selected tasks."""
        body = {"selectedItems": selected, "filters": {"conjunction": "and", "items": []}, **more}
        params = {"id": action, "project": project_id}
        self.api.call("POST", "api/dm/actions", params=params, body=body, timeout_s=PUSH_TIMEOUT_S)

    # tabs of the Data Manager

    def columns(self, project_id: int) -> list[Json]:
        """The columns that the Data Manager knows of a project: `parent`, where one has it, and `id`."""
        return list(self.api.json("GET", "api/dm/columns/", params={"project": project_id})["columns"])

    def tabs(self, project_id: int) -> list[Json]:
        return list(self.api.json_list("GET", "api/dm/views/", params={"project": project_id}))

    def create_tab(self, project_id: int, data: Mapping[str, Any]) -> int:
        """Add a tab that all people of the project see; its id."""
        body = {"project": project_id, "data": dict(data)}
        return int(self.api.json("POST", "api/dm/views/", body=body)["id"])

    def delete_tab(self, tab_id: int) -> None:
        """Delete one; gone already is done."""
        try:
            self.api.call("DELETE", f"api/dm/views/{tab_id}/")
        except LabelStudioError as err:
            if not err.gone:
                raise

    # webhooks and backends

    def webhooks(self, project_id: int | None = None) -> list[Json]:
        """Of a project, or all that the account may see."""
        params = {} if project_id is None else {"project": project_id}
        return list(self.api.json_list("GET", "api/webhooks/", params=params))

    def create_webhook(self, project: Project, url: str, secret: str) -> int:
        """Our own webhook: explicit actions, no payload, two headers; its id."""
        return int(self.api.json("POST", "api/webhooks/", body=webhook_body(project, url, secret))["id"])

    def update_webhook(self, webhook_id: int, project: Project, url: str, secret: str) -> None:
        self.api.json("PATCH", f"api/webhooks/{webhook_id}/", body=webhook_body(project, url, secret))

    def delete_webhook(self, webhook_id: int) -> None:
        self.api.call("DELETE", f"api/webhooks/{webhook_id}/")

    def backends(self, project_id: int) -> list[Json]:
        return list(self.api.json_list("GET", "api/ml/", params={"project": project_id}))

    def create_backend(self, project_id: int, *, url: str, title: str, user: str, password: str) -> int:
        """Connect a backend: Label Studio calls its /health and /setup before it answers."""
        body = backend_body(project_id, url=url, title=title, user=user, password=password)
        return int(self.api.json("POST", "api/ml/", body=body)["id"])

    def update_backend(
        self, backend_id: int, project_id: int, *, url: str, title: str, user: str, password: str
    ) -> None:
        """Connect a backend again; nothing changes where Label Studio does not reach it."""
        body = backend_body(project_id, url=url, title=title, user=user, password=password)
        self.api.json("PATCH", f"api/ml/{backend_id}", body=body)

    def backend_problem(self, backend_id: int) -> str:
        """What keeps Label Studio from a backend, in its own words; empty where nothing does.

        The backend's state does not tell: why /health failed is forgotten. So it is made to call /versions.
        """
        answer = self.api.send("GET", f"api/ml/{backend_id}/versions", retries=0)
        return "" if answer.is_success else said_in(answer)

    def delete_backend(self, backend_id: int) -> None:
        self.api.call("DELETE", f"api/ml/{backend_id}")


def open_client(settings: Settings) -> LabelStudioClient:
    """A client with the settings' URL and token; nothing is sent yet.

    Raises:
        LabelStudioError: the settings hold no token.
    """
    return LabelStudioClient(open_api(settings))
